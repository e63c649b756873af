"""Offboarding: everything of a subject is revoked, and the subject erased (api.md §4, security E6)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from vaultd.audit.events import Draft, EventType
from vaultd.audit.log import AuditLog, AuditTransaction
from vaultd.audit.subject_key import SubjectKey
from vaultd.connections import store
from vaultd.connections.grants import Brought, GrantStore
from vaultd.connections.pending import Pending, PendingGrants
from vaultd.connections.table import ConnectionRow
from vaultd.errors import CannotOpen, NotFound
from vaultd.revoke.secrets import Secrets
from vaultd.subjects.store import SubjectStore
from vaultd.terms import Subject

REASON = "offboarded"


class Offboard:
    """Ends all that a subject has here, in one transaction."""

    def __init__(
        self,
        *,
        log: AuditLog,
        pending: PendingGrants,
        subjects: SubjectStore,
        secrets: Secrets,
        grants: GrantStore,
        wake_revoker: Callable[[], None],
    ) -> None:
        self._log = log
        self._pending = pending
        self._subjects = subjects
        self._secrets = secrets
        self._grants = grants
        self._wake_revoker = wake_revoker

    async def __call__(self, subject: Subject, *, draft: Draft) -> None:
        """Offboard. Once this has returned, no exchange succeeds any more, in any process.

        The last events of the subject are written under the key that goes with them: what they did stays to be seen,
        to whom no longer.

        Raises:
            NotFound: there is no such subject, or no longer.
            TemporarilyUnavailable: nothing was changed.
        """
        known = await self._subjects.find(subject)
        if known is None:
            raise NotFound
        async with self._log.transaction() as transaction:
            connection = transaction.connection
            # 1. nobody else begins, completes or releases anything of this subject from here on
            await self._pending.lock_of(connection, known.id)
            held = await self._subjects.hold(connection, known.id, alone=True)
            if held is None:
                raise NotFound
            # 2. every secret moves to the outbox, where it is nobody's
            for consent in await self._pending.lock_of(connection, held.id):
                await self._drop(transaction, consent)
            rows = await store.lock_all_of(connection, held.id)
            ended = [await self._end(transaction, row, held.key, draft) for row in rows if row.status != "revoked"]
            # 3. the subject goes, with all rows and their key, once the log says so
            await transaction.append(
                *ended, replace(draft, type=EventType.SUBJECT_ERASED, reason=REASON, subject=held.key)
            )
            await self._subjects.erase(connection, held)
        self._subjects.forget(subject)
        # 4. at the provider
        self._wake_revoker()

    async def _drop(self, transaction: AuditTransaction, consent: Pending) -> None:
        if consent.granted is not None:
            try:
                document = await self._pending.open_grant(transaction.connection, consent)
            except CannotOpen:
                # Altered bytes cannot be revoked at the provider, and must not keep the subject here.
                pass
            else:
                await self._grants.give_back(
                    transaction.connection, consent.provider, None, Brought.from_json(document)
                )
        await self._pending.forget(transaction.connection, consent)

    async def _end(self, transaction: AuditTransaction, row: ConnectionRow, key: SubjectKey, draft: Draft) -> Draft:
        label = await self._secrets.move(transaction.connection, row, subject_id=None)
        return replace(
            draft,
            type=EventType.CONNECTION_REVOKED,
            reason=REASON,
            subject=key,
            connection=row.provider,
            connection_id=row.id,
            account=label,
            generation=row.generation,
            scopes=row.granted_scopes,
        )
