"""Waking who waits for another process, and the polling that remains where that does not carry (C5, data.md, F5)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from uuid import UUID, uuid4

import asyncpg
from sqlalchemy import text

from tests.conftest import DatabaseUrls
from vaultd.connections.lease import tell
from vaultd.db import Database
from vaultd.refresh.wakeups import LOOK_AGAIN, Wakeups
from vaultd.terms import Secret


@asynccontextmanager
async def listening(database: Database) -> AsyncIterator[Wakeups]:
    made = Wakeups(database=database)
    task = asyncio.create_task(made.run())
    try:
        await until(made, listening=True)
        yield made
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


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


async def test_c5_word_of_another_process_wakes(database: Database) -> None:
    wanted = uuid4()
    async with listening(database) as ear:
        with ear.of(wanted) as waiter, ear.of(wanted) as second, ear.of(uuid4()) as other:
            begun = time.monotonic()
            waits = [asyncio.create_task(one.wait()) for one in (waiter, second, other)]
            await asyncio.sleep(0.05)
            await send(database, wanted)
            await asyncio.gather(*waits[:2])
            assert time.monotonic() - begun < LOOK_AGAIN - 0.1
            assert not waits[2].done(), "who waits for another connection sleeps on"
            await waits[2]
    assert ear._waiting == {}  # noqa: SLF001 - nothing is left behind


async def test_c5_word_that_came_before_waiting_is_not_lost(database: Database) -> None:
    wanted = uuid4()
    async with listening(database) as ear:
        with ear.of(wanted) as waiter:
            await send(database, wanted)
            await asyncio.sleep(0.1)
            begun = time.monotonic()
            await waiter.wait()
            assert time.monotonic() - begun < 0.1


async def test_word_of_a_transaction_that_is_rolled_back_is_none(database: Database) -> None:
    wanted = uuid4()
    async with listening(database) as ear:
        with ear.of(wanted) as waiter:
            with suppress(ZeroDivisionError):
                async with database.transaction() as connection:
                    await tell(connection, str(wanted))
                    raise ZeroDivisionError
            begun = time.monotonic()
            await waiter.wait()
            assert time.monotonic() - begun >= LOOK_AGAIN - 0.05


async def test_data_md_it_listens_on_a_connection_outside_the_pool(database: Database, superuser: Database) -> None:
    async with listening(database):
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
    wanted = uuid4()
    async with listening(database) as ear:
        (pid,) = await backends(superuser)
        with ear.of(wanted) as waiter:
            waiting = asyncio.create_task(waiter.wait())
            await asyncio.sleep(0.02)
            async with superuser.transaction() as connection:
                await connection.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
            async with asyncio.timeout(LOOK_AGAIN / 2):
                await waiting
            await until(ear, listening=False)
            await until(ear, listening=True)
            waiting = asyncio.create_task(waiter.wait())
            await asyncio.sleep(0.02)
            await send(database, wanted)
            async with asyncio.timeout(LOOK_AGAIN / 2):
                await waiting


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
    made = Wakeups(database=deaf, proof_lasts=0.2)
    task = asyncio.create_task(made.run())
    try:
        await asyncio.sleep(0.6)
        assert not made.listening
        with made.of(uuid4()) as waiter:
            begun = time.monotonic()
            await waiter.wait()
            assert time.monotonic() - begun < LOOK_AGAIN / 2
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await deaf.aclose()
