"""A token for some of what a GitHub App's token may do, by GitHub's own exchange (security A7).

The stored token is what it is asked for with, and stays as it is: nothing is used up, so no lease is needed. Two
processes may each get one; the later one is kept. It never outlives the stored token, and is forgotten when that is
renewed, since GitHub then ends the stored token and does not say what becomes of those got from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from vaultd.audit.events import EventType
from vaultd.audit.log import AuditLog
from vaultd.connections import narrowed, store
from vaultd.connections.table import ConnectionRow
from vaultd.db import Database
from vaultd.errors import (
    CannotOpen,
    InvalidTarget,
    ProviderError,
    ProviderRefused,
    ProviderUnavailable,
    RequestRefused,
    TemporarilyUnavailable,
)
from vaultd.flights import Flights
from vaultd.persistence import persist
from vaultd.providers.oauth import Issued, OAuthClient
from vaultd.providers.replies import TOKEN_GONE
from vaultd.refresh.breaker import LONGEST_ASKED, Breaker, host_of
from vaultd.refresh.claims import Claim, Claims, Flight
from vaultd.refresh.leased import MENDED_AFTER, Fresh, expiry, in_its_words, narrowing_refused
from vaultd.refresh.narrow import NARROWED
from vaultd.refresh.patience import Patience
from vaultd.refresh.results import ENDED_THERE, CallResults, Stored
from vaultd.refresh.whole import Refresher
from vaultd.terms import Clock, Narrowing, Scopes

_OF_PERMISSIONS = frozenset({"invalid_scope", "access_denied"})
"""Errors that are about what was asked for."""
ROUNDS = 3
"""Looks at a row that moves meanwhile, before whoever asks is told to come again."""


@dataclass(frozen=True, slots=True)
class _Again:
    """The row is another by now, or should be looked at once more."""


class Scoper:
    """Single-flight within the process, by connection and narrowing.

    Answers None when the counter is worth asking again, or the refusal that applies.
    """

    def __init__(
        self,
        *,
        database: Database,
        log: AuditLog,
        results: CallResults,
        claims: Claims,
        refresher: Refresher,
        oauth: OAuthClient,
        breaker: Breaker,
        patience: Patience,
        clock: Clock,
    ) -> None:
        self._database = database
        self._log = log
        self._results = results
        self._claims = claims
        self._refresher = refresher
        self._oauth = oauth
        self._breaker = breaker
        self._patience = patience
        self._clock = clock
        self._flights: Flights[tuple[UUID, Scopes, Flight], RequestRefused | None] = Flights()

    async def scope(
        self, row: ConnectionRow, narrowing: Narrowing, *, margin: timedelta, claim: Claim | None = None
    ) -> RequestRefused | None:
        """Get and keep a token for no more than this that does not end within `margin`.

        By a `claim` another than the one that it is about.

        Raises:
            SlowDown: for a claim: there were as many as may be.
            Replayed: for a claim: GitHub gave that very token once more.
        """
        key = row.id, narrowing.key, claim.flight(row) if claim is not None else None
        return await self._flights.join(key, lambda: self._fly(row, narrowing, margin, claim))

    async def drain(self) -> None:
        """Let what is under way come to its end."""
        await self._flights.drain()

    async def _fly(
        self, asked: ConnectionRow, narrowing: Narrowing, margin: timedelta, claim: Claim | None
    ) -> RequestRefused | None:
        renewed = False
        for turn in range(ROUNDS):
            row = await self._row_to_ask_with(asked, narrowing, margin, claim)
            if row is None:
                return None
            if claim is not None and turn == 0:
                async with self._database.transaction() as connection:
                    await self._claims.count(connection, row, claim)
            if not renewed and _ends_within(row, margin, self._clock()):
                renewed, refusal = True, await self._refresher.refresh(row)
                # C4: while the stored token is good, another can be had for it.
                if refusal is not None and _ends_within(row, timedelta(), self._clock()):
                    return refusal
                continue
            outcome = await self._ask(row, narrowing, claim, renewed=renewed)
            if not isinstance(outcome, _Again):
                return outcome
            renewed = True
        return TemporarilyUnavailable(retry_after=2, reason="refresh_busy")

    async def _row_to_ask_with(
        self, asked: ConnectionRow, narrowing: Narrowing, margin: timedelta, claim: Claim | None
    ) -> ConnectionRow | None:
        """The row as it is now; None where the grant is another, or the token is there already."""
        async with self._database.transaction() as connection:
            row = await store.get(connection, asked.id)
            if row is None or (row.generation, row.status) != (asked.generation, asked.status):
                return None
            found = await narrowed.find(connection, [(row.id, narrowing.key)], after=self._clock() + margin)
        kept = found.get((row.id, narrowing.key))
        if kept is None or (claim is not None and self._claims.is_kept(row, kept, claim)):
            return row
        return None

    async def _ask(
        self, row: ConnectionRow, narrowing: Narrowing, claim: Claim | None, *, renewed: bool
    ) -> RequestRefused | _Again | None:
        try:
            stored = self._results.open(row)
        except (CannotOpen, InvalidTarget) as error:
            return TemporarilyUnavailable(retry_after=MENDED_AFTER, reason=error.reason, detail=error.detail)
        host, issued = host_of(stored.provider.config.narrowing_endpoint or ""), list[Issued]()
        try:
            self._patience.check(row)
            with self._breaker.calling(host):
                grant = await self._oauth.scope_down(
                    stored.provider,
                    access_token=stored.opened.access_token,
                    narrowing=narrowing,
                    issued=issued.append,
                )
        except TemporarilyUnavailable as refusal:
            self._results.count(row, "paused")
            return refusal
        except ProviderError as error:
            await self._give_away(row, stored, issued)
            return await self._nothing_came(row, stored, error, renewed=renewed)
        self._patience.served(row, host)
        return await self._store(row, narrowing, Fresh(stored, grant), claim)

    async def _give_away(self, row: ConnectionRow, stored: Stored, issued: Sequence[Issued]) -> None:
        if not issued:
            return

        async def write(_: bool) -> None:  # noqa: FBT001 - `persist` calls it
            async with self._database.transaction() as connection:
                await self._results.give_away(connection, row, stored.opened, issued)

        await persist(write)

    async def _nothing_came(
        self, row: ConnectionRow, stored: Stored, error: ProviderError, *, renewed: bool
    ) -> RequestRefused | _Again | None:
        if isinstance(error, ProviderUnavailable):
            return self._unavailable(row, stored, error)
        if not isinstance(error, ProviderRefused):
            raise error
        self._results.count(row, "refused")
        if error.error == "invalid_token":
            return await self._not_accepted(row, stored, renewed=renewed)
        if error.error in _OF_PERMISSIONS:
            return narrowing_refused(error)
        self._patience.refused(row)
        return TemporarilyUnavailable(retry_after=MENDED_AFTER, reason=in_its_words(error.error), detail=error.detail)

    def _unavailable(self, row: ConnectionRow, stored: Stored, error: ProviderUnavailable) -> TemporarilyUnavailable:
        self._results.count(row, "unavailable")
        if not error.outage:
            self._patience.refused(row, retry_after=error.retry_after)
        host = host_of(stored.provider.config.narrowing_endpoint or "")
        retry_after = max(self._breaker.retry_after(host), min(error.retry_after or 0, LONGEST_ASKED))
        return TemporarilyUnavailable(
            retry_after=round(retry_after), reason="provider_unavailable", detail=error.detail
        )

    async def _not_accepted(
        self, row: ConnectionRow, stored: Stored, *, renewed: bool
    ) -> RequestRefused | _Again | None:
        """GitHub does not know the stored token: the user may have withdrawn the app there, or it was renewed."""
        if row.refresh_token is not None and not renewed:
            # The refresh finds out, and ends the connection in the open if so it is.
            return await self._refresher.refresh(row) or _Again()
        try:
            await self._oauth.account(stored.provider, access_token=stored.opened.access_token)
        except ProviderRefused as error:
            if error.error in TOKEN_GONE and stored.provider.config.tells_whose(row.granted_scopes):
                await self._results.break_connection(row, reason=ENDED_THERE, stored=stored)
                return None
        except ProviderError:
            pass
        # The token is good, and yet not this app's: its configuration is another's.
        return TemporarilyUnavailable(retry_after=MENDED_AFTER, reason="provider_invalid_token")

    async def _store(
        self, row: ConnectionRow, narrowing: Narrowing, fresh: Fresh, claim: Claim | None
    ) -> RequestRefused | _Again | None:
        stored, now, carries = fresh.stored, self._clock(), fresh.grant.scopes or Scopes()
        place = narrowed.Place.of(row, stored.opened.account_id, narrowing.key, _end(row, fresh, now))
        kept = False

        async def write(_: bool) -> None:  # noqa: FBT001 - `persist` calls it
            nonlocal kept
            async with self._log.transaction() as transaction:
                connection = transaction.connection
                kept = await store.hold_as_it_was(connection, row)
                if not kept:
                    # C7: no token outlives its grant, and this one can be ended by itself.
                    await self._results.give_away(connection, row, stored.opened, fresh.issued)
                    return
                await narrowed.keep(connection, stored.key, place, fresh.grant.access_token, carries, now=now)
                draft = await self._results.draft(connection, row, EventType.TOKEN_REFRESHED)
                if claim is not None:
                    await self._claims.look_at(connection, row, claim, fresh.grant.access_token)
                    draft = replace(draft, client_id=claim.client_id)
                await transaction.append(replace(draft, reason=NARROWED, scopes=carries))

        await persist(write)
        self._results.count(row, NARROWED if kept else "superseded")
        return None if kept else _Again()


def _ends_within(row: ConnectionRow, margin: timedelta, now: datetime) -> bool:
    return row.expires_at is not None and row.expires_at - margin <= now


def _end(row: ConnectionRow, fresh: Fresh, now: datetime) -> datetime:
    """When the token ends: never after the one it was got for; where nobody says, what the table assumes."""
    ends = [moment for moment in (expiry(fresh.grant, now), row.expires_at) if moment is not None]
    return min(ends, default=now + timedelta(seconds=fresh.stored.provider.config.assumed_ttl))
