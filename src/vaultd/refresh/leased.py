"""One call to the provider under the lease, and what follows where it brought nothing to store."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeAlias
from uuid import uuid4

from sqlalchemy.ext.asyncio import AsyncConnection

from vaultd.audit.events import Draft, EventType
from vaultd.audit.log import AuditLog
from vaultd.connections import lease, outbox, store
from vaultd.connections.lookups import NoticeLookups
from vaultd.connections.sealing import PURPOSE, Opened, data_key_of, known_account, open_connection
from vaultd.connections.table import ConnectionRow
from vaultd.db import Database
from vaultd.errors import (
    CannotOpen,
    InvalidScope,
    InvalidTarget,
    ProviderRefused,
    ProviderUnavailable,
    RequestRefused,
    TemporarilyUnavailable,
)
from vaultd.keys.data_keys import DataKeys
from vaultd.keys.envelope import Key
from vaultd.providers.answers import Grant
from vaultd.providers.oauth import OAuthClient
from vaultd.providers.registry import Provider, Providers
from vaultd.refresh.breaker import Breaker
from vaultd.subjects.store import SubjectStore
from vaultd.telemetry.metrics import Tally
from vaultd.terms import Clock, Scopes

PATIENCE = lease.LASTS.total_seconds() * 2
"""Seconds for which somebody else's lease is waited for."""
PERSISTENCE = 60.0
"""Seconds for which a database that is away is waited for with tokens in hand."""
PERSIST_AGAIN = 0.2
MENDED_AFTER = 30
"""Seconds until what only an operator can mend may be mended."""

Nothing: TypeAlias = RequestRefused | None
"""Nothing came: the refusal that applies, or None when the row is worth another look."""


@dataclass(frozen=True, slots=True)
class Fresh:
    """What a refresh brought, and what stood in the row when it was asked for."""

    provider: Provider
    grant: Grant
    key: Key
    opened: Opened


