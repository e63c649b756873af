"""Asking the provider about a token that there is nothing to renew with, once a client says that it was refused.

A client's word alone breaks no connection: others use it too. The provider's own does. It is asked where it says so of
any token (`token_check_endpoint`), or for the account, as it was when the token came. Where that was not how it was
found, nobody can say, and the token stays. So it does where the grant lacks the scopes for being told: it was
brought along, and the provider may refuse for that alone.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeAlias
from uuid import UUID

from vaultd.audit.events import EventType
from vaultd.audit.log import AuditLog
from vaultd.connections import store
from vaultd.connections.sealing import Opened, data_key_of, known_account, open_connection
from vaultd.connections.table import ConnectionRow
from vaultd.db import Database
from vaultd.errors import CannotOpen, InvalidTarget, ProviderError, ProviderRefused, TemporarilyUnavailable
from vaultd.flights import Flights
from vaultd.keys.data_keys import DataKeys
from vaultd.providers.oauth import OAuthClient
from vaultd.providers.registry import Provider, Providers
from vaultd.providers.replies import TOKEN_GONE
from vaultd.refresh.breaker import Breaker, host_of
from vaultd.refresh.claims import Claim, Claims, Flight
from vaultd.refresh.leased import Ended, Leased

ENDED_THERE = "revoked_at_provider"

_Key: TypeAlias = tuple[UUID, Flight]


class Confirmer:
    """Single-flight within the process, by connection and client."""

    def __init__(
        self,
        *,
        database: Database,
        log: AuditLog,
        data_keys: DataKeys,
        leased: Leased,
        claims: Claims,
        providers: Providers,
        oauth: OAuthClient,
        breaker: Breaker,
    ) -> None:
        self._database = database
        self._log = log
        self._data_keys = data_keys
        self._leased = leased
        self._claims = claims
        self._providers = providers
        self._oauth = oauth
        self._breaker = breaker
        self._flights: Flights[_Key, None] = Flights()

    async def confirm(self, row: ConnectionRow, claim: Claim) -> None:
        """End the connection if the provider itself does not accept its token.

        Raises:
            SlowDown: it was asked often enough.
        """
        await self._flights.join((row.id, claim.flight(row)), lambda: self._fly(row, claim))

    async def drain(self) -> None:
        """Let what is under way come to its end."""
        await self._flights.drain()

    async def _fly(self, row: ConnectionRow, claim: Claim) -> None:
        try:
            key = data_key_of(row, self._data_keys)
            opened = open_connection(key, row)
            provider = self._providers.get(row.provider).at(opened.metadata)
        except (CannotOpen, InvalidTarget):
            # The counter has opened it a moment ago, and will say what is wrong with it now.
            return
        if not _can_be_asked(provider, opened, row):
            return
        async with self._database.transaction() as connection:
            await self._claims.count(connection, row, claim)
        if await self._is_dead(provider, opened):
            await self._break(row, Ended(provider, key, opened))

    async def _is_dead(self, provider: Provider, opened: Opened) -> bool:
        try:
            with self._breaker.calling(host_of(_asked_at(provider) or "")):
                await self._oauth.check(provider, access_token=opened.access_token)
        except ProviderRefused as error:
            return error.error in TOKEN_GONE
        except (ProviderError, TemporarilyUnavailable):
            return False
        return False

    async def _break(self, row: ConnectionRow, ended: Ended) -> None:
        kept = self._leased.kept(row, ended)
        async with self._log.transaction() as transaction:
            if await store.break_connection(transaction.connection, row, fence=None, reason=ENDED_THERE, kept=kept):
                draft = await self._leased.draft(transaction.connection, row, EventType.CONNECTION_BROKEN)
                await transaction.append(replace(draft, reason=ENDED_THERE))
                self._leased.count(row, "broken")


def _asked_at(provider: Provider) -> str | None:
    return provider.config.token_check_endpoint or provider.config.userinfo_endpoint


def _can_be_asked(provider: Provider, opened: Opened, row: ConnectionRow) -> bool:
    """Whether a refusal there can be about nothing but the token."""
    if provider.config.token_check_endpoint is not None:
        return True
    # Imported without its account: whether the provider ever told it for this token is not known.
    told = known_account(opened.account_id) is not None
    return told and _asked_at(provider) is not None and provider.config.tells_whose(row.granted_scopes)
