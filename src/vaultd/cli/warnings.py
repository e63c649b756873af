"""What an operator may have configured knowingly, and is told about all the same. Looks at the settings alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from vaultd.clients.config import ClientConfig
from vaultd.settings import Settings

NOTHING = "none"
"""By which a client proves itself that anyone may say to be."""


def warnings(settings: Settings) -> Iterator[tuple[str, str]]:
    """What it is about, and what can come of it."""
    if settings.database.tls == "unverified":
        text = "the server need not prove itself: whoever stands in between reads the password, and then everything"
        yield "database tls", text
    yield from _without_secret(settings)
    yield from _secrets_worth_nothing(settings.clients)
    yield from _trusted_without_secret(settings)
    yield from _never_revoked(settings)


def _without_secret(settings: Settings) -> Iterator[tuple[str, str]]:
    # Any issuer's token may name such a client. Bound to a key, a stolen one is of no use (api.md §1.1).
    if settings.issuers and all(issuer.dpop == "required" for issuer in settings.issuers.values()):
        return
    for name, client in settings.clients.items():
        if client.auth == NOTHING and not client.ip_allowlist:
            how = "implicit" if client.implicit else 'auth = "none"'
            yield _client(name), f"{how} without ip_allowlist: whoever has a user's session token gets provider tokens"


def _secrets_worth_nothing(clients: Mapping[str, ClientConfig]) -> Iterator[tuple[str, str]]:
    """A token that two clients accept is presented through the one that asks for less."""
    for name, client in clients.items():
        if client.auth != NOTHING:
            continue
        for other, proven in clients.items():
            shared = sorted(_accepted(name, client) & _accepted(other, proven))
            if proven.auth != NOTHING and shared:
                tokens = ", ".join(f'"{azp}"' for azp in shared)
                text = f"takes tokens issued to {tokens}, as {other} does, and has no secret"
                yield _client(name), f"{text}: for what both may have, the secret of {other} is worth nothing"


def _trusted_without_secret(settings: Settings) -> Iterator[tuple[str, str]]:
    for issuer, config in settings.issuers.items():
        for name in config.trusted_clients:
            client = settings.clients.get(name)
            if client is not None and client.auth == NOTHING:
                text = f"is among trusted_clients of issuer {issuer}, and has no secret"
                yield _client(name), f"{text}: whoever has any token of that issuer gets what this client may have"


def _never_revoked(settings: Settings) -> Iterator[tuple[str, str]]:
    """Where nobody can say whose a grant is, and no table what its revocation ends, others may live on it."""
    for name, provider in settings.providers.items():
        unknown = provider.revocation_ends is None and not provider.names_accounts
        if provider.revocation_endpoint is not None and unknown:
            text = "names no accounts, and no revocation_ends says what a revocation ends: a token is revoked at the"
            yield f"provider {name}", f"{text} provider only when nobody else is connected there"


def _accepted(name: str, client: ClientConfig) -> frozenset[str]:
    return frozenset((name,) if client.subject_azp is None else client.subject_azp)


def _client(name: str) -> str:
    return f"client {name}"
