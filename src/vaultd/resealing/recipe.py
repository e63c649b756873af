"""The whole of it, as often as it is needed until it is finished."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias
from uuid import UUID

from vaultd.connections.lookups import NoticeLookups
from vaultd.db import Database
from vaultd.keys.data_keys import DataKeys
from vaultd.resealing import connections, consents
from vaultd.terms import Clock

BATCH = 500
"""Connections that one transaction seals anew."""
Tell: TypeAlias = Callable[[int, int], None]
"""Called with how many connections are done, and how many there were when it began."""


@dataclass(frozen=True, slots=True)
class Resealing:
    """Works as the tables' owner; processes of this release may serve meanwhile, those of an older one may not."""

    database: Database
    data_keys: DataKeys
    lookups: NoticeLookups
    clock: Clock

    async def __call__(self, tell: Tell) -> int:
        """Seal everything anew; gives how many connections. Raises `TemporarilyUnavailable`: run it again."""
        # 1. consents under way, which last for minutes
        async with self.database.transaction() as connection:
            await consents.end_old(connection, self.data_keys, now=self.clock())
        # 2. connections
        done = await self._connections(tell)
        # 3. the database takes none of the old format any more, and has looked that it holds none
        async with self.database.transaction() as connection:
            await connections.finish(connection)
        async with self.database.transaction() as connection:
            await connections.validate(connection)
        return done

    async def _connections(self, tell: Tell) -> int:
        done, after = 0, UUID(int=0)
        async with self.database.transaction() as connection:
            whole = await connections.left(connection)
        while True:
            async with self.database.transaction() as connection:
                count, last = await connections.reseal_some(
                    connection, self.data_keys, self.lookups, after=after, limit=BATCH
                )
            if last is None:
                return done
            done, after = done + count, last
            tell(done, whole)
