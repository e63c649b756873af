"""One call to the provider under the lease, and what follows where it brought nothing to store."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeAlias
from uuid import uuid4

from sqlalchemy.ext.asyncio import AsyncConnection

from vaultd.audit.events import Draft, EventType
from vaultd.audit.log import AuditLog
from vaultd.connections import outbox, store
from vaultd.connections.sealing import PURPOSE, Opened, data_key_of, open_connection
from vaultd.connections.table import ConnectionRow
from vaultd.db import Database
from vaultd.errors import (
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
from vaultd.subjects.store import SubjectStore
from vaultd.terms import Clock, Scopes

LEASE = timedelta(seconds=15)
"""Longer than the provider's total timeout, so that a live owner never loses it."""
PATIENCE = LEASE.total_seconds() * 2
"""Seconds for which somebody else's lease is waited for."""
POLL = 0.05
"""Seconds between two looks at a row that another process is refreshing."""

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

    async def take(self, connection: AsyncConnection, row: ConnectionRow) -> int | None:
        """Take the lease and write the intent; gives the fencing number, or None when another holds it."""
        return await store.take_lease(connection, row, owner=self._owner, now=self._clock(), lasts=LEASE)

    async def call(self, row: ConnectionRow, fence: int, *, scopes: Scopes | None = None) -> Fresh | Nothing:
        """Use the refresh token once, for a token with `scopes` where given. The lease is held on only by `Fresh`."""
        key = data_key_of(row, self._data_keys)
        opened = open_connection(key, row)
        if opened.refresh_token is None:
            await self._break(row, fence, "no_refresh_token")
            return None
        try:
            provider = self._providers.get(row.provider).at(opened.metadata)
            grant = await self._oauth.refresh(provider, refresh_token=opened.refresh_token, scopes=scopes)
        except (ProviderUnavailable, InvalidTarget) as error:
            # C6: no usable answer does not mean that the provider did nothing.
            unheard = isinstance(error, ProviderUnavailable) or row.intent_fence is not None
            await self._give_back(row, fence, keep_intent=unheard)
            retry_after = getattr(error, "retry_after", None) or 5
            return TemporarilyUnavailable(retry_after=retry_after, reason="provider_unavailable", detail=error.detail)
        except ProviderRefused as error:
            return await self._refused(row, fence, error, scopes)
        return Fresh(provider, grant, key, opened)

    async def give_away(self, connection: AsyncConnection, row: ConnectionRow, fresh: Fresh) -> None:
        """The grant was revoked or replaced while we called: what the provider gave us must not outlive it (C7).

        Only what it gave now: the refresh token that we asked with may be the replacement's as well.
        """
        key = await self._data_keys.create(connection, PURPOSE)
        await outbox.put(
            connection,
            provider=row.provider,
            subject_id=row.subject_id,
            key=key,
            access_token=fresh.grant.access_token,
            refresh_token=fresh.grant.refresh_token,
            metadata=fresh.opened.metadata,
            now=self._clock(),
        )

    async def draft(self, row: ConnectionRow, kind: EventType) -> Draft:
        """An event about a connection."""
        known = await self._subjects.get(row.subject_id)
        return Draft(
            type=kind,
            connection=row.provider,
            generation=row.generation,
            revision=row.revision,
            subject=known.key if known else None,
            connection_id=row.id,
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
        if error.error == "invalid_scope" and scopes is not None:
            return InvalidScope(
                "The provider does not give a token for these permissions alone.",
                reason="narrowing_refused",
                detail=error.detail,
            )
        # The provider refuses us, not the user: a wrong client secret, say. The user's consent still stands.
        return TemporarilyUnavailable(retry_after=30, reason=f"provider_{error.error}"[:64], detail=error.detail)

    async def _give_back(self, row: ConnectionRow, fence: int, *, keep_intent: bool) -> None:
        async with self._database.transaction() as connection:
            await store.give_lease_back(connection, row, fence=fence, keep_intent=keep_intent)

    async def _break(self, row: ConnectionRow, fence: int, reason: str) -> None:
        draft = replace(await self.draft(row, EventType.CONNECTION_BROKEN), reason=reason)
        async with self._log.transaction() as transaction:
            if await store.break_connection(transaction.connection, row, fence=fence, reason=reason):
                await transaction.append(draft)


def expiry(grant: Grant, now: datetime) -> datetime | None:
    """When a grant's access token ends, by our clock; None where the provider does not say."""
    return None if grant.expires_in is None else now + timedelta(seconds=grant.expires_in)
