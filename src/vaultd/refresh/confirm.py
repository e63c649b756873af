"""Asking the provider about a token that there is nothing to renew with, once a client says that it was refused.

A client's word alone breaks no connection: others use it too. The provider's own does. It is asked where it says so of
any token (`token_check_endpoint`), or for the account, as it was when the token came. Where that was not how it was
found, nobody can say, and the token stays. So it does where the grant lacks the scopes for being told: it was
brought along, and the provider may refuse for that alone.
"""

from __future__ import annotations

from typing import TypeAlias
from uuid import UUID

from vaultd.connections.sealing import Opened, known_account
from vaultd.connections.table import ConnectionRow
from vaultd.db import Database
from vaultd.errors import CannotOpen, InvalidTarget, ProviderError, ProviderRefused, TemporarilyUnavailable
from vaultd.flights import Flights
from vaultd.providers.oauth import OAuthClient
from vaultd.providers.registry import Provider
from vaultd.providers.replies import TOKEN_GONE
from vaultd.refresh.breaker import Breaker, host_of
from vaultd.refresh.claims import Claim, Claims, Flight
from vaultd.refresh.results import ENDED_THERE, CallResults

_Key: TypeAlias = tuple[UUID, Flight]


class Confirmer:
    """Single-flight within the process, by connection and client."""

    def __init__(
        self,
        *,
        database: Database,
        results: CallResults,
        claims: Claims,
        oauth: OAuthClient,
        breaker: Breaker,
    ) -> None:
        self._database = database
        self._results = results
        self._claims = claims
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
            stored = self._results.open(row)
        except (CannotOpen, InvalidTarget):
            # The counter has opened it a moment ago, and will say what is wrong with it now.
            return
        if not _can_be_asked(stored.provider, stored.opened, row):
            return
        async with self._database.transaction() as connection:
            await self._claims.count(connection, row, claim)
        if await self._is_dead(stored.provider, stored.opened):
            await self._results.break_connection(row, reason=ENDED_THERE, stored=stored)

    async def _is_dead(self, provider: Provider, opened: Opened) -> bool:
        try:
            with self._breaker.calling(host_of(_asked_at(provider) or "")):
                await self._oauth.check(provider, access_token=opened.access_token)
        except ProviderRefused as error:
            return error.error in TOKEN_GONE
        except (ProviderError, TemporarilyUnavailable):
            return False
        return False


def _asked_at(provider: Provider) -> str | None:
    return provider.config.token_check_endpoint or provider.config.userinfo_endpoint


def _can_be_asked(provider: Provider, opened: Opened, row: ConnectionRow) -> bool:
    """Whether a refusal there can be about nothing but the token."""
    if provider.config.token_check_endpoint is not None:
        return True
    # Imported without its account: whether the provider ever told it for this token is not known.
    told = known_account(opened.account_id) is not None
    return told and _asked_at(provider) is not None and provider.config.tells_whose(row.granted_scopes)
