"""One call to the provider under the lease, and what follows where it brought nothing to store."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeAlias
from uuid import uuid4

from sqlalchemy.ext.asyncio import AsyncConnection

from vaultd.connections import lease
from vaultd.connections.table import ConnectionRow
from vaultd.db import Database
from vaultd.errors import (
    CannotOpen,
    InvalidScope,
    InvalidTarget,
    ProviderError,
    ProviderRefused,
    ProviderUnavailable,
    RequestRefused,
    TemporarilyUnavailable,
)
from vaultd.providers.answers import Grant
from vaultd.providers.oauth import Issued, OAuthClient
from vaultd.providers.registry import Provider, Providers
from vaultd.providers.templates import gaps
from vaultd.refresh.breaker import LONGEST_ASKED, Breaker, host_of
from vaultd.refresh.patience import ANY_HOST, Patience
from vaultd.refresh.results import CallResults, Stored
from vaultd.terms import Clock, Scopes, Secret, Verdict

PATIENCE = lease.LASTS.total_seconds() * 2
"""Seconds for which somebody else's lease is waited for."""
MENDED_AFTER = 30
"""Seconds until what only an operator can mend may be mended."""
BUSY_FOR = 2
"""Seconds until another request for the same grant is over."""
SECOND_TRY = 1.5
"""Seconds between two tries, where the first word that a grant is dead may be wrong."""
BOTH_TRIES = lease.LASTS.total_seconds() - 1.0
"""Seconds that the two of them may take, so that the lease still stands."""

_OURS = frozenset({"provider_paused", "provider_unavailable"})

Nothing: TypeAlias = RequestRefused | None
"""Nothing came: the refusal that applies, or None when the row is worth another look."""


@dataclass(frozen=True, slots=True)
class Fresh:
    """What a refresh brought, and what stood in the row when it was asked for."""

    stored: Stored
    grant: Grant

    @property
    def issued(self) -> list[Issued]:
        """Its tokens, for where they are not stored."""
        return [Issued(self.grant.access_token, self.grant.refresh_token)]


@dataclass(frozen=True, slots=True)
class _Call:
    """One refresh under the lease `fence`, for a token with `scopes` where given, and what it `issued`.

    `sent` are the scopes that it names: where a provider wants them, those of the whole grant too.
    """

    row: ConnectionRow
    fence: int
    scopes: Scopes | None
    sent: Scopes | None
    stored: Stored
    issued: list[Issued] = field(default_factory=list)


