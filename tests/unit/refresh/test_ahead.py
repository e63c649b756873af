"""Renewing ahead of time (issue 5 §4): what is due, for whom, how often, by how many replicas, at what cost."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from tests.unit.refresh.conftest import Process, Room
from vaultd.connections import due, store
from vaultd.connections.lease import LASTS
from vaultd.connections.refresh_end import RefreshEnd
from vaultd.connections.table import ConnectionRow
from vaultd.db import Database
from vaultd.refresh import Ahead, RefreshConfig
from vaultd.terms import Secret

AHEAD = 600
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def ahead_of(room: Room, process: Process, *, idle: timedelta = timedelta(), **config: int) -> Ahead:
    return Ahead(
        database=room.house.database,
        refresher=process.refresher,
        breaker=process.breaker,
        providers={"github": idle},
        hosts={"github": room.host},
        config=RefreshConfig.model_validate({"ahead": AHEAD, "per_second": 100, **config}),
        clock=room.house.clock,
    )


async def tick(*replicas: Ahead) -> bool:
    """One look of each at once, and the end of everything that it began."""
    async with asyncio.TaskGroup() as group:
        more = await asyncio.gather(*(replica.tick(group) for replica in replicas))
    return any(more)


async def renew_at(room: Room, row: ConnectionRow) -> Any:
    """Seconds from now until the row is looked at; None when it is not worked out yet."""
    query = text("SELECT extract(epoch FROM renew_at - :now)::float8 FROM connections WHERE id = :id")
    async with room.house.database.transaction() as connection:
        values = {"id": row.id, "now": room.house.clock()}
        return (await connection.execute(query, values)).scalar_one()


async def used(room: Room, row: ConnectionRow, day: date) -> None:
    async with room.house.database.transaction() as connection:
        await connection.execute(
            text("UPDATE connections SET last_used_on = :day WHERE id = :id"), {"id": row.id, "day": day}
        )


async def connected(room: Room, name: str = "alice", **brought: Any) -> ConnectionRow:
    """A connection whose token lives for an hour, or what is told."""
    changed = replace(room.house.brought(), **brought)
    return await room.house.row(await room.house.connect(await room.house.subject(name), changed))


async def test_a_used_connection_is_renewed_before_its_token_ends(room: Room) -> None:
    ahead = ahead_of(room, room.first)
    row = await connected(room)
    room.answers(access_token="whole", expires_in=3600)
    await tick(ahead)
    assert await renew_at(room, row) == pytest.approx(3600 - AHEAD)
    room.house.clock.forward(seconds=3600 - AHEAD - 1)
    await tick(ahead)
    assert room.server.seen == []
    room.house.clock.forward(seconds=1)
    await tick(ahead)
    after = await room.house.row(row.id)
    assert room.opened(after).access_token == Secret("whole")
    assert after.expires_at == room.house.clock() + HOUR
    (event,) = await room.events("token.refreshed")
    assert event["revision"] == after.revision == 2
    assert "reason" not in event
    await tick(ahead)
    assert len(room.server.seen) == 1
    assert (await room.house.verify()).findings == []


async def test_a_vault_that_renews_nothing_ahead_leaves_it_to_one_beside_it(room: Room) -> None:
    ahead, beside = ahead_of(room, room.first), ahead_of(room, room.second, ahead=0)
    row = await connected(room)
    room.answers(access_token="whole", expires_in=3600)
    await tick(ahead)
    room.house.clock.forward(seconds=3600 - AHEAD)
    await tick(beside)
    assert await renew_at(room, row) == pytest.approx(0)
    assert room.server.seen == []
    await tick(ahead)
    assert room.opened(await room.house.row(row.id)).access_token == Secret("whole")


async def test_a_short_lived_token_is_renewed_in_its_last_quarter(room: Room) -> None:
    """With the whole of `ahead` it would be due again at once, for ever."""
    ahead = ahead_of(room, room.first)
    row = await connected(room, expires_at=room.house.clock() + timedelta(seconds=300))
    room.answers(expires_in=300)
    for forward, calls in ((0, 0), (224, 0), (1, 1), (0, 1), (224, 1), (1, 2)):
        room.house.clock.forward(seconds=forward)
        await tick(ahead)
        assert len(room.server.seen) == calls
    assert (await room.house.row(row.id)).revision == 3


@pytest.mark.parametrize(("days", "renewed"), [(14, True), (15, False)])
async def test_only_connections_used_lately_are_renewed(room: Room, days: int, renewed: bool) -> None:  # noqa: FBT001
    ahead = ahead_of(room, room.first, active_days=14)
    row = await connected(room)
    room.house.clock.forward(minutes=55)
    await used(room, row, room.house.clock().date() - timedelta(days=days))
    room.answers(expires_in=3600)
    await tick(ahead)
    assert len(room.server.seen) == renewed
    assert (await room.house.row(row.id)).revision == 1 + renewed


async def test_a_connection_that_was_set_aside_costs_nothing_and_comes_back_when_it_is_used(room: Room) -> None:
    ahead = ahead_of(room, room.first, active_days=1)
    row = await connected(room)
    room.house.clock.forward(days=3)
    await tick(ahead)
    assert await renew_at(room, row) == float("inf")
    assert await ahead.backlog() == {"github": 0}
    room.answers(expires_in=3600)
    await room.first.refresher.refresh(await room.house.row(row.id))
    await used(room, row, room.house.clock().date())
    assert await renew_at(room, row) is None
    await tick(ahead)
    assert await renew_at(room, row) == pytest.approx(3600 - AHEAD)


async def test_an_idle_refresh_token_is_used_at_half_its_limit(room: Room) -> None:
    """Whether anybody uses the connection or not, and whether its access token ends or not."""
    ahead = ahead_of(room, room.first, idle=30 * DAY, active_days=1)
    rows = [await connected(room), await connected(room, "bob", expires_at=None)]
    for row in rows:
        await used(room, row, room.house.clock().date())
    room.answers(expires_in=3600)
    for days, calls in ((2, 0), (12, 0), (1, 2), (2, 2), (12, 2), (1, 4)):
        room.house.clock.forward(days=days)
        await tick(ahead)
        await tick(ahead)
        assert len(room.server.seen) == calls, days
    assert [(await room.house.row(row.id)).status for row in rows] == ["connected"] * 2


@pytest.mark.parametrize("ahead_of_time", [0, AHEAD])
async def test_a_refresh_token_is_renewed_at_half_of_the_life_that_was_told(room: Room, ahead_of_time: int) -> None:
    """Also of a connection that nobody has used for long."""
    ahead = ahead_of(room, room.first, ahead=ahead_of_time)
    now = room.house.clock()
    row = await connected(room, refresh_end=RefreshEnd(now + timedelta(days=90), now))
    await used(room, row, now.date() - timedelta(days=100))
    room.answers(refresh_token_expires_in=90 * 86_400)
    room.house.clock.forward(days=44)
    await tick(ahead)
    await tick(ahead)
    assert room.server.seen == []
    room.house.clock.forward(days=2)
    await tick(ahead)
    assert len(room.server.seen) == 1
    end = room.opened(await room.house.row(row.id)).refresh_end
    assert end == RefreshEnd(room.house.clock() + timedelta(days=90), room.house.clock())
    room.house.clock.forward(days=44)
    await tick(ahead)
    await tick(ahead)
    assert len(room.server.seen) == 1


async def test_an_end_that_no_refresh_moves_is_looked_at_once(room: Room) -> None:
    ahead = ahead_of(room, room.first, ahead=0)
    now = room.house.clock()
    row = await connected(room, refresh_end=RefreshEnd(now + timedelta(days=90), now))
    room.answers(refresh_token_expires_in=45 * 86_400, refresh_token=None)
    room.house.clock.forward(days=45)
    for _ in range(5):
        await tick(ahead)
        room.house.clock.forward(days=1)
    assert len(room.server.seen) == 1
    end = room.opened(await room.house.row(row.id)).refresh_end
    assert end is not None
    assert (end.at, end.fixed) == (now + timedelta(days=90), True)


async def test_an_idle_limit_that_is_new_reaches_those_that_were_set_aside(room: Room) -> None:
    before = ahead_of(room, room.first, active_days=1)
    row = await connected(room)
    room.house.clock.forward(days=3)
    await tick(before)
    assert await renew_at(room, row) == float("inf")
    after = ahead_of(room, room.first, idle=4 * DAY, active_days=1)
    running = asyncio.create_task(after.run())
    room.answers(expires_in=3600)
    async with asyncio.timeout(15):
        while not room.server.seen:
            await asyncio.sleep(0.05)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await room.first.refresher.drain()
    assert (await room.house.row(row.id)).revision == 2


async def test_without_ahead_only_idle_limits_count(room: Room) -> None:
    row = await connected(room)
    room.house.clock.forward(minutes=59)
    await tick(ahead_of(room, room.first, ahead=0))
    assert await renew_at(room, row) is None, "it is left as it is, for who renews ahead"
    idle = await connected(room, "bob")
    await tick(ahead_of(room, room.first, ahead=0, idle=DAY))
    assert await renew_at(room, idle) == pytest.approx(DAY.total_seconds() / 2)
    assert room.server.seen == []


async def test_what_cannot_be_renewed_is_left_out(room: Room) -> None:
    ahead = ahead_of(room, room.first)
    without = await connected(room, refresh_token=None)
    endless = await connected(room, "bob", expires_at=None)
    broken = await connected(room, "carol")
    async with room.house.database.transaction() as connection:
        await store.break_connection(connection, broken, fence=None, reason="invalid_grant")
    room.house.clock.forward(hours=2)
    await tick(ahead)
    assert room.server.seen == []
    assert [await renew_at(room, row) for row in (without, endless, broken)] == [None, float("inf"), None]


async def test_replicas_share_the_work_and_do_nothing_twice(room: Room) -> None:
    """FOR UPDATE SKIP LOCKED: 40 rows, three replicas at once, 40 calls."""
    rows = [await connected(room, f"user-{number}") for number in range(40)]
    third = Process(room.house, room.providers, room.outbound)
    replicas = [ahead_of(room, process) for process in (room.first, room.second, third)]
    room.house.clock.forward(minutes=55)
    assert await room_backlog(replicas[0]) == 0, "nothing is worked out yet"
    room.answers(expires_in=3600, refresh_token=None)
    await tick(*replicas)
    await tick(*replicas)
    assert len(room.server.seen) == 40
    assert {(await room.house.row(row.id)).revision for row in rows} == {2}
    assert len(await room.events("token.refreshed")) == 40


async def test_the_rate_is_bounded_for_each_provider(room: Room) -> None:
    ahead = ahead_of(room, room.first, per_second=3)
    for number in range(8):
        await connected(room, f"user-{number}")
    room.house.clock.forward(minutes=55)
    room.answers(expires_in=3600, refresh_token=None)
    seen = []
    for _ in range(4):
        more = await tick(ahead)
        seen.append((len(room.server.seen), more, await room_backlog(ahead)))
    assert seen == [(3, True, 5), (6, True, 2), (8, False, 0), (8, False, 0)]


async def test_c3_a_provider_that_is_left_alone_is_left_alone_here_too(room: Room) -> None:
    ahead = ahead_of(room, room.first)
    rows = [await connected(room, f"user-{number}") for number in range(5)]
    room.house.clock.forward(minutes=50)
    room.server.answers(b"slow down", status=429, retry_after="30")
    await room.first.refresher.refresh(rows[0])
    await tick(ahead)
    assert len(room.server.seen) == 1
    room.house.clock.forward(seconds=30)
    room.answers(expires_in=3600, refresh_token=None)
    await tick(ahead)
    assert len(room.server.seen) == 2, "one goes out to see"
    await tick(ahead)
    assert len(room.server.seen) == 6


async def test_tries_become_rarer_the_longer_it_fails(room: Room) -> None:
    """Back-off with jitter: a minute at first, later half of the time for which it has been due."""
    ahead = ahead_of(room, room.first)
    row = await connected(room)
    room.refuses("temporarily_out_of_order")
    room.house.clock.forward(seconds=3600 - AHEAD)
    waits = []
    for _ in range(12):
        await tick(ahead)
        waits.append(await renew_at(room, row))
        room.house.clock.forward(seconds=waits[-1])
    assert len(room.server.seen) == 12
    assert 30 <= waits[0] <= 90
    assert waits[-1] > 5 * waits[0]
    assert (await room.house.row(row.id)).status == "connected"


async def test_so_they_do_where_answers_of_no_use_bring_other_refresh_tokens(room: Room) -> None:
    """Each is another revision of the row, and yet nothing was renewed."""
    ahead = ahead_of(room, room.first)
    await connected(room)
    room.house.clock.forward(seconds=3600 - AHEAD)
    for turn in range(40):
        room.answers(token_type="mac", refresh_token=f"rotated {turn}")
        await tick(ahead)
        room.house.clock.forward(seconds=60)
    assert len(room.server.seen) < 15
    assert len(await room.events("token.refreshed")) == len(room.server.seen)


async def test_c6_a_process_that_dies_with_a_row_leaves_it_to_the_others(room: Room) -> None:
    row = await connected(room)
    room.house.clock.forward(minutes=50)
    rules = due.Rules(ahead=timedelta(seconds=AHEAD), idle={})
    now, since = room.house.clock(), room.house.clock().date()
    async with room.house.database.transaction() as connection:
        taken = await due.take_due(connection, rules, {"github": 10}, used_since=since, now=now)
    assert [one.id for one in taken] == [row.id]
    room.answers(expires_in=3600)
    ahead = ahead_of(room, room.second)
    await tick(ahead)
    assert room.server.seen == [], "somebody has it for now"
    room.house.clock.forward(seconds=91)
    await tick(ahead)
    assert len(room.server.seen) == 1


async def test_a_row_that_does_not_open_holds_up_no_other(room: Room) -> None:
    ahead = ahead_of(room, room.first)
    altered, good = await connected(room), await connected(room, "bob")
    async with room.house.database.transaction() as connection:
        await connection.execute(
            text("UPDATE connections SET refresh_token = access_token WHERE id = :id"), {"id": altered.id}
        )
    room.house.clock.forward(minutes=55)
    room.answers(expires_in=3600)
    await tick(ahead)
    assert (await room.house.row(good.id)).revision == 2
    assert (await room.house.row(altered.id)).revision == 1


async def test_an_exchange_that_holds_a_row_hinders_nobody_and_a_revocation_is_skipped(room: Room) -> None:
    ahead = ahead_of(room, room.first)
    shared, exclusive = await connected(room), await connected(room, "bob")
    room.house.clock.forward(minutes=55)
    room.answers(expires_in=3600)
    lock = "SELECT FROM connections WHERE id = :id FOR "
    async with room.house.database.transaction() as connection:
        await connection.execute(text(lock + "KEY SHARE"), {"id": shared.id})
        await connection.execute(text(lock + "UPDATE"), {"id": exclusive.id})
        await asyncio.wait_for(tick(ahead), 5)
    assert [(await room.house.row(row.id)).revision for row in (shared, exclusive)] == [2, 1]


async def test_a_look_costs_the_same_however_many_connections_there_are(room: Room, superuser: Database) -> None:
    """Flat: beside 20,000 connections that are set aside or due tomorrow, a look touches a handful of pages."""
    row = await connected(room)
    await _fill(superuser, row, 20_000)
    for statement in (due.WORK_OUT, due.TAKE):
        assert await _pages(room, statement.text) < 60


async def _fill(superuser: Database, row: ConnectionRow, copies: int) -> None:
    """Others' connections: half of them set aside, half of them due tomorrow."""
    copy = text(
        """INSERT INTO connections SELECT made.* FROM generate_series(1, cast(:copies AS int)) n,
            (SELECT c AS one, to_jsonb(c) AS row FROM connections c WHERE id = :id) model,
            LATERAL jsonb_populate_record(model.one, model.row || jsonb_build_object(
                'id', gen_random_uuid(), 'account_ref', sha256(n::text::bytea),
                'renew_at', CASE WHEN n % 2 = 0 THEN 'infinity' ELSE (now() + interval '1 day')::text END)) made"""
    )
    async with superuser.transaction() as connection:
        await connection.execute(copy, {"id": row.id, "copies": copies})
        await connection.execute(text("ANALYZE connections"))


async def _pages(room: Room, statement: str) -> int:
    """The pages that a statement touches, as PostgreSQL counts them."""
    now = room.house.clock()
    values = {
        "names": ["github"],
        "places": [5],
        "idles": [None],
        "ahead": timedelta(seconds=AHEAD),
        "used_since": now.date(),
        "now": now,
        "lease": LASTS,
    }
    explained = text(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}")
    wanted = {name: values[name] for name in values if f":{name}" in statement}
    async with room.house.database.engine.begin() as connection:
        (plan,) = (await connection.execute(explained, wanted)).scalar_one()
    return int(plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"])


async def room_backlog(ahead: Ahead) -> int:
    counted: Mapping[str, int] = await ahead.backlog()
    return counted["github"]
