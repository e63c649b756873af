"""A token for fewer scopes than the grant has, by a refresh that names them (RFC 6749 §6, security A7).

The stored token stays what it is. A rotated refresh token is in the row before the narrowed token can be used, since
both are written in one transaction, and only then is it released.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from vaultd.audit.events import EventType
from vaultd.audit.log import AuditLog
from vaultd.connections import narrowed, store
from vaultd.connections.table import ConnectionRow
from vaultd.db import Database
from vaultd.errors import RequestRefused, TemporarilyUnavailable
from vaultd.flights import Flights
from vaultd.persistence import persist
from vaultd.refresh.claims import Claim, Claims, Flight
from vaultd.refresh.leased import PATIENCE, Fresh, Leased
from vaultd.refresh.lives import life_of, renewed_by
from vaultd.refresh.results import CallResults
from vaultd.refresh.wakeups import Wakeups
from vaultd.refresh.whole import Refresher
from vaultd.terms import Clock, Scopes

NARROWED = "narrowed"
"""The reason in the event of a refresh that left the stored token as it was."""


class Narrower:
    """Single-flight narrowing, by connection and scopes.

    Answers None when the counter is worth asking again, or the refusal that applies.
    """

    def __init__(
        self,
        *,
        database: Database,
        log: AuditLog,
        leased: Leased,
        results: CallResults,
        refresher: Refresher,
        claims: Claims,
        wakeups: Wakeups,
        clock: Clock,
    ) -> None:
        self._database = database
        self._log = log
        self._leased = leased
        self._results = results
        self._refresher = refresher
        self._claims = claims
        self._wakeups = wakeups
        self._clock = clock
        self._flights: Flights[tuple[UUID, Scopes, Flight], RequestRefused | None] = Flights()

    async def narrow(
        self, row: ConnectionRow, scopes: Scopes, *, margin: timedelta, claim: Claim | None = None
    ) -> RequestRefused | None:
        """Get and keep a token with these scopes that does not end within `margin`, or wait for whoever does.

        By a `claim` another than the one that it is about.

        Raises:
            SlowDown: for a claim: there were as many as may be.
        """
        key = row.id, scopes, claim.flight(row) if claim is not None else None
        return await self._flights.join(key, lambda: self._fly(row, scopes, margin, claim))

    async def drain(self) -> None:
        """Let what is under way come to its end."""
        await self._flights.drain()

    async def _fly(
        self, asked: ConnectionRow, scopes: Scopes, margin: timedelta, claim: Claim | None
    ) -> RequestRefused | None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + PATIENCE
        with self._wakeups.of(asked.id) as waiter:
            while loop.time() < deadline:
                paused = self._leased.paused(asked)
                if paused is not None:
                    return paused
                async with self._database.transaction() as connection:
                    # Read anew each time: whoever held the lease may have stored another refresh token.
                    row = await store.get(connection, asked.id)
                    if row is None or (row.generation, row.status) != (asked.generation, asked.status):
                        return None
                    found = await narrowed.find(connection, [(row.id, scopes)], after=self._clock() + margin)
                    kept = found.get((row.id, scopes))
                    if kept is not None and (claim is None or not self._claims.is_kept(row, kept, claim)):
                        return None
                    # Fails if the row has moved since it was read, so that nobody narrows what was narrowed just now.
                    fence = await self._leased.take(connection, row)
                    if fence is not None and claim is not None:
                        await self._claims.count(connection, row, claim)
                if fence is not None:
                    return await self._narrow_under_lease(row, fence, scopes, claim)
                await waiter.wait()
        return TemporarilyUnavailable(retry_after=5, reason="refresh_busy")

    async def _narrow_under_lease(
        self, row: ConnectionRow, fence: int, scopes: Scopes, claim: Claim | None
    ) -> RequestRefused | None:
        fresh = await self._leased.call(row, fence, scopes=scopes)
        if isinstance(fresh, Fresh):
            await self._store(row, fence, scopes, fresh, claim)
            return None
        if fresh is not None and self._leased.is_doubtful(row):
            return await self._of_whole(row, fresh)
        return fresh

    async def _of_whole(self, row: ConnectionRow, refusal: RequestRefused) -> RequestRefused | None:
        """Find out whether the grant is over, which nobody else would where all clients narrow."""
        # Read anew: the lease was ours a moment ago.
        current = await self._now(row)
        if current is None:
            return None
        if await self._refresher.refresh(current) is not None:
            return refusal
        return None if await self._now(row) is None else refusal

    async def _now(self, row: ConnectionRow) -> ConnectionRow | None:
        """The row as it is; None where its grant is another, or over."""
        async with self._database.transaction() as connection:
            current = await store.get(connection, row.id)
        if current is None or (current.generation, current.status) != (row.generation, row.status):
            return None
        return current

    async def _store(self, row: ConnectionRow, fence: int, scopes: Scopes, fresh: Fresh, claim: Claim | None) -> None:
        grant, stored, now = fresh.grant, fresh.stored, self._clock()
        carries = stored.provider.config.scope_rules.received(scopes, grant.scopes).granted
        kept = renewed_by(stored.opened, grant, stored.provider.config, now)
        place = narrowed.Place.of(row, stored.opened.account_id, scopes, _end(fresh, row, now))

        async def write(again: bool) -> None:  # noqa: FBT001 - `persist` calls it
            async with self._log.transaction() as transaction:
                if not await self._results.store(
                    transaction.connection,
                    row,
                    fence,
                    replace(stored, opened=kept),
                    fresh.issued,
                    scopes=row.granted_scopes,
                    expires_at=row.expires_at,
                    again=again,
                ):
                    return
                await narrowed.keep(transaction.connection, stored.key, place, grant.access_token, carries, now=now)
                draft = await self._results.draft(transaction.connection, row, EventType.TOKEN_REFRESHED)
                if claim is not None:
                    await self._claims.look_at(transaction.connection, row, claim, grant.access_token)
                    draft = replace(draft, client_id=claim.client_id)
                await transaction.append(replace(draft, reason=NARROWED, scopes=carries, revision=row.revision + 1))
            self._results.count(row, NARROWED)

        await persist(write)


def _end(fresh: Fresh, row: ConnectionRow, now: datetime) -> datetime:
    """When the token ends; where no answer has said, what its table assumes, as another can be had then."""
    config = fresh.stored.provider.config
    life = life_of(fresh.grant, fresh.stored.opened, row, config)
    return now + timedelta(seconds=config.assumed_ttl if life is None else life)