class Leased:
    """This process as an owner of leases."""

    def __init__(
        self,
        *,
        database: Database,
        results: CallResults,
        providers: Providers,
        oauth: OAuthClient,
        breaker: Breaker,
        patience: Patience,
        clock: Clock,
        second_try: float = SECOND_TRY,
    ) -> None:
        self._database = database
        self._results = results
        self._providers = providers
        self._oauth = oauth
        self._breaker = breaker
        self._patience = patience
        self._clock = clock
        self._second_try = second_try
        self._owner = uuid4()

    async def take(self, connection: AsyncConnection, row: ConnectionRow) -> int | None:
        """Take the lease and write the intent; gives the fencing number, or None when another holds it."""
        return await lease.take(connection, row, owner=self._owner, now=self._clock())

    def paused(self, row: ConnectionRow) -> TemporarilyUnavailable | None:
        """The refusal while this row or its provider's host is left alone; without a lease: there is nothing to do."""
        try:
            self._patience.check(row)
            self._breaker.check(self._host(row))
        except TemporarilyUnavailable as refusal:
            self._results.count(row, "paused")
            return refusal
        return None

    async def call(self, row: ConnectionRow, fence: int, *, scopes: Scopes | None = None) -> Fresh | Nothing:
        """Use the refresh token once, for a token with `scopes` where given. The lease is held on only by `Fresh`."""
        try:
            stored = self._results.open(row)
        except CannotOpen as error:
            # Moved or altered bytes: the event of who asked for them says so.
            await self._not_called(row, fence)
            return TemporarilyUnavailable(retry_after=MENDED_AFTER, reason=error.reason, detail=error.detail)
        except InvalidTarget:
            await self._not_called(row, fence)
            return self._unavailable(row, MENDED_AFTER, "")
        if stored.opened.refresh_token is None:
            await self._results.break_connection(row, reason="no_refresh_token", fence=fence)
            return None
        call = _Call(row, fence, scopes, self._scopes_sent(stored.provider, row, scopes), stored)
        try:
            grant = await self._ask(call, stored.opened.refresh_token)
        except ProviderError as error:
            return await self._nothing_came(call, error)
        except TemporarilyUnavailable as error:
            # Left alone meanwhile.
            await self._not_called(row, fence)
            return error
        self._patience.served(row, host_of(stored.provider.config.refreshed_at))
        return Fresh(stored, grant)

    async def _not_called(self, row: ConnectionRow, fence: int) -> None:
        """What is known of an earlier call stays as it was."""
        await self._give_back(row, fence, keep_intent=row.intent_fence is not None)

    async def _ask(self, call: _Call, refresh_token: Secret) -> Grant:
        """Ask the provider; once more after a pause where its first word that the grant is dead may be wrong."""
        provider, loop = call.stored.provider, asyncio.get_running_loop()
        until = loop.time() + BOTH_TRIES

        async def ask() -> Grant:
            with self._breaker.calling(host_of(provider.config.refreshed_at)):
                return await self._oauth.refresh(
                    provider, refresh_token=refresh_token, scopes=call.sent, issued=call.issued.append
                )

        try:
            return await ask()
        except ProviderRefused as error:
            if error.verdict is not Verdict.DEAD or not provider.config.asked_twice:
                raise
        try:
            async with asyncio.timeout_at(until):
                await asyncio.sleep(self._second_try)
                return await ask()
        except TimeoutError:
            raise ProviderUnavailable(detail="no second answer while the lease lasts", outage=False) from None

    @staticmethod
    def _scopes_sent(provider: Provider, row: ConnectionRow, scopes: Scopes | None) -> Scopes | None:
        if scopes is not None or not provider.config.refresh_sends_scopes:
            return scopes
        # Of a grant whose scopes nobody knows, none can be named.
        granted = row.granted_scopes
        return Scopes(granted | set(provider.config.refresh_adds_scopes)) if granted else None

    def _host(self, row: ConnectionRow) -> str:
        """The host at which a row's refresh is asked for; "" where nobody can say, and the call will tell why."""
        try:
            provider = self._providers.get(row.provider)
            if gaps(provider.config.refreshed_at):
                provider = self._results.open(row).provider
        except (CannotOpen, InvalidTarget):
            return ""
        return host_of(provider.config.refreshed_at)

    def is_doubtful(self, row: ConnectionRow) -> bool:
        """Whether tokens for fewer scopes were refused so often that the whole grant may be over."""
        return self._patience.is_doubtful(row)

    async def _nothing_came(self, call: _Call, error: ProviderError) -> Nothing:
        if isinstance(error, ProviderRefused):
            return await self._refused(call, error)
        if isinstance(error, ProviderUnavailable):
            return await self._nothing_usable(call, error)
        raise error

    async def _nothing_usable(self, call: _Call, error: ProviderUnavailable) -> Nothing:
        host = host_of(call.stored.provider.config.refreshed_at)
        # Whoever gives tokens for a grant says that it is alive, whatever else the answer says.
        word = error.word if not call.issued else None
        # An answer in no words of its own would be given for all scopes too.
        if not error.outage and (call.scopes is None or word is None):
            self._patience.refused(call.row, unknown=word is not None, retry_after=error.retry_after)
            if word is not None and await self._is_over(call, word, host=host):
                return None
        elif word is not None:
            self._patience.refused_in_part(call.row)
        # C6: no usable answer does not mean that the provider did nothing.
        await self._end_lease(call, keep_intent=True)
        retry_after = max(self._breaker.retry_after(host), min(error.retry_after or 0, LONGEST_ASKED))
        return self._unavailable(call.row, round(retry_after), error.detail)

    async def _refused(self, call: _Call, error: ProviderRefused) -> RequestRefused | None:
        if error.verdict is Verdict.DEAD:
            # C3: final only if the row is still the one we asked with; `break_connection` compares under its lock.
            # Nothing is rotated where no refresh brings another token.
            interrupted = call.row.intent_fence is not None and call.stored.provider.config.rotation != "never"
            await self._break(call, "rotation_lost" if interrupted else "invalid_grant")
            return None
        unknown = error.verdict is Verdict.UNKNOWN and not call.issued
        scopes_refused = call.scopes is not None and error.error == "invalid_scope"
        if call.scopes is None or not (unknown or scopes_refused):
            self._patience.refused(call.row, unknown=unknown)
            if unknown and await self._is_over(call, error.error):
                return None
        elif not scopes_refused:
            # Where fewer scopes are refused, that says nothing about the grant by itself.
            self._patience.refused_in_part(call.row)
        await self._end_lease(call, keep_intent=call.row.intent_fence is not None)
        self._results.count(call.row, "refused")
        return narrowing_refused(error) if scopes_refused else _refused_for_now(error)

    async def _is_over(self, call: _Call, word: str, *, host: str = ANY_HOST) -> bool:
        """End a grant whose refusals nobody can explain, once they have come for long enough."""
        if not self._patience.is_enough(call.row, host=host):
            return False
        await self._break(call, in_its_words(word))
        return True

    async def _break(self, call: _Call, reason: str) -> None:
        await self._results.break_connection(
            call.row, reason=reason, stored=call.stored, fence=call.fence, issued=call.issued
        )

    async def _end_lease(self, call: _Call, *, keep_intent: bool) -> None:
        if not call.issued:
            await self._give_back(call.row, call.fence, keep_intent=keep_intent)
        elif await self._results.keep_issued(call.row, call.fence, call.stored, call.issued):
            # Another revision, and yet no renewed grant: it is left alone for as long as it would have been.
            self._patience.follow(call.row)

    def _unavailable(self, row: ConnectionRow, retry_after: int, detail: str) -> TemporarilyUnavailable:
        self._results.count(row, "unavailable")
        return TemporarilyUnavailable(retry_after=retry_after, reason="provider_unavailable", detail=detail)

    async def _give_back(self, row: ConnectionRow, fence: int, *, keep_intent: bool) -> None:
        async with self._database.transaction() as connection:
            await lease.give_back(connection, row, fence=fence, keep_intent=keep_intent)


def narrowing_refused(error: ProviderRefused) -> InvalidScope:
    """The refusal where a provider gives no token for what alone is asked for."""
    return InvalidScope(
        "The provider does not give a token for these permissions alone.",
        reason="narrowing_refused",
        detail=error.detail,
    )


def in_its_words(word: str) -> str:
    """The reason that repeats a provider's word. None becomes one of our own, which tells of something else."""
    reason = f"provider_{word}"[:64]
    return "provider_unknown_error" if reason in _OURS else reason


def _refused_for_now(error: ProviderRefused) -> TemporarilyUnavailable:
    # As far as is known, the provider refuses us, not the user: a wrong client secret, say.
    retry_after = BUSY_FOR if error.verdict is Verdict.BUSY else MENDED_AFTER
    return TemporarilyUnavailable(retry_after=retry_after, reason=in_its_words(error.error), detail=error.detail)


def expiry(grant: Grant, now: datetime) -> datetime | None:
    """When a grant's access token ends, by our clock; None where the provider does not say."""
    return None if grant.expires_in is None else now + timedelta(seconds=grant.expires_in)
