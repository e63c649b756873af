"""Waking who waits for another process, and the polling that remains where that does not carry (C5, data.md, F5)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from uuid import UUID, uuid4

import asyncpg
import pytest
from sqlalchemy import text

from tests.conftest import DatabaseUrls
from tests.unit.refresh.conftest import listening
from vaultd.connections.lease import tell
from vaultd.db import Database
from vaultd.refresh.wakeups import Waiter, Wakeups
from vaultd.terms import Secret


async def until(made: Wakeups, *, listening: bool) -> None:
    async with asyncio.timeout(10):
        while made.listening != listening:
            await asyncio.sleep(0.01)


async def send(database: Database, connection_id: UUID) -> None:
    async with database.transaction() as connection:
        await tell(connection, str(connection_id))


async def backends(superuser: Database) -> list[int]:
    """The sessions that listen."""
    query = text("SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'")
    async with superuser.transaction() as connection:
        return list((await connection.execute(query)).scalars())


def ear_of(database: Database) -> Wakeups:
    """Who waits looks again by itself in ten minutes: within a test, only word wakes."""
    return Wakeups(database=database, look_again=600)


async def is_woken(waiter: Waiter) -> None:
    await asyncio.wait_for(waiter.wait(), 10)


async def sleeps_on(waiter: Waiter) -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(waiter.wait(), 0.3)


async def test_c5_word_of_another_process_wakes(database: Database) -> None:
    ear, wanted = ear_of(database), uuid4()
    async with listening(ear):
        with ear.of(wanted) as waiter, ear.of(wanted) as second, ear.of(uuid4()) as other:
            waits = [asyncio.create_task(is_woken(one)) for one in (waiter, second)]
            await asyncio.sleep(0.05)
            await send(database, wanted)
            await asyncio.gather(*waits)
            await sleeps_on(other)
            await sleeps_on(waiter)
    assert ear._waiting == {}  # noqa: SLF001 - nothing is left behind


async def test_c5_word_that_came_before_waiting_is_not_lost(database: Database) -> None:
    ear, wanted = ear_of(database), uuid4()
    async with listening(ear):
        with ear.of(wanted) as waiter:
            await send(database, wanted)
            await asyncio.sleep(0.3)
            await is_woken(waiter)


async def test_word_of_a_transaction_that_is_rolled_back_is_none(database: Database) -> None:
    ear, wanted = ear_of(database), uuid4()
    async with listening(ear):
        with ear.of(wanted) as waiter:
            with suppress(ZeroDivisionError):
                async with database.transaction() as connection:
                    await tell(connection, str(wanted))
                    raise ZeroDivisionError
            await sleeps_on(waiter)


async def test_without_word_a_waiter_looks_again_by_itself(database: Database) -> None:
    """A lease whose owner died is told by nobody."""
    ear = Wakeups(database=database, look_again=0.1)
    async with listening(ear):
        with ear.of(uuid4()) as waiter:
            await is_woken(waiter)


async def test_data_md_it_listens_on_a_connection_outside_the_pool(database: Database, superuser: Database) -> None:
    async with listening(ear_of(database)):
        assert len(await backends(superuser)) == 1
        for _ in range(3):
            async with database.engine.connect() as pooled:
                own = (await pooled.execute(text("SELECT pg_listening_channels()"))).scalars().all()
            assert own == []
        assert database.engine.pool.checkedout() == 0  # type: ignore[attr-defined]  # a queue pool has it
    async with asyncio.timeout(5):
        while await backends(superuser):
            await asyncio.sleep(0.01)


async def test_it_connects_again_by_itself_and_wakes_who_waited_meanwhile(
    database: Database, superuser: Database
) -> None:
    ear, wanted = ear_of(database), uuid4()
    async with listening(ear):
        (pid,) = await backends(superuser)
        with ear.of(wanted) as waiter:
            waiting = asyncio.create_task(is_woken(waiter))
            await asyncio.sleep(0.05)
            async with superuser.transaction() as connection:
                await connection.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
            await waiting
            await until(ear, listening=True)
            assert await backends(superuser) != [pid]
            await send(database, wanted)
            await is_woken(waiter)


class Deaf(Database):
    """LISTEN is taken and nothing is ever heard, as through a pooler in transaction mode: it goes elsewhere."""

    def __init__(self, url: str, elsewhere: str) -> None:
        super().__init__(Secret(url))
        self._elsewhere = elsewhere

    @asynccontextmanager
    async def dedicated(self) -> AsyncIterator[asyncpg.Connection]:
        connection = await asyncpg.connect(self._elsewhere)
        try:
            yield connection
        finally:
            connection.terminate()


async def test_f5_where_nothing_is_heard_waiters_poll(database_urls: DatabaseUrls) -> None:
    """Notifications stay within a database, so that a LISTEN in another one is taken and hears nothing."""
    elsewhere = database_urls.owner.replace(database_urls.owner.rpartition("/")[2].partition("?")[0], "postgres")
    deaf = Deaf(database_urls.service, elsewhere)
    made = Wakeups(database=deaf, look_again=600, proof_lasts=0.2)
    task = asyncio.create_task(made.run())
    try:
        await asyncio.sleep(0.6)
        assert not made.listening
        with made.of(uuid4()) as waiter:
            await is_woken(waiter)
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await deaf.aclose()
