"""Disconnecting: local first, in one transaction with its event, then at the provider until that is done (C7)."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from vaultd.audit.events import Draft, EventType
from vaultd.audit.log import AuditLog
from vaultd.connections import outbox, store
from vaultd.db import Database
from vaultd.errors import (
    InvalidTarget,
    NotFound,
    ProviderRefused,
    ProviderUnavailable,
    TemporarilyUnavailable,
)
from vaultd.keys.data_keys import DataKeys
from vaultd.providers.oauth import OAuthClient
from vaultd.providers.registry import Providers
from vaultd.revoke.secrets import Secrets
from vaultd.subjects.store import SubjectStore
from vaultd.terms import Clock, ProviderName

MAX_ATTEMPTS = 50
"""After so many tries a revocation is declared impossible: with the waits between them, after about a week."""
CALL_LASTS = timedelta(seconds=30)
WOKEN_AFTER = 0.2
"""Seconds between being woken and looking: the waker's transaction commits meanwhile."""
LONGEST_WAIT = timedelta(hours=6)
"""The wait doubles from two seconds up to this."""


class Revoke:
    """Disconnects one connection, and drains the outbox of tokens still to be revoked at their provider."""

    def __init__(
        self,
        *,
        database: Database,
        log: AuditLog,
        data_keys: DataKeys,
        secrets: Secrets,
        subjects: SubjectStore,
        providers: Providers,
        oauth: OAuthClient,
        clock: Clock,
    ) -> None:
        self._database = database
        self._log = log
        self._data_keys = data_keys
        self._secrets = secrets
        self._subjects = subjects
        self._providers = providers
        self._oauth = oauth
        self._clock = clock
        self._wake = asyncio.Event()

    async def disconnect(self, *, subject_id: UUID, connection_id: UUID, draft: Draft) -> ProviderName:
        """Disconnect one of a subject's connections; gives its provider. A second time is well too.

        Once this has returned no exchange succeeds any more.

        Raises:
            NotFound: there is none of that id, or it is somebody else's.
            TemporarilyUnavailable: nothing was changed.
        """
        return await self._disconnect(subject_id, connection_id, draft, reason="disconnected")

    async def disconnect_any(self, connection_id: UUID, *, draft: Draft) -> None:
        """The same by an operator, whosever it is."""
        async with self._database.transaction() as connection:
            row = await store.get(connection, connection_id)
        if row is None:
            raise NotFound
        await self._disconnect(row.subject_id, connection_id, draft, reason="revoked_by_operator")

    async def _disconnect(self, subject_id: UUID, connection_id: UUID, draft: Draft, *, reason: str) -> ProviderName:
        async with self._log.transaction() as transaction:
            # 1. nobody releases this row from here on
            known = await self._subjects.hold(transaction.connection, subject_id)
            row = await store.lock_for_revocation(transaction.connection, connection_id)
            if known is None or row is None or row.subject_id != known.id:
                raise NotFound
            if row.status == "revoked":
                return row.provider
            # 2. the secrets move to the outbox and nowhere else
            label = await self._secrets.move(transaction.connection, row, subject_id=known.id)
            # 3. the row is another generation, without secrets
            await store.revoke(transaction.connection, row, reason=reason)
            await transaction.append(
                replace(
                    draft,
                    type=EventType.CONNECTION_REVOKED,
                    reason=reason,
                    subject=known.key,
                    connection=row.provider,
                    connection_id=row.id,
                    account=label,
                    generation=row.generation,
                    scopes=row.granted_scopes,
                )
            )
        # 4. at the provider, at once but not while the user waits
        self._wake.set()
        return row.provider

    def wake(self) -> None:
        """Look at the outbox soon: something is about to be committed to it."""
        asyncio.get_running_loop().call_later(WOKEN_AFTER, self._wake.set)

    async def run(self) -> None:
        """Drain the outbox for as long as the process serves."""
        while True:
            try:
                while await self.drain():
                    pass
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
        if revocation.access_token is None:
            await self._finish(revocation, "cannot_open")
            return
        try:
            provider = self._providers.get(revocation.provider).at(revocation.metadata)
            # RFC 7009 §2.1: revoking the refresh token ends the grant; the access token is the next best.
            if revocation.refresh_token is not None:
                await self._oauth.revoke(provider, token=revocation.refresh_token, hint="refresh_token")
            await self._oauth.revoke(provider, token=revocation.access_token, hint="access_token")
        except ProviderUnavailable as error:
            if revocation.attempts < MAX_ATTEMPTS:
                await self._postpone(revocation, error.retry_after)
                return
            await self._finish(revocation, "gave_up")
        except (ProviderRefused, InvalidTarget) as error:
            await self._finish(revocation, error.reason)
        else:
            await self._finish(revocation, None)

    async def _postpone(self, revocation: outbox.Revocation, retry_after: int | None) -> None:
        # Bounded as numbers: so many doublings are more seconds than a `timedelta` holds.
        wait = timedelta(seconds=min(2**revocation.attempts, LONGEST_WAIT.total_seconds()))
        # Jitter, so that a provider that comes back is not asked by everybody at once.
        wait *= random.uniform(0.5, 1.0)  # noqa: S311 - not a secret
        until = self._clock() + max(wait, timedelta(seconds=retry_after or 0))
        async with self._database.transaction() as connection:
            await outbox.postpone(connection, revocation.id, until=until)

    async def _finish(self, revocation: outbox.Revocation, reason: str | None) -> None:
        async with self._log.transaction() as transaction:
            # E6: a subject that was erased meanwhile has no key to write this under.
            known = (
                await self._subjects.hold(transaction.connection, revocation.subject_id)
                if revocation.subject_id
                else None
            )
            await outbox.finish(transaction.connection, self._data_keys, revocation)
            await transaction.append(
                Draft(
                    type=EventType.PROVIDER_REVOKED,
                    reason=reason,
                    connection=revocation.provider,
                    subject=known.key if known else None,
                )
            )
