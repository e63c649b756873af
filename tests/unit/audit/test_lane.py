"""Lanes: dense numbers, an unbroken chain, and nothing that a failed transaction leaves behind."""

from __future__ import annotations

import asyncio
from datetime import date, timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import insert, select, text, update

from tests.support.house import House
from vaultd.audit.events import Draft, EventType
from vaultd.audit.lane import Lane, columns_of, events_table, lanes_table, link
from vaultd.audit.log import AuditLog
from vaultd.db import Database
from vaultd.errors import AuditUnavailable, TemporarilyUnavailable
from vaultd.keys.keyring import Keyring
from vaultd.terms import Secret

EXCHANGED = Draft(type=EventType.TOKEN_EXCHANGED, client_id="agent", connection="github")


class Broken(Exception):
    """What goes wrong in a block."""


async def lanes(database: Database) -> dict[UUID, list[int]]:
    async with database.transaction() as connection:
        result = {row.writer: list[int]() for row in await connection.execute(select(lanes_table))}
        for row in await connection.execute(select(events_table).order_by(events_table.c.seq)):
            result[row.writer].append(row.seq)
    return result


async def test_numbers_are_dense_and_the_chain_holds(house: House) -> None:
    await house.log.record(EXCHANGED)
    await house.log.record(EXCHANGED, EXCHANGED)
    async with house.log.transaction() as transaction:
        await transaction.append(EXCHANGED)
        await transaction.append()
        await transaction.append(EXCHANGED)
    assert list((await lanes(house.database)).values()) == [[1, 2, 3, 4, 5]]
    async with house.database.transaction() as connection:
        rows = (await connection.execute(select(events_table).order_by(events_table.c.seq))).mappings().all()
    previous = rows[0]["writer"].bytes
    for row in rows:
        previous = link(house.keyring.active("chain"), previous, row["bytes"])
        assert row["mac"] == previous
        assert {name: row[name] for name in columns_of(row["bytes"])} == columns_of(row["bytes"])


async def test_two_lanes_at_once(house: House) -> None:
    async def work(number: int) -> None:
        async with house.log.transaction() as transaction:
            await transaction.append(EXCHANGED)
            await asyncio.sleep(0.002 * (number % 3))
            await transaction.append(EXCHANGED)

    await asyncio.gather(*(work(number) for number in range(40)))
    written = await lanes(house.database)
    assert len(written) == 2
    assert sum(map(len, written.values())) == 80
    assert all(numbers == list(range(1, len(numbers) + 1)) for numbers in written.values())
    assert all(written.values()), "both lanes were used"
    report = await house.verify()
    assert (report.findings, report.events, report.open_lanes) == ([], 80, 2)


async def test_two_processes_have_their_own_lanes(house: House) -> None:
    other = AuditLog(database=house.database, keyring=house.keyring, clock=house.clock)
    await asyncio.gather(*(log.record(EXCHANGED) for log in (house.log, other) for _ in range(10)))
    assert sum(map(len, (await lanes(house.database)).values())) == 20
    assert (await house.verify()).findings == []


async def test_a_rollback_leaves_no_gap(house: House) -> None:
    await house.log.record(EXCHANGED)

    async def fail() -> None:
        async with house.log.transaction() as transaction:
            await transaction.append(EXCHANGED, EXCHANGED)
            raise Broken

    with pytest.raises(Broken):
        await fail()
    await house.log.record(EXCHANGED)
    assert list((await lanes(house.database)).values()) == [[1, 2]]
    assert (await house.verify()).findings == []


async def test_a_change_and_its_event_fall_together(house: House) -> None:
    async def fail() -> None:
        async with house.log.transaction() as transaction:
            await transaction.append(EXCHANGED)
            await transaction.connection.execute(text("SELECT 1 / 0"))

    with pytest.raises(TemporarilyUnavailable):
        await fail()
    await house.log.record(EXCHANGED)
    assert [len(numbers) for numbers in (await lanes(house.database)).values()] == [1]


async def test_a_cancelled_block_leaves_no_gap(house: House) -> None:
    begun = asyncio.Event()

    async def hang() -> None:
        async with house.log.transaction() as transaction:
            await transaction.append(EXCHANGED)
            begun.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(hang())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.gather(*(house.log.record(EXCHANGED) for _ in range(6)))
    report = await house.verify()
    assert (report.findings, report.events) == ([], 6)


