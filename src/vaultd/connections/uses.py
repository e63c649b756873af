"""The day a connection was last used: written at most once a day, beside the answer and not before it."""

from __future__ import annotations

import asyncio
from datetime import date, datetime

from vaultd.connections.store import touch
from vaultd.connections.table import ConnectionRow
from vaultd.db import Database
from vaultd.errors import TemporarilyUnavailable
from vaultd.terms import ConnectionId

CAPACITY = 10_000
"""Notes that wait at most; beyond it a note is let go, since the audit log has the use already."""


class Uses:
    """Notes uses. Those of one moment are written together; a note that cannot be written is let go."""

    def __init__(self, *, database: Database) -> None:
        self._database = database
        self._noted: set[ConnectionId] = set()
        self._writing: asyncio.Task[None] | None = None

    def note(self, row: ConnectionRow, now: datetime) -> None:
        """Note that a connection was used today."""
        today = now.date()
        if row.last_used_on == today or len(self._noted) >= CAPACITY:
            return
        self._noted.add(row.id)
        if self._writing is None:
            self._writing = asyncio.create_task(self._write(today))

    async def drain(self) -> None:
        """Wait until what was noted is written."""
        while self._writing is not None:
            await self._writing

    async def _write(self, today: date) -> None:
        try:
            while self._noted:
                noted, self._noted = self._noted, set()
                async with self._database.transaction() as connection:
                    await touch(connection, noted, today)
        except TemporarilyUnavailable:
            return
        finally:
            self._writing = None