class Leased:
    """This process as an owner of leases."""

    def __init__(
        self,
        *,
        database: Database,
        log: AuditLog,
        data_keys: DataKeys,
        lookups: NoticeLookups,
        providers: Providers,
        oauth: OAuthClient,
        subjects: SubjectStore,
        breaker: Breaker,
        outcomes: Tally,
        clock: Clock,
    ) -> None:
        self._database = database
        self._log = log
        self._data_keys = data_keys
        self.lookups = lookups
        self._providers = providers
        self._oauth = oauth
        self._subjects = subjects
        self._breaker = breaker
        self._outcomes = outcomes
        self._clock = clock
        self._owner = uuid4()

    async def take(self, connection: AsyncConnection, row: ConnectionRow) -> int | None:
        """Take the lease and write the intent; gives the fencing number, or None when another holds it."""
        return await lease.take(connection, row, owner=self._owner, now=self._clock())

    def paused(self, row: ConnectionRow) -> TemporarilyUnavailable | None:
        """The refusal while this row's provider is left alone; without a lease, since there is nothing to do."""
        try:
            self._breaker.check(row.provider)
        except TemporarilyUnavailable as refusal:
            self.count(row, "paused")
            return refusal
        return None

    async def call(self, row: ConnectionRow, fence: int, *, scopes: Scopes | None = None) -> Fresh | Nothing:
        """Use the refresh token once, for a token with `scopes` where given. The lease is held on only by `Fresh`."""
        try:
            key = data_key_of(row, self._data_keys)
            opened = open_connection(key, row)
        except CannotOpen as error:
            # Moved or altered bytes: the event of who asked for them says so.
            await self._give_back(row, fence, keep_intent=row.intent_fence is not None)
            return TemporarilyUnavailable(retry_after=MENDED_AFTER, reason=error.reason, detail=error.detail)
        if opened.refresh_token is None:
            await self._break(row, fence, "no_refresh_token")
            return None
        try:
            provider = self._providers.get(row.provider).at(opened.metadata)
            with self._breaker.calling(row.provider):
                grant = await self._oauth.refresh(provider, refresh_token=opened.refresh_token, scopes=scopes)
        except ProviderUnavailable as error:
            # C6: no usable answer does not mean that the provider did nothing.
            await self._give_back(row, fence, keep_intent=True)
            return self._unavailable(row, self._breaker.retry_after(row.provider), error.detail)
        except ProviderRefused as error:
            return await self._refused(row, fence, error, scopes)
        except (InvalidTarget, TemporarilyUnavailable) as error:
            # Not called: what is known of an earlier call stays as it was.
            await self._give_back(row, fence, keep_intent=row.intent_fence is not None)
            return error if isinstance(error, TemporarilyUnavailable) else self._unavailable(row, MENDED_AFTER, "")
        return Fresh(provider, grant, key, opened)

    async def persist(self, write: Callable[[bool], Awaitable[None]]) -> None:
        """Store what a call brought. It is nowhere else, so a database that is away is waited for.

        `write` is told whether it has been tried before: the first try may have been committed all the same.

        Raises:
            TemporarilyUnavailable: the database stayed away; the intent is in the row.
        """
        loop = asyncio.get_running_loop()
        deadline, again = loop.time() + PERSISTENCE, False
        while True:
            try:
                return await write(again)
            except TemporarilyUnavailable:
                if loop.time() >= deadline:
                    raise
            again = True
            await asyncio.sleep(PERSIST_AGAIN)

    async def not_stored(self, connection: AsyncConnection, row: ConnectionRow, fresh: Fresh, *, again: bool) -> None:
        """The row is not as it was when the provider was called: see to it that nothing outlives the grant (C7).

        As long as the grant stands, nothing is revoked at the provider: that would end the grant there. Then either
        our own first try was committed, or the lease went to another, who has asked for tokens of the same grant.
        """
        current = await store.get(connection, row.id)
        if current is not None and (current.generation, current.status) == (row.generation, "connected"):
            self.count(row, "refreshed" if again and current.revision > row.revision else "superseded")
            return
        self.count(row, "superseded")
        await self._give_away(connection, row, fresh)

    def count(self, row: ConnectionRow, outcome: str) -> None:
        """Note for the metrics how a refresh ended."""
        self._outcomes.add((row.provider, outcome))

    async def draft(self, connection: AsyncConnection, row: ConnectionRow, kind: EventType) -> Draft:
        """An event about a connection, its subject read in the transaction that will hold it."""
        known = await self._subjects.get(row.subject_id, within=connection)
        return Draft(
            type=kind,
            connection=row.provider,
            generation=row.generation,
            revision=row.revision,
            subject=known.key if known else None,
            connection_id=row.id,
        )

    async def _give_away(self, connection: AsyncConnection, row: ConnectionRow, fresh: Fresh) -> None:
        """To be revoked at the provider: only what it gave now, for what we asked with may be a replacement's too."""
        key = await self._data_keys.create(connection, PURPOSE)
        await outbox.put(
            connection,
            provider=row.provider,
            subject_id=row.subject_id,
            key=key,
            access_token=fresh.grant.access_token,
            refresh_token=fresh.grant.refresh_token,
            metadata=fresh.opened.metadata,
            account_id=known_account(fresh.opened.account_id),
            now=self._clock(),
        )

    async def _refused(
        self, row: ConnectionRow, fence: int, error: ProviderRefused, scopes: Scopes | None
    ) -> RequestRefused | None:
        if error.error == "invalid_grant":
            # C3: final only if the row is still the one we asked with; `break_connection` compares under its lock.
            interrupted = row.intent_fence is not None
            await self._break(row, fence, "rotation_lost" if interrupted else "invalid_grant")
            return None
        await self._give_back(row, fence, keep_intent=row.intent_fence is not None)
        self.count(row, "refused")
        if error.error == "invalid_scope" and scopes is not None:
            return InvalidScope(
                "The provider does not give a token for these permissions alone.",
                reason="narrowing_refused",
                detail=error.detail,
            )
        # The provider refuses us, not the user: a wrong client secret, say. The user's consent still stands.
        return TemporarilyUnavailable(
            retry_after=MENDED_AFTER, reason=f"provider_{error.error}"[:64], detail=error.detail
        )

    def _unavailable(self, row: ConnectionRow, retry_after: int, detail: str) -> TemporarilyUnavailable:
        self.count(row, "unavailable")
        return TemporarilyUnavailable(retry_after=retry_after, reason="provider_unavailable", detail=detail)

    async def _give_back(self, row: ConnectionRow, fence: int, *, keep_intent: bool) -> None:
        async with self._database.transaction() as connection:
            await lease.give_back(connection, row, fence=fence, keep_intent=keep_intent)

    async def _break(self, row: ConnectionRow, fence: int, reason: str) -> None:
        async with self._log.transaction() as transaction:
            if await store.break_connection(transaction.connection, row, fence=fence, reason=reason):
                draft = await self.draft(transaction.connection, row, EventType.CONNECTION_BROKEN)
                await transaction.append(replace(draft, reason=reason))
                self.count(row, "broken")


def expiry(grant: Grant, now: datetime) -> datetime | None:
    """When a grant's access token ends, by our clock; None where the provider does not say."""
    return None if grant.expires_in is None else now + timedelta(seconds=grant.expires_in)
