"""The six points of a refresh at which a process is stopped to be killed, by nothing but what lies around it.

No code in the vault knows of them: what it waits for is held. Its way to the provider leads through a gate, and its
statements meet a lock on the row, or on the table, that somebody else holds.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from types import MappingProxyType

import asyncpg

from campaigns.gate import Gate

PATIENCE = 20.0
"""Seconds within which a process must have come to the point."""
_ROW = "SELECT FROM connections WHERE id = $1 FOR NO KEY UPDATE"
_WAITS = """SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE $1"""
# `revision=` is written only where it is set: columns that are set stand in the order of the table.
_STORES = "UPDATE connections SET %revision=%"
_LEASED = "SELECT lease_until IS NOT NULL AND intent_fence = lease_fence FROM connections WHERE id = $1"
_REVISION = "SELECT revision FROM connections WHERE id = $1"


@dataclass(frozen=True, slots=True)
class Stage:
    """One refresh that is about to be stopped. `begin` sends the exchange."""

    database_url: str
    connection: str
    gate: Gate
    begin: Callable[[], None]

    @asynccontextmanager
    async def superuser(self) -> AsyncIterator[asyncpg.Connection]:
        """A connection that may lock what it likes."""
        connection = await asyncpg.connect(self.database_url)
        try:
            yield connection
        finally:
            await connection.close()

    async def true(self, sql: str, *values: object) -> None:
        """Return when a query says so."""
        async with self.superuser() as connection, asyncio.timeout(PATIENCE):
            while not await connection.fetchval(sql, *values):
                await asyncio.sleep(0.005)


@asynccontextmanager
async def before_the_lease(stage: Stage) -> AsyncIterator[None]:
    """The stale row was seen; taking the lease waits for the row."""
    async with stage.superuser() as holder, holder.transaction():
        await holder.execute(_ROW, stage.connection)
        stage.begin()
        await stage.true(_WAITS, "UPDATE connections SET lease_owner=%")
        yield


@asynccontextmanager
async def before_the_call(stage: Stage) -> AsyncIterator[None]:
    """Lease and intent are committed; nothing has reached the provider."""
    stage.gate.close(requests=True)
    stage.begin()
    async with asyncio.timeout(PATIENCE):
        await stage.gate.asked.wait()
    await stage.true(_LEASED, stage.connection)
    yield


@asynccontextmanager
async def during_the_call(stage: Stage) -> AsyncIterator[None]:
    """The provider has begun to read the request, and has done nothing."""
    stage.gate.close(begun=True)
    stage.begin()
    async with asyncio.timeout(PATIENCE):
        await stage.gate.asked.wait()
    yield


@asynccontextmanager
async def before_the_answer(stage: Stage) -> AsyncIterator[None]:
    """The provider has rotated; its answer is on the way."""
    stage.gate.close(answers=True)
    stage.begin()
    async with asyncio.timeout(PATIENCE):
        await stage.gate.answered.wait()
    yield


@asynccontextmanager
async def before_storing(stage: Stage) -> AsyncIterator[None]:
    """The answer is read; storing it waits for the row."""
    async with stage.superuser() as holder, _storing(stage, holder):
        yield


@asynccontextmanager
async def before_releasing(stage: Stage) -> AsyncIterator[None]:
    """What came is committed; looking at the row again waits for the table.

    The table's lock is asked for while storing is under way: so it is given after that, and before anything later.
    """
    async with stage.superuser() as table:
        before = await table.fetchval(_REVISION, stage.connection)
        async with stage.superuser() as holder, _storing(stage, holder):
            begun = table.transaction()
            await begun.start()
            locked = asyncio.create_task(table.execute("LOCK TABLE connections IN EXCLUSIVE MODE"))
            await stage.true(_WAITS, "LOCK TABLE connections%")
        async with asyncio.timeout(PATIENCE):
            await locked
        if await table.fetchval(_REVISION, stage.connection) != before + 1:
            raise RuntimeError("it was stopped, but not behind storing")
        yield
        await begun.rollback()


@asynccontextmanager
async def _storing(stage: Stage, holder: asyncpg.Connection) -> AsyncIterator[None]:
    stage.gate.close(requests=True)
    stage.begin()
    await stage.true(_LEASED, stage.connection)
    async with holder.transaction():
        await holder.execute(_ROW, stage.connection)
        stage.gate.open()
        await stage.true(_WAITS, _STORES)
        yield


POINTS: Mapping[str, Callable[[Stage], AbstractAsyncContextManager[None]]] = MappingProxyType(
    {
        "before the lease": before_the_lease,
        "before the call": before_the_call,
        "during the call": during_the_call,
        "before the answer": before_the_answer,
        "before storing": before_storing,
        "before releasing": before_releasing,
    }
)
ROTATED_UNHEARD = frozenset({"before the answer", "before storing"})
"""Where the provider has rotated and nobody has stored it: without a grace, the grant cannot be saved."""
