"""A page ends where its rows or their bytes do, and says whether there are more."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import uuid4

import pytest
from sqlalchemy import func, insert, select, text

from tests.support.house import House
from vaultd.audit import read
from vaultd.audit.lane import Lane, events_table
from vaultd.db import Database
from vaultd.portions import portion
from vaultd.sizes import PAGE

_e = events_table.c


async def stored(house: House, superuser: Database, sizes: list[int]) -> None:
    """Events with so many bytes, oldest first: some are larger than any that the database takes today."""
    now = datetime.now(UTC)
    lane = Lane(writer=uuid4(), period=now.date().replace(day=1), chain_key=house.keyring.active("chain"))
    rows = [
        {
            "period": lane.period,
            "writer": lane.writer,
            "seq": number,
            "mac": b"",
            "bytes": b"b" * size,
            "id": uuid4(),
            "at": now,
            "type": "token.exchanged",
            "decision": "allowed",
        }
        for number, size in enumerate(sizes, 1)
    ]
    async with superuser.transaction() as connection:
        await connection.execute(text("ALTER TABLE events DROP CONSTRAINT IF EXISTS events_plausible"))
        await connection.execute(insert(events_table), rows)


async def numbers(house: House, *, limit: int, room: int, descending: bool = False) -> tuple[list[int], bool]:
    async with house.database.transaction() as connection:
        rows, more = await portion(
            connection,
            select(events_table),
            order=(_e.at, _e.seq),
            descending=descending,
            size=func.octet_length(_e.bytes),
            limit=limit,
            room=room,
        )
    assert all(set(row) == {column.key for column in events_table.columns} for row in rows)
    return [row["seq"] for row in rows], more


@pytest.mark.parametrize(
    ("limit", "room", "found"),
    [
        (10, 1_000, ([1, 2, 3, 4], False)),
        (4, 1_000, ([1, 2, 3, 4], False)),
        (3, 1_000, ([1, 2, 3], True)),
        (10, 300, ([1, 2], True)),
        (10, 299, ([1], True)),
        (10, 1, ([1], True)),
        (1, 1, ([1], True)),
    ],
)
async def test_rows_or_bytes(
    house: House, superuser: Database, limit: int, room: int, found: tuple[list[int], bool]
) -> None:
    await stored(house, superuser, [100, 200, 300, 10])
    assert await numbers(house, limit=limit, room=room) == found


async def test_a_small_row_behind_a_large_one_waits_for_its_turn(house: House, superuser: Database) -> None:
    await stored(house, superuser, [100, 5_000, 10])
    assert await numbers(house, limit=10, room=1_000) == ([1], True)
    assert await numbers(house, limit=10, room=1_000, descending=True) == ([3], True)


async def test_no_rows(house: House) -> None:
    assert await numbers(house, limit=10, room=1_000) == ([], False)


async def test_pages_of_the_log_lose_nothing(house: House, superuser: Database) -> None:
    await stored(house, superuser, [PAGE // 3] * 8 + [2 * PAGE] + [100] * 30)
    seen, cursor, pages = list[int](), None, 0
    while True:
        async with house.database.transaction() as connection:
            rows, cursor = await read.page(connection, read.Query(limit=1000, cursor=cursor))
        assert sum(len(row["bytes"]) for row in rows) <= PAGE or len(rows) == 1
        seen += [row["seq"] for row in rows]
        pages += 1
        if cursor is None:
            break
    assert seen == list(range(39, 0, -1))
    assert pages == 5
