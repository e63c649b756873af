"""Refreshing one connection, once, whoever asks (security C3 to C6).

Within a process, callers share one task. Between processes, a lease in PostgreSQL with an owner, an end and a fencing
number decides. The intent is written with the lease, before the provider is called: whoever finds an ended lease with
an intent knows that the provider may have rotated the refresh token and that nobody stored the new one. Trying the
old one again is then right in every case: a provider with a grace answers with tokens, a strict one with
`invalid_grant`, and that ends the connection in the open.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncConnection

from vaultd.audit.events import Draft, EventType
from vaultd.audit.log import AuditLog
from vaultd.connections import outbox, store
from vaultd.connections.sealing import PURPOSE, Opened, data_key_of, open_connection
from vaultd.connections.table import ConnectionRow
from vaultd.db import Database
from vaultd.errors import (
    InvalidTarget,
    ProviderRefused,
    ProviderUnavailable,
    RequestRefused,
    TemporarilyUnavailable,
)
from vaultd.keys.data_keys import DataKeys
from vaultd.providers.answers import Grant
from vaultd.providers.oauth import OAuthClient
from vaultd.providers.registry import Provider, Providers
from vaultd.subjects.store import SubjectStore
from vaultd.terms import Clock

LEASE = timedelta(seconds=15)
"""Longer than the provider's total timeout, so that a live owner never loses it."""
POLL = 0.05
"""Seconds between two looks at a row that another process is refreshing."""


