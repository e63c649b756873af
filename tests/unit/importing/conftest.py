"""A desk at which files are brought in, over a real database."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from uuid import UUID

import pytest
from sqlalchemy import text

from tests.support.house import House
from tests.unit.importing.lines import CANARY, ISSUER, file_of, line, reader
from vaultd.audit import read
from vaultd.connections import store
from vaultd.connections.imported import ImportedGrants
from vaultd.connections.sealing import Opened, data_key_of, open_connection
from vaultd.connections.table import ConnectionRow
from vaultd.importing.recipe import Checked, Importer
from vaultd.subjects.store import KnownSubject
from vaultd.terms import Subject

TABLES = ("subjects", "data_keys", "connections", "events")


class Desk:
    """An importer over one house, and short ways to look at what it did."""

    def __init__(self, house: House, stack: ExitStack) -> None:
        self.house = house
        self._stack = stack
        self.importer = Importer(
            database=house.database,
            log=house.log,
            subjects=house.subjects,
            grants=ImportedGrants(
                keyring=house.keyring, data_keys=house.data_keys, lookups=house.lookups, clock=house.clock
            ),
            reader=reader(),
            clock=house.clock,
        )

    async def check(self, *lines: bytes) -> Checked:
        return await self.importer.check(file_of(*lines), stack=self._stack, tell=quiet)

    async def mistakes(self, *lines: bytes) -> list[tuple[int, str]]:
        found = [(mistake.line, mistake.text) for mistake in (await self.check(*lines)).mistakes]
        assert CANARY not in str(found)
        return found

    async def bring_in(self, *lines: bytes) -> list[UUID]:
        checked = await self.check(*lines)
        assert checked.mistakes == []
        return [connection_id for _, connection_id in await self.importer.store(checked, tell=quiet)]

    async def subject(self, sub: str = "user-1") -> KnownSubject:
        return await self.house.subjects.ensure(Subject(ISSUER, sub))

    async def opened(self, connection_id: UUID) -> Opened:
        row = await self.house.row(connection_id)
        return open_connection(data_key_of(row, self.house.data_keys), row)

    async def counts(self) -> dict[str, int]:
        async with self.house.database.transaction() as connection:
            return {
                table: (await connection.execute(text(f"SELECT count(*) FROM {table}"))).scalar_one()  # noqa: S608
                for table in TABLES
            }

    async def events(self, kind: str) -> list[dict[str, object]]:
        async with self.house.database.transaction() as connection:
            rows, _ = await read.page(connection, read.Query(type=kind, limit=100))
        return [read.render(row, None) for row in rows]

    async def until_it_waits(self) -> None:
        """Until somebody waits for a lock in this database."""
        waiting = text(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        async with asyncio.timeout(20):
            while True:
                async with self.house.database.transaction() as connection:
                    if (await connection.execute(waiting)).scalar_one():
                        return
                await asyncio.sleep(0.01)

    async def end(self, row: ConnectionRow, status: str) -> None:
        async with self.house.database.transaction() as connection:
            if status == "revoked":
                await store.revoke(connection, row, reason="disconnected")
            else:
                await store.break_connection(connection, row, fence=None, reason="invalid_grant")


def quiet(_stage: object, _done: int) -> None:
    pass


@pytest.fixture
def desk(house: House) -> Iterator[Desk]:
    with ExitStack() as stack:
        yield Desk(house, stack)


def many(count: int) -> list[bytes]:
    return [line(sub=f"user-{number}", refresh_token=f"refresh-{number}-{CANARY}") for number in range(count)]
