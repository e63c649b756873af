"""Undoing a verdict: a connection that its provider refused is tried again with the tokens that were kept."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from uuid import UUID

from vaultd.audit.events import Draft, EventType
from vaultd.audit.log import AuditLog
from vaultd.connections import kept, store
from vaultd.connections.sealing import data_key_of
from vaultd.connections.table import ConnectionRow
from vaultd.db import Database
from vaultd.errors import CannotOpen, NotFound, NothingKept, TemporarilyUnavailable
from vaultd.keys.data_keys import DataKeys
from vaultd.subjects.store import SubjectStore
from vaultd.terms import Clock

SWEEP_EVERY = 60.0
"""Seconds between two looks for tokens that were kept for long enough."""


class Undo:
    """Brings broken connections back, and erases what nobody brought back in time."""

    def __init__(
        self, *, database: Database, log: AuditLog, data_keys: DataKeys, subjects: SubjectStore, clock: Clock
    ) -> None:
        self._database = database
        self._log = log
        self._data_keys = data_keys
        self._subjects = subjects
        self._clock = clock

    async def retry(self, connection_id: UUID, *, draft: Draft) -> str:
        """Make a broken connection what it was; gives its provider. Its next use finds out whether it is good.

        Raises:
            NotFound: there is none of that id.
            NothingKept: it is not broken, or its tokens are not there any more.
            TemporarilyUnavailable: nothing was changed.
        """
        async with self._database.transaction() as connection:
            found = await store.get(connection, connection_id)
        if found is None:
            raise NotFound
        async with self._log.transaction() as transaction:
            # In the order in which everybody locks.
            known = await self._subjects.hold(transaction.connection, found.subject_id)
            row = await store.lock_for_revocation(transaction.connection, connection_id)
            if known is None or row is None:
                raise NotFound
            self._check_kept(row)
            try:
                key = data_key_of(row, self._data_keys)
                opened = kept.open_kept(key, row)
            except CannotOpen as error:
                raise NothingKept(reason=error.reason, detail=error.detail) from None
            if not await kept.mend(transaction.connection, row, key, opened, now=self._clock()):
                raise NothingKept(reason="not_kept")
            await transaction.append(
                replace(
                    draft,
                    type=EventType.CONNECTION_RETRIED,
                    reason=row.reason,
                    subject=known.key,
                    connection=row.provider,
                    connection_id=row.id,
                    account=opened.account_label,
                    generation=row.generation,
                    revision=row.revision + 1,
                )
            )
        return row.provider

    async def sweep(self) -> None:
        """Erase what was kept for long enough, for as long as the process serves."""
        while True:
            await asyncio.sleep(SWEEP_EVERY)
            with suppress(TemporarilyUnavailable):
                await self.sweep_once()

    async def sweep_once(self) -> int:
        """Erase what was kept for long enough; gives of how many connections that was."""
        async with self._database.transaction() as connection:
            return len(await kept.erase_over(connection, now=self._clock()))

    def _check_kept(self, row: ConnectionRow) -> None:
        if row.status != "reconnect_required":
            raise NothingKept(reason=row.status)
        if row.kept is None or row.kept_until is None or row.kept_until <= self._clock():
            raise NothingKept(reason="not_kept")