async def test_a_taken_number_gives_the_lane_up(house: House) -> None:
    await house.log.record(EXCHANGED)
    (writer,) = await lanes(house.database)
    # As if a commit of which we never heard had arrived after all.
    lane = Lane(writer=writer, period=house.clock().date().replace(day=1), chain_key=house.keyring.active("chain"))
    async with house.database.transaction() as connection:
        first = (await connection.execute(select(events_table.c.mac))).scalar_one()
        lane.position = type(lane.position)(1, first)
        await lane.append(connection, [EXCHANGED], at=house.clock(), after=lane.position)
    with pytest.raises(TemporarilyUnavailable):
        await house.log.record(EXCHANGED)
    await house.log.record(EXCHANGED)
    assert sorted(map(len, (await lanes(house.database)).values())) == [1, 2]
    assert (await house.verify()).findings == []
    async with house.database.transaction() as connection:
        given_up = (await connection.execute(select(lanes_table).where(lanes_table.c.writer == writer))).one()
    assert given_up.closed_at is not None
    assert given_up.last_seq is None


async def test_a_new_month_is_a_new_lane(house: House) -> None:
    await house.log.record(EXCHANGED, EXCHANGED)
    house.clock.forward(days=31)
    await house.log.record(EXCHANGED)
    async with house.database.transaction() as connection:
        rows = (await connection.execute(select(lanes_table).order_by(lanes_table.c.period))).all()
    assert [(row.last_seq, row.closed_at is None) for row in rows] == [(2, False), (None, True)]
    assert rows[0].period < rows[1].period
    assert (await house.verify()).findings == []


async def test_a_new_month_that_could_not_begin_is_tried_again(house: House, superuser: Database) -> None:
    """The old lane is closed then already, and is not changed any more."""
    await house.log.record(EXCHANGED)
    house.clock.forward(days=31)
    async with superuser.transaction() as connection:
        await connection.execute(text("REVOKE EXECUTE ON FUNCTION vaultd_ensure_partition(date) FROM vaultd_app"))
    for _ in range(2):
        with pytest.raises(TemporarilyUnavailable):
            await house.log.record(EXCHANGED)
    async with superuser.transaction() as connection:
        await connection.execute(text("GRANT EXECUTE ON FUNCTION vaultd_ensure_partition(date) TO vaultd_app"))
    await house.log.record(EXCHANGED)
    await house.log.close()
    assert (await house.verify()).findings == []


async def test_a_lane_that_somebody_else_has_closed_goes_on_and_is_told(house: House) -> None:
    await house.log.record(EXCHANGED)
    async with house.database.transaction() as connection:
        await connection.execute(update(lanes_table).values(closed_at=house.clock() - timedelta(hours=1), last_seq=0))
    await house.log.record(EXCHANGED)
    house.clock.forward(days=31)
    await house.log.record(EXCHANGED)
    await house.log.close()
    assert any("was closed at" in finding for finding in (await house.verify()).findings)


async def test_closing_records_the_end(house: House) -> None:
    await asyncio.gather(*(house.log.record(EXCHANGED) for _ in range(8)))
    await house.log.close()
    report = await house.verify()
    assert (report.findings, report.open_lanes, report.events) == ([], 0, 8)
    await house.log.record(EXCHANGED)
    assert (await house.verify()).findings == []


async def test_a_lane_that_was_given_up_is_closed_too(house: House) -> None:
    await house.log.record(EXCHANGED)
    (writer,) = await lanes(house.database)
    async with house.database.transaction() as connection:
        taken = {"period": date.today().replace(day=1), "writer": writer, "seq": 2, "mac": bytes(32), "bytes": b"{}"}  # noqa: DTZ011
        await connection.execute(
            insert(events_table).values(id=uuid4(), at=house.clock(), type="t", decision="d", **taken)
        )
    with pytest.raises(TemporarilyUnavailable):
        await house.log.record(EXCHANGED)
    await house.log.close()
    assert (await house.verify()).open_lanes == 0


async def test_a_database_that_is_away(house: House, keyring: Keyring) -> None:
    away = Database(Secret("postgresql://nobody@/nothing?host=/nowhere"))
    log = AuditLog(database=away, keyring=keyring, clock=house.clock, lanes=1)
    for _ in range(2):
        with pytest.raises(TemporarilyUnavailable) as caught:
            await log.record(EXCHANGED)
        assert caught.value.reason == "database_unavailable"
    with pytest.raises(AuditUnavailable):
        await log.ready()
    await house.log.ready()
    await away.aclose()
