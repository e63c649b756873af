"""Disconnecting: local first, in one transaction with its event, then at the provider until that is done (C7)."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from vaultd.audit.events import Draft, EventType
from vaultd.audit.log import AuditLog
from vaultd.connections import narrowed, outbox, store
from vaultd.connections.sealing import PURPOSE, data_key_of, open_connection
from vaultd.connections.table import ConnectionRow
from vaultd.db import Database
from vaultd.errors import (
    CannotOpen,
    InvalidTarget,
    NotFound,
    ProviderRefused,
    ProviderUnavailable,
    TemporarilyUnavailable,
)
from vaultd.keys.data_keys import DataKeys
from vaultd.providers.oauth import OAuthClient
from vaultd.providers.registry import Providers
from vaultd.subjects.store import SubjectStore
from vaultd.terms import Clock

MAX_ATTEMPTS = 50
CALL_LASTS = timedelta(seconds=30)
WOKEN_AFTER = 0.2
"""Seconds between being woken and looking: the waker's transaction commits meanwhile."""
LONGEST_WAIT = timedelta(hours=6)


class Revoke:
    """Disconnects one connection, and drains the outbox of tokens still to be revoked at their provider."""

    def __init__(
        self,
        *,
        database: Database,
        log: AuditLog,
        data_keys: DataKeys,
        subjects: SubjectStore,
        providers: Providers,
        oauth: OAuthClient,
        clock: Clock,
    ) -> None:
        self._database = database
        self._log = log
        self._data_keys = data_keys
        self._subjects = subjects
        self._providers = providers
        self._oauth = oauth
        self._clock = clock
        self._wake = asyncio.Event()

    async def disconnect(self, *, subject_id: UUID, connection_id: UUID, draft: Draft) -> None:
        """Disconnect one of a subject's connections. A second time is well too.

        Once this has returned no exchange succeeds any more.

        Raises:
            NotFound: there is none of that id, or it is somebody else's.
            TemporarilyUnavailable: nothing was changed.
        """
        async with self._log.transaction() as transaction:
            # 1. nobody releases this row from here on
            row = await store.lock_for_revocation(transaction.connection, connection_id)
            if row is None or row.subject_id != subject_id:
                raise NotFound
            if row.status == "revoked":
                return
            # 2. the secrets move to the outbox and nowhere else
            label = await self._move_secrets(transaction.connection, row)
            # 3. the row is another generation, without secrets
            await store.revoke(transaction.connection, row, reason="disconnected")
            await transaction.append(
                replace(
                    draft,
                    type=EventType.CONNECTION_REVOKED,
                    reason="disconnected",
                    connection=row.provider,
                    connection_id=row.id,
                    account=label,
                    generation=row.generation,
                    scopes=row.granted_scopes,
                )
            )
        # 4. at the provider, at once but not while the user waits
        self._wake.set()

    async def _move_secrets(self, connection: AsyncConnection, row: ConnectionRow) -> str | None:
        if row.status != "connected":
            await self._erase_key(connection, row)
            return None
        try:
            key = data_key_of(row, self._data_keys)
            opened = open_connection(key, row)
        except CannotOpen:
            # Altered bytes cannot be revoked at the provider, but they must not keep the user from disconnecting.
            await self._erase_key(connection, row)
            return None
        now = self._clock()
        narrower = await narrowed.take(connection, key, row, opened.account_id, now=now)
        # A row of the outbox takes its key along when it is done, so each token has one of its own.
        own_keys = [await self._data_keys.create(connection, PURPOSE) for _ in narrower]
        moved = [(key, opened.access_token, opened.refresh_token)]
        moved += [(own_key, token, None) for own_key, token in zip(own_keys, narrower, strict=True)]
        for sealing_key, access_token, refresh_token in moved:
            await outbox.put(
                connection,
                provider=row.provider,
                subject_id=row.subject_id,
                key=sealing_key,
                access_token=access_token,
                refresh_token=refresh_token,
                metadata=opened.metadata,
                now=now,
            )
        return opened.account_label

    async def _erase_key(self, connection: AsyncConnection, row: ConnectionRow) -> None:
        if row.data_key_id is not None:
            await store.forget_key(connection, row)
            await self._data_keys.erase(connection, row.data_key_id)

    def wake(self) -> None:
        """Look at the outbox soon: something is about to be committed to it."""
        asyncio.get_running_loop().call_later(WOKEN_AFTER, self._wake.set)

    async def run(self) -> None:
        """Drain the outbox for as long as the process serves."""
        while True:
            try:
                await self.drain()
            except TemporarilyUnavailable:
                # The database is away; the rows are where they were.
                await asyncio.sleep(1)
            try:
                async with asyncio.timeout(5):
                    await self._wake.wait()
            except TimeoutError:
                continue
            finally:
                self._wake.clear()

    async def drain(self) -> int:
        """Try every due revocation once; gives how many were tried."""
        async with self._database.transaction() as connection:
            due = await outbox.claim(connection, self._data_keys, now=self._clock(), busy_for=CALL_LASTS)
        await asyncio.gather(*(self._revoke_at_provider(revocation) for revocation in due))
        return len(due)

    async def _revoke_at_provider(self, revocation: outbox.Revocation) -> None:
        try:
            provider = self._providers.get(revocation.provider).at(revocation.metadata)
            # RFC 7009 §2.1: revoking the refresh token ends the grant; the access token is the next best.
            if revocation.refresh_token is not None:
                await self._oauth.revoke(provider, token=revocation.refresh_token, hint="refresh_token")
            await self._oauth.revoke(provider, token=revocation.access_token, hint="access_token")
        except ProviderUnavailable:
            if revocation.attempts < MAX_ATTEMPTS:
                await self._postpone(revocation)
                return
            await self._finish(revocation, "gave_up")
        except (ProviderRefused, InvalidTarget) as error:
            await self._finish(revocation, error.reason)
        else:
            await self._finish(revocation, None)

    async def _postpone(self, revocation: outbox.Revocation) -> None:
        wait = min(timedelta(seconds=2**revocation.attempts), LONGEST_WAIT)
        # Jitter, so that a provider that comes back is not asked by everybody at once.
        until = self._clock() + wait * random.uniform(0.5, 1.0)  # noqa: S311 - not a secret
        async with self._database.transaction() as connection:
            await outbox.postpone(connection, revocation.id, until=until)

    async def _finish(self, revocation: outbox.Revocation, reason: str | None) -> None:
        known = await self._subjects.get(revocation.subject_id) if revocation.subject_id else None
        draft = Draft(
            type=EventType.PROVIDER_REVOKED,
            reason=reason,
            connection=revocation.provider,
            subject=known.key if known else None,
        )
        async with self._log.transaction() as transaction:
            await outbox.finish(transaction.connection, self._data_keys, revocation)
            await transaction.append(draft)
