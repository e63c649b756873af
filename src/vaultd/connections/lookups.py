"""Keyed hashes by which a provider's notice, which names an account or a token and no subject, finds connections."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from vaultd.connections.sealing import Opened, known_account
from vaultd.keys.keyring import Keyring

TokenNames: TypeAlias = Callable[[str], Iterable[str]]
"""The names that a provider gives to a refresh token of its own."""


@dataclass(frozen=True, slots=True)
class Lookups:
    """Those of one connection, as they stand in its row."""

    account: bytes | None
    tokens: tuple[bytes, ...] = ()


class NoticeLookups:
    """Makes them. `token_names` are those of the providers whose notices name refresh tokens."""

    def __init__(self, *, keyring: Keyring, token_names: Mapping[str, TokenNames]) -> None:
        self._keyring = keyring
        self._token_names = token_names

    def of(self, provider: str, opened: Opened) -> Lookups:
        """What a connection with these secrets is found by; worked out anew whenever they change."""
        # Where the provider names no account, or its name is not known yet, there is none that a notice could mean.
        account_id = known_account(opened.account_id)
        account = self.account(provider, account_id) if account_id is not None else None
        names = self._token_names.get(provider)
        tokens = names(opened.refresh_token.reveal()) if names and opened.refresh_token else ()
        return Lookups(account, tuple(self.token(provider, name) for name in tokens))

    def account(self, provider: str, account_id: str) -> bytes:
        """By the provider's immutable id for the account."""
        return self._keyring.lookup("notice account", provider, account_id)

    def token(self, provider: str, name: str) -> bytes:
        """By a name that the provider gives to a refresh token."""
        return self._keyring.lookup("notice token", provider, name)
