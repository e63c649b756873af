"""Disconnecting: local first, in one transaction with its event, then at the provider (C7)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

from vaultd.audit.events import Draft, EventType
from vaultd.audit.log import AuditLog
from vaultd.connections import store
from vaultd.db import Database
from vaultd.errors import NotFound
from vaultd.revoke.secrets import Secrets
from vaultd.subjects.store import SubjectStore
from vaultd.terms import ProviderName


class Revoke:
    """Disconnects one connection. `wake` has the outbox looked at, where its tokens then are."""

    def __init__(
        self,
        *,
        database: Database,
        log: AuditLog,
        secrets: Secrets,
        subjects: SubjectStore,
        wake: Callable[[], None],
    ) -> None:
        self._database = database
        self._log = log
        self._secrets = secrets
        self._subjects = subjects
        self._wake = wake

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
        self._wake()
        return row.provider
