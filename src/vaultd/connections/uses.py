"""The day a connection was last used: written at most once a day and never waited for by an answer in vain."""

from __future__ import annotations

from datetime import datetime

from vaultd.connections.store import touch
from vaultd.connections.table import ConnectionRow
from vaultd.db import Database
from vaultd.errors import TemporarilyUnavailable


class Uses:
    """Notes uses. A note that cannot be written is let go: the audit log has the use already."""

    def __init__(self, *, database: Database) -> None:
        self._database = database

    async def note(self, row: ConnectionRow, now: datetime) -> None:
        """Note that a connection was used today."""
        today = now.date()
        if row.last_used_on == today:
            return
        try:
            async with self._database.transaction() as connection:
                await touch(connection, row.id, today)
        except TemporarilyUnavailable:
            return
