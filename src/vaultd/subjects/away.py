"""The user's switch: which clients may not act for them while they are away.

A row means no. It is read from the database each time, never from memory, so that an exchange which starts after the
switch was answered finds it in every process.
"""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from sqlalchemy import Column, DateTime, ForeignKey, Table, Text, Uuid, delete, select
from sqlalchemy.dialects.postgresql import insert

from vaultd.audit.events import Draft, EventType
from vaultd.audit.log import AuditLog
from vaultd.db import Database, metadata
from vaultd.terms import Clock

away_refusals_table = Table(
    "away_refusals",
    metadata,
    Column("subject_id", Uuid, ForeignKey("subjects.id", ondelete="CASCADE"), primary_key=True),
    Column("client_id", Text, primary_key=True),
    Column("created_at", DateTime(timezone=True), nullable=False),
)
_a = away_refusals_table.c


class AwaySwitch:
    """Switches and reads. A switch and its event are committed together; one that changes nothing has no event."""

    def __init__(self, *, database: Database, log: AuditLog, clock: Clock) -> None:
        self._database = database
        self._log = log
        self._clock = clock

    async def refuse(self, subject_id: UUID, client_id: str, *, draft: Draft) -> None:
        """From when this has returned, the client gets nothing more for this user while they are away.

        Raises:
            TemporarilyUnavailable: nothing was switched.
        """
        statement = (
            insert(away_refusals_table)
            .values(subject_id=subject_id, client_id=client_id, created_at=self._clock())
            .on_conflict_do_nothing()
            .returning(_a.client_id)
        )
        async with self._log.transaction() as transaction:
            if (await transaction.connection.execute(statement)).first() is not None:
                await transaction.append(replace(draft, type=EventType.AWAY_REFUSED, client_id=client_id))

    async def allow(self, subject_id: UUID, client_id: str, *, draft: Draft) -> None:
        """Let the client act for this user again. Raises `TemporarilyUnavailable`: nothing was switched."""
        statement = (
            delete(away_refusals_table)
            .where(_a.subject_id == subject_id, _a.client_id == client_id)
            .returning(_a.client_id)
        )
        async with self._log.transaction() as transaction:
            if (await transaction.connection.execute(statement)).first() is not None:
                await transaction.append(replace(draft, type=EventType.AWAY_ALLOWED, client_id=client_id))

    async def is_refused(self, subject_id: UUID, client_id: str) -> bool:
        """Whether the user has switched this client off."""
        return client_id in await self.refused_by(subject_id)

    async def refused_by(self, subject_id: UUID) -> frozenset[str]:
        """The clients that this user has switched off."""
        async with self._database.transaction() as connection:
            found = await connection.execute(select(_a.client_id).where(_a.subject_id == subject_id))
        return frozenset(found.scalars())
