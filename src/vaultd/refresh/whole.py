"""Renewing the stored token of one connection."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from vaultd.audit.events import EventType
from vaultd.audit.log import AuditLog
from vaultd.connections import narrowed, store
from vaultd.connections.table import ConnectionRow
from vaultd.db import Database
from vaultd.errors import RequestRefused, TemporarilyUnavailable
from vaultd.flights import Flights
from vaultd.persistence import persist
from vaultd.refresh.claims import REPORTED, Claim, Claims, Flight
from vaultd.refresh.leased import PATIENCE, Fresh, Leased
from vaultd.refresh.lives import life_of, renewed_by
from vaultd.refresh.results import CallResults
from vaultd.refresh.wakeups import Wakeups
from vaultd.scopes import Received
from vaultd.terms import NO_SCOPES, Clock, Scopes


class Refresher:
    """Single-flight refresh. Answers None when the row is worth another look, or the refusal that applies."""

    def __init__(
        self,
        *,
        database: Database,
        log: AuditLog,
        leased: Leased,
        results: CallResults,
        claims: Claims,
        wakeups: Wakeups,
        clock: Clock,
    ) -> None:
        self._database = database
        self._log = log
        self._leased = leased
        self._results = results
        self._claims = claims
        self._wakeups = wakeups
        self._clock = clock
        self._flights: Flights[tuple[UUID, Flight], RequestRefused | None] = Flights()

    async def refresh(self, row: ConnectionRow, *, claim: Claim | None = None) -> RequestRefused | None:
        """Refresh a row that is stale, or by a `claim` one that is not, or wait for whoever does.

        Raises:
            SlowDown: for a claim: there were as many as may be.
        """
        key = row.id, claim.flight(row) if claim is not None else None
        return await self._flights.join(key, lambda: self._fly(row, claim))

    async def drain(self) -> None:
        """Let the refreshes under way come to their end."""
        await self._flights.drain()

    async def _fly(self, row: ConnectionRow, claim: Claim | None) -> RequestRefused | None:
        deadline = _loop_time() + PATIENCE
        # From before the first look, so that no word of the lease's end is missed.
        with self._wakeups.of(row.id) as waiter:
            while _loop_time() < deadline:
                paused = self._leased.paused(row)
                if paused is not None:
                    return paused
                async with self._database.transaction() as connection:
                    fence = await self._leased.take(connection, row)
                    if fence is not None and claim is not None:
                        # With the lease or not at all: who finds another at it causes no call.
                        await self._claims.count(connection, row, claim)
                    current = row if fence is not None else await store.get(connection, row.id)
                if fence is not None:
                    return await self._refresh_under_lease(row, fence, claim)
                if current is None or _moved(current, row):
                    return None
                if current.revision != row.revision:
                    if claim is not None and not self._claims.is_stored(current, claim):
                        # It may have been renewed without its end being another.
                        return None
                    # Somebody has narrowed meanwhile, and the stored token is as stale as it was.
                    row = current
                    continue
                if current.lease_until is None and current.lease_fence != row.lease_fence:
                    # The other process gave its lease back without a new revision: its call failed, and ours would too.
                    return TemporarilyUnavailable(retry_after=2, reason="provider_unavailable")
                row = current
                await waiter.wait()
        return TemporarilyUnavailable(retry_after=5, reason="refresh_busy")

    async def _refresh_under_lease(self, row: ConnectionRow, fence: int, claim: Claim | None) -> RequestRefused | None:
        fresh = await self._leased.call(row, fence)
        if not isinstance(fresh, Fresh):
            return fresh
        await self._store(row, fence, fresh, claim)
        return None

    async def _store(self, row: ConnectionRow, fence: int, fresh: Fresh, claim: Claim | None) -> None:
        grant, opened, now = fresh.grant, fresh.stored.opened, self._clock()
        wider = opened.wider_scopes
        granted = NO_SCOPES if wider is None else Scopes(row.granted_scopes | wider)
        before, config = Received(granted, opened.unclear_scopes), fresh.stored.provider.config
        # It was a refresh token that brought this; and who is meant does not change by it.
        shown = config.scopes_shown(renewable=True, signed=True)
        received = config.scope_rules.renewed(before, grant.scopes, shown=shown)
        scopes, life = received.granted, life_of(grant, opened, row, config)
        refreshed = replace(
            renewed_by(opened, grant, config, now),
            access_token=grant.access_token,
            metadata=opened.metadata | grant.metadata,
            unclear_scopes=received.unclear,
            wider_scopes=NO_SCOPES,
            life=(None if grant.assumed_life else grant.expires_in) or opened.life,
        )

        async def write(again: bool) -> None:  # noqa: FBT001 - `persist` calls it
            async with self._log.transaction() as transaction:
                if not await self._results.store(
                    transaction.connection,
                    row,
                    fence,
                    replace(fresh.stored, opened=refreshed),
                    fresh.issued,
                    scopes=scopes,
                    expires_at=None if life is None else now + timedelta(seconds=life),
                    again=again,
                ):
                    return
                if fresh.stored.provider.config.narrowing == "github_scoped":
                    # Got with the token that has just been replaced (`scoped`).
                    await narrowed.forget(transaction.connection, row.id)
                draft = await self._results.draft(transaction.connection, row, EventType.TOKEN_REFRESHED)
                if claim is not None:
                    await self._claims.look_at(transaction.connection, row, claim, grant.access_token)
                    draft = replace(draft, reason=REPORTED, client_id=claim.client_id)
                await transaction.append(replace(draft, scopes=scopes, revision=row.revision + 1))
            self._results.count(row, "refreshed")

        await persist(write)


def _loop_time() -> float:
    return asyncio.get_running_loop().time()


def _moved(current: ConnectionRow, row: ConnectionRow) -> bool:
    before = (row.generation, row.status, row.expires_at)
    return (current.generation, current.status, current.expires_at) != before