class Refresher:
    """Single-flight refresh. Answers None when the row is worth another look, or the refusal that applies."""

    def __init__(
        self,
        *,
        database: Database,
        log: AuditLog,
        data_keys: DataKeys,
        providers: Providers,
        oauth: OAuthClient,
        subjects: SubjectStore,
        clock: Clock,
    ) -> None:
        self._database = database
        self._log = log
        self._data_keys = data_keys
        self._providers = providers
        self._oauth = oauth
        self._subjects = subjects
        self._clock = clock
        self._owner = uuid4()
        self._flights: dict[UUID, asyncio.Task[RequestRefused | None]] = {}

    async def refresh(self, row: ConnectionRow) -> RequestRefused | None:
        """Refresh a stale row, or wait for whoever does."""
        flight = self._flights.get(row.id)
        if flight is None:
            flight = asyncio.create_task(self._fly(row))
            self._flights[row.id] = flight
            flight.add_done_callback(lambda _: self._flights.pop(row.id, None))
        # A caller who goes away must not end the refresh for the others.
        return await asyncio.shield(flight)

    @staticmethod
    def gave_too_little() -> RequestRefused:
        """The refusal when even a refreshed token has ended already."""
        return TemporarilyUnavailable(retry_after=5, reason="provider_unavailable", detail="tokens end at once")

    async def drain(self) -> None:
        """Let the refreshes under way come to their end."""
        while self._flights:
            await asyncio.gather(*self._flights.values(), return_exceptions=True)

    async def _fly(self, row: ConnectionRow) -> RequestRefused | None:
        deadline = self._loop_time() + LEASE.total_seconds() * 2
        while self._loop_time() < deadline:
            async with self._database.transaction() as connection:
                now = self._clock()
                fence = await store.take_lease(connection, row, owner=self._owner, now=now, lasts=LEASE)
            if fence is not None:
                return await self._refresh_under_lease(row, fence)
            await asyncio.sleep(POLL)
            async with self._database.transaction() as connection:
                current = await store.get(connection, row.id)
            if current is None or _moved(current, row):
                return None
            if current.lease_until is None and current.lease_fence != row.lease_fence:
                # The other process gave its lease back without a new revision: its call failed, and ours would too.
                return TemporarilyUnavailable(retry_after=5, reason="provider_unavailable")
        return TemporarilyUnavailable(retry_after=5, reason="refresh_busy")

    @staticmethod
    def _loop_time() -> float:
        return asyncio.get_running_loop().time()

    async def _refresh_under_lease(self, row: ConnectionRow, fence: int) -> RequestRefused | None:
        opened = open_connection(data_key_of(row, self._data_keys), row)
        if opened.refresh_token is None:
            await self._break(row, fence, "no_refresh_token")
            return None
        try:
            provider = self._providers.get(row.provider)
            grant = await self._oauth.refresh(provider, refresh_token=opened.refresh_token)
        except (ProviderUnavailable, InvalidTarget) as error:
            # C6: no usable answer does not mean that the provider did nothing.
            unheard = isinstance(error, ProviderUnavailable) or row.intent_fence is not None
            async with self._database.transaction() as connection:
                await store.give_lease_back(connection, row, fence=fence, keep_intent=unheard)
            retry_after = getattr(error, "retry_after", None) or 5
            return TemporarilyUnavailable(retry_after=retry_after, reason="provider_unavailable", detail=error.detail)
        except ProviderRefused as error:
            return await self._refused(row, fence, error)
        await self._store(row, fence, provider, opened, grant)
        return None

    async def _refused(self, row: ConnectionRow, fence: int, error: ProviderRefused) -> RequestRefused | None:
        if error.error != "invalid_grant":
            # The provider refuses us, not the user: a wrong client secret, say. The user's consent still stands.
            async with self._database.transaction() as connection:
                unheard = row.intent_fence is not None
                await store.give_lease_back(connection, row, fence=fence, keep_intent=unheard)
            return TemporarilyUnavailable(retry_after=30, reason=f"provider_{error.error}"[:64], detail=error.detail)
        # C3: final only if the row is still the one we asked with; `break_connection` compares under its lock.
        interrupted = row.intent_fence is not None
        await self._break(row, fence, "rotation_lost" if interrupted else "invalid_grant")
        return None

    async def _store(self, row: ConnectionRow, fence: int, provider: Provider, opened: Opened, grant: Grant) -> None:
        now = self._clock()
        scopes = row.granted_scopes if grant.scopes is None else grant.scopes
        refreshed = replace(
            opened,
            access_token=grant.access_token,
            # RFC 6749 §6: without a new one the old one stays.
            refresh_token=grant.refresh_token or opened.refresh_token,
            metadata=opened.metadata | grant.metadata,
        )
        draft = await self._draft(row, EventType.TOKEN_REFRESHED)
        draft = replace(draft, scopes=scopes, revision=row.revision + 1)
        async with self._log.transaction() as transaction:
            stored = await store.store_refreshed(
                transaction.connection,
                row,
                data_key_of(row, self._data_keys),
                fence=fence,
                granted_scopes=scopes,
                expires_at=expiry(grant, now),
                opened=refreshed,
            )
            if stored:
                await transaction.append(draft)
            else:
                await self._give_away(transaction.connection, provider, row, refreshed, now)

    async def _give_away(
        self, connection: AsyncConnection, provider: Provider, row: ConnectionRow, tokens: Opened, now: datetime
    ) -> None:
        """The grant was revoked or replaced while we called: what the provider gave us must not outlive it (C7)."""
        key = await self._data_keys.create(connection, PURPOSE)
        await outbox.put(
            connection,
            provider=provider.name,
            subject_id=row.subject_id,
            key=key,
            access_token=tokens.access_token,
            refresh_token=tokens.refresh_token,
            now=now,
        )

    async def _break(self, row: ConnectionRow, fence: int, reason: str) -> None:
        draft = replace(await self._draft(row, EventType.CONNECTION_BROKEN), reason=reason)
        async with self._log.transaction() as transaction:
            if await store.break_connection(transaction.connection, row, fence=fence, reason=reason):
                await transaction.append(draft)

    async def _draft(self, row: ConnectionRow, kind: EventType) -> Draft:
        known = await self._subjects.get(row.subject_id)
        return Draft(
            type=kind,
            connection=row.provider,
            generation=row.generation,
            revision=row.revision,
            subject=known.key if known else None,
            connection_id=row.id,
        )


def expiry(grant: Grant, now: datetime) -> datetime | None:
    """When a grant's access token ends, by our clock; None where the provider does not say."""
    return None if grant.expires_in is None else now + timedelta(seconds=grant.expires_in)


def _moved(current: ConnectionRow, row: ConnectionRow) -> bool:
    before = (row.generation, row.revision, row.status)
    return (current.generation, current.revision, current.status) != before
