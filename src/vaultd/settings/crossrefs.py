"""What one table says about another. Looks at the file as it is, so that a mistake in a table hides none here."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from vaultd.settings.mistakes import Mistake, meant
from vaultd.settings.model import Settings


def check_references(document: Mapping[str, Any], catalogue: Collection[str]) -> Iterator[Mistake]:
    """Every name in the file that names nothing, every issuer that is configured twice, and who takes opaque tokens."""
    yield from _one_name(document, ("default_client",), document.get("default_client"), "clients")
    yield from _one_name(document, ("login", "issuer"), _table(document, "login").get("issuer"), "issuers")
    yield from _login(document)
    yield from _issuers(_table(document, "issuers"))
    yield from _opaque(_table(document, "issuers"))
    for client, table in _table(document, "clients").items():
        if isinstance(table, dict):
            yield from _granted(client, table, _table(document, "providers"), catalogue)
            yield from _asserted_providers(client, table)
            yield from _asserted_issuers(client, table, _table(document, "issuers"))


def check_narrowing(settings: Settings) -> Iterator[Mistake]:
    """Every client's `narrow` at a provider that cannot do that. Looks at whole tables, with what they take over."""
    for client, config in settings.clients.items():
        for name, grant in config.providers.items():
            provider = settings.providers.get(name)
            if grant.narrow is not None and provider is not None and provider.narrowing != "github_scoped":
                needed = 'narrowing = "github_scoped"'
                place = ("clients", client, "providers", name, "narrow")
                yield Mistake(place, f"is only for a provider with {needed}, which {name} is not; leave it out")


def _one_name(document: Mapping[str, Any], place: tuple[str, ...], name: object, section: str) -> Iterator[Mistake]:
    known = _table(document, section)
    if isinstance(name, str) and name and name not in known:
        yield Mistake(place, f"names no table [{section}.{name}]; {meant(name, known)}")


def _login(document: Mapping[str, Any]) -> Iterator[Mistake]:
    name = _table(document, "login").get("issuer")
    issuer = _table(_table(document, "issuers"), name) if isinstance(name, str) else {}
    if "hs256_secret" in issuer:
        # OpenID Connect Core §3.1.3.7 item 8 would key them by our client_secret, which is another secret.
        yield Mistake(("login", "issuer"), "names an issuer with hs256_secret; name one that signs by public keys")


def _issuers(issuers: Mapping[str, Any]) -> Iterator[Mistake]:
    seen: dict[str, str] = {}
    for name, table in issuers.items():
        url = table.get("issuer") if isinstance(table, dict) else None
        if not isinstance(url, str):
            continue
        if url in seen:
            yield Mistake(
                ("issuers", name, "issuer"), f"is that of [issuers.{seen[url]}] too; write one table for both"
            )
        seen.setdefault(url, name)


def _opaque(issuers: Mapping[str, Any]) -> Iterator[Mistake]:
    """An opaque token is shown to one issuer only, and which one it is must not be a matter of chance."""
    asked = {name: table["introspection"] for name, table in issuers.items() if _table_in(table, "introspection")}
    takers = [name for name, table in asked.items() if table.get("opaque") is True]
    for name in takers[1:]:
        place = ("issuers", name, "introspection", "opaque")
        yield Mistake(place, f"is true in [issuers.{takers[0]}] too; write true in one of them, as it is asked alone")
    unsaid = [name for name, table in asked.items() if "opaque" not in table]
    if unsaid and not takers and len(asked) > 1:
        yield Mistake(
            ("issuers", unsaid[0], "introspection", "opaque"),
            "is missing, and several issuers have introspection; write opaque = true in the one that is to be asked"
            " about opaque tokens, or opaque = false in all of them",
        )


def _granted(
    client: str, table: Mapping[str, Any], providers: Mapping[str, Any], catalogue: Collection[str]
) -> Iterator[Mistake]:
    for name in _table(table, "providers"):
        place = ("clients", client, "providers", name)
        if name in providers:
            continue
        if name == "*":
            yield Mistake(place, "is no provider, and there are no wildcards; write one line for each provider")
        elif name in catalogue:
            yield Mistake(place, f"is in the catalogue only; write [providers.{name}] with your app's client_id")
        else:
            yield Mistake(place, f"names no table [providers.{name}]; {meant(name, providers)}")


def _table_in(table: Any, name: str) -> bool:
    return isinstance(table, dict) and isinstance(table.get(name), dict)


def _asserted_providers(client: str, table: Mapping[str, Any]) -> Iterator[Mistake]:
    granted = _table(table, "providers")
    names = table.get("assert_providers")
    for index, name in enumerate(names if isinstance(names, list) else ()):
        if isinstance(name, str) and name and name not in granted:
            place = ("clients", client, "assert_providers", index)
            yield Mistake(place, f"is none of this client's providers; {meant(name, granted)}")


def _asserted_issuers(client: str, table: Mapping[str, Any], issuers: Mapping[str, Any]) -> Iterator[Mistake]:
    given = table.get("assert_issuer")
    urls = [issuer.get("issuer") for issuer in issuers.values() if isinstance(issuer, dict)]
    for index, name in enumerate(given if isinstance(given, list) else [given]):
        if isinstance(name, str) and name and name not in issuers and name not in urls:
            place = ("clients", client, "assert_issuer", index)
            yield Mistake(
                place if isinstance(given, list) else place[:-1],
                f"names no table [issuers.…] and no issuer in one; {meant(name, issuers)}",
            )


def _table(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    table = document.get(name)
    return table if isinstance(table, dict) else {}
