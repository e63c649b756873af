"""What one table says about another. Looks at the file as it is, so that a mistake in a table hides none here."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from vaultd.settings.mistakes import Mistake, meant


def check_references(document: Mapping[str, Any], catalogue: Collection[str]) -> Iterator[Mistake]:
    """Every name in the file that names nothing, and every issuer that is configured twice."""
    yield from _one_name(document, ("default_client",), document.get("default_client"), "clients")
    yield from _one_name(document, ("login", "issuer"), _table(document, "login").get("issuer"), "issuers")
    yield from _issuers(_table(document, "issuers"))
    for client, table in _table(document, "clients").items():
        if isinstance(table, dict):
            yield from _granted(client, table, _table(document, "providers"), catalogue)


def _one_name(document: Mapping[str, Any], place: tuple[str, ...], name: object, section: str) -> Iterator[Mistake]:
    known = _table(document, section)
    if isinstance(name, str) and name and name not in known:
        yield Mistake(place, f"names no table [{section}.{name}]; {meant(name, known)}")


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


def _table(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    table = document.get(name)
    return table if isinstance(table, dict) else {}
