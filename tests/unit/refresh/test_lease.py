"""The lease: one call, outliving it, taken over from the dead, and nothing held meanwhile (C3, C4, C5, C6, C7)."""

from __future__ import annotations

import asyncio
import inspect
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from tests.unit.refresh.conftest import Process, Room, listening
from vaultd.connections import lease
from vaultd.connections.table import ConnectionRow
from vaultd.errors import TemporarilyUnavailable
from vaultd.outbound import Outbound
from vaultd.terms import Secret


async def refresh(process: Process, row: ConnectionRow) -> Any:
    return await asyncio.wait_for(process.refresher.refresh(row), 30)


async def end_lease(room: Room, row: ConnectionRow) -> None:
    """As if the time of the lease had passed."""
    past = text("UPDATE connections SET lease_until = now() - interval '1 second' WHERE id = :id")
    async with room.house.database.transaction() as connection:
        await connection.execute(past, {"id": row.id})


async def leased_to_nobody(room: Room, row: ConnectionRow) -> int:
    """A lease whose owner has died."""
    async with room.house.database.transaction() as connection:
        fence = await lease.take(connection, row, owner=uuid4(), now=room.house.clock())
    assert fence is not None
    return fence


def test_c5_a_lease_outlives_the_providers_timeout() -> None:
    """With time to spare for storing what came at the last moment."""
    longest_call = inspect.signature(Outbound).parameters["total_timeout"].default
    assert lease.LASTS.total_seconds() >= longest_call + 3


async def test_c5_nothing_is_held_while_the_provider_is_called(room: Room) -> None:
    """No pooled connection, no transaction, no lock."""
    row = await room.connected()
    room.server.holds()
    flight = asyncio.create_task(refresh(room.first, row))
    await room.asked()
    assert room.house.database.engine.pool.checkedout() == 0  # type: ignore[attr-defined]  # a queue pool has it
    in_transaction = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND xact_start IS NOT NULL"
        " AND pid <> pg_backend_pid()"
    )
    async with room.house.database.transaction() as connection:
        assert (await connection.execute(in_transaction)).scalar_one() == 0
        await connection.execute(text("SELECT FROM connections WHERE id = :id FOR UPDATE NOWAIT"), {"id": row.id})
    leased = await room.house.row(row.id)
    assert leased.lease_until is not None
    assert leased.intent_fence == leased.lease_fence, "C6: the intent stands there before the call"
    room.answers(access_token="whole")
    assert await flight is None


async def test_c5_another_process_waits_and_is_woken(room: Room) -> None:
    row = await room.connected()
    async with listening(room.second.wakeups):
        room.server.holds()
        flights = [asyncio.create_task(refresh(process, row)) for process in (room.first, room.second)]
        await room.asked()
        await asyncio.sleep(0.2)
        room.answers(access_token="whole")
        assert [await flight for flight in flights] == [None, None]
    assert len(room.server.seen) == 1


@pytest.mark.parametrize("error", [None, "invalid_grant"])
async def test_c5_who_waits_is_told_of_every_end(room: Room, error: str | None) -> None:
    """Stored (above), broken or given back: the word is sent by the transaction that does it."""
    row = await room.connected()
    room.server.drops()
    if error is not None:
        room.refuses(error)
    async with listening(room.second.wakeups):
        with room.second.wakeups.of(row.id) as waiter:
            await refresh(room.first, row)
            await asyncio.wait_for(waiter.wait(), 10)


async def test_c5_a_lease_of_the_dead_is_taken_over_when_it_ends_and_not_before(room: Room) -> None:
    row = await room.connected()
    fence = await leased_to_nobody(room, row)
    room.answers(access_token="whole")
    waiting = asyncio.create_task(refresh(room.first, row))
    await asyncio.sleep(0.3)
    assert room.server.seen == []
    await end_lease(room, row)
    assert await waiting is None
    after = await room.house.row(row.id)
    assert (after.revision, after.lease_fence, after.lease_until, after.intent_fence) == (2, fence + 1, None, None)
    assert room.opened(after).access_token == Secret("whole")


async def test_c5_who_lost_the_lease_stores_nothing_and_ends_no_grant(room: Room) -> None:
    """The grant stands, and another has asked for its tokens: to revoke ours at the provider would end it there."""
    row = await room.connected()
    room.server.holds()
    slow = asyncio.create_task(refresh(room.first, row))
    await room.asked()
    await end_lease(room, row)
    late = asyncio.create_task(refresh(room.second, await room.house.row(row.id)))
    async with asyncio.timeout(5):
        while len(room.server.seen) < 2:
            await asyncio.sleep(0.01)
    room.answers(access_token="whole")
    assert [await slow, await late] == [None, None]
    after = await room.house.row(row.id)
    assert (after.revision, after.status) == (2, "connected")
    assert await room.to_be_revoked() == []
    assert room.first.outcomes.count("github", "superseded") + room.second.outcomes.count("github", "superseded") == 1
    assert len(await room.events("token.refreshed")) == 1


async def test_c6_an_intent_that_was_left_is_recovered_with_the_old_token(room: Room) -> None:
    """A grace answers it with tokens; without one the end is in the open, by its own name."""
    row = await room.connected()
    await leased_to_nobody(room, row)
    await end_lease(room, row)
    room.refuses("invalid_grant")
    assert await refresh(room.first, await room.house.row(row.id)) is None
    assert room.server.last.form()["refresh_token"] == ["refresh token of octocat"]
    broken = await room.house.row(row.id)
    assert (broken.status, broken.reason) == ("reconnect_required", "rotation_lost")
    assert [event["reason"] for event in await room.events("connection.broken")] == ["rotation_lost"]


async def test_c3_invalid_grant_is_not_final_where_the_row_has_moved(room: Room) -> None:
    """Another process has stored another refresh token since: what the provider says is about the old one."""
    row = await room.connected()
    room.server.holds()
    slow = asyncio.create_task(refresh(room.first, row))
    await room.asked()
    await end_lease(room, row)
    late = asyncio.create_task(refresh(room.second, await room.house.row(row.id)))
    async with asyncio.timeout(5):
        while len(room.server.seen) < 2:
            await asyncio.sleep(0.01)
    await end_lease(room, row)
    again = await room.house.row(row.id)
    stands = asyncio.create_task(leased_to_nobody(room, again))
    await stands
    room.refuses("invalid_grant")
    assert [await slow, await late] == [None, None]
    assert (await room.house.row(row.id)).status == "connected"
    assert await room.events("connection.broken") == []


async def test_c4_while_the_provider_is_left_alone_no_lease_is_taken(room: Room) -> None:
    row = await room.connected()
    room.server.answers(b"slow down", status=429, retry_after="30")
    first = await refresh(room.first, row)
    assert isinstance(first, TemporarilyUnavailable)
    assert (first.reason, first.retry_after) == ("provider_unavailable", 30)
    before = await room.house.row(row.id)
    room.house.clock.forward(seconds=12)
    second = await refresh(room.first, before)
    assert isinstance(second, TemporarilyUnavailable)
    assert (second.reason, second.retry_after) == ("provider_paused", 18)
    assert await room.house.row(row.id) == before
    assert len(room.server.seen) == 1
    assert (room.first.outcomes.count("github", "unavailable"), room.first.outcomes.count("github", "paused")) == (1, 1)
    room.house.clock.forward(seconds=18)
    room.answers(access_token="whole")
    assert await refresh(room.first, before) is None
    assert room.first.outcomes.count("github", "refreshed") == 1


async def test_c6_a_call_that_was_not_made_changes_nothing_of_what_is_known(room: Room) -> None:
    """Two connections when the pause is over: one goes to see, the other keeps the intent of its earlier call."""
    rows = [await room.connected(name) for name in ("alice", "bob")]
    room.server.answers(b"slow down", status=429, retry_after="30")
    for row in rows:
        # Each in a process of its own, so that both have called.
        await refresh(room.first if row is rows[0] else room.second, row)
    marked = [await room.house.row(row.id) for row in rows]
    assert all(row.intent_fence is not None for row in marked)
    room.house.clock.forward(seconds=30)
    room.server.holds()
    sees = asyncio.create_task(refresh(room.first, marked[0]))
    async with asyncio.timeout(5):
        while len(room.server.seen) < 3:
            await asyncio.sleep(0.01)
    other = await refresh(room.first, marked[1])
    assert isinstance(other, TemporarilyUnavailable)
    assert (await room.house.row(rows[1].id)).intent_fence == marked[1].intent_fence
    room.answers(access_token="whole")
    assert await sees is None


async def test_f2_tokens_in_hand_wait_for_a_database_that_is_away(room: Room, superuser: Any) -> None:
    """The provider has rotated; what it gave is stored as soon as that can be done."""
    row = await room.connected()
    room.server.holds()
    flight = asyncio.create_task(refresh(room.first, row))
    await room.asked()
    async with superuser.transaction() as connection:
        await connection.execute(text("REVOKE INSERT ON events FROM vaultd_app"))
    room.answers(access_token="whole", refresh_token="rotated")
    await asyncio.sleep(0.5)
    assert not flight.done()
    async with superuser.transaction() as connection:
        await connection.execute(text("GRANT INSERT ON events TO vaultd_app"))
    assert await flight is None
    after = await room.house.row(row.id)
    assert (after.revision, after.status) == (2, "connected")
    assert room.opened(after).refresh_token == Secret("rotated")
    assert len(await room.events("token.refreshed")) == 1
    assert await room.to_be_revoked() == []


async def test_c7_a_first_try_that_was_committed_unheard_is_not_taken_for_a_loss(room: Room) -> None:
    """The second try finds the row as the first one left it, and revokes nothing."""
    row = await room.connected()
    room.answers(access_token="whole")
    assert await refresh(room.first, row) is None
    stored = await room.house.row(row.id)
    async with room.house.log.transaction() as transaction:
        opened = room.opened(stored)
        await room.first.results.not_stored(transaction.connection, row, opened, [], again=True)
    assert room.first.outcomes.count("github", "refreshed") == 2
    assert await room.house.row(row.id) == stored
    assert await room.to_be_revoked() == []


async def test_d2_a_row_that_was_altered_is_not_used_and_not_held(room: Room) -> None:
    """Who asked for it gets an event with the true reason; nobody waits for a lease that nobody uses."""
    row = await room.connected()
    async with room.house.database.transaction() as connection:
        await connection.execute(
            text("UPDATE connections SET refresh_token = access_token WHERE id = :id"), {"id": row.id}
        )
    refusal = await refresh(room.first, await room.house.row(row.id))
    assert isinstance(refusal, TemporarilyUnavailable)
    assert refusal.reason == "cannot_open"
    after = await room.house.row(row.id)
    assert (after.status, after.lease_until, after.intent_fence) == ("connected", None, None)
    assert room.server.seen == []


async def test_lease_lasts_by_the_databases_clock(room: Room) -> None:
    """Replicas' clocks may differ by a minute (E7): neither end of a lease is theirs."""
    row = await room.connected()
    await leased_to_nobody(room, row)
    room.house.clock.forward(seconds=60)
    leased = await room.house.row(row.id)
    assert leased.lease_until is not None
    assert leased.lease_until < room.house.clock() - timedelta(seconds=30)
    async with room.house.database.transaction() as connection:
        taken = await lease.take(connection, leased, owner=uuid4(), now=room.house.clock())
    assert taken is None


async def test_a_lease_that_began_meanwhile_is_not_taken_for_one_that_lasts_too_long(room: Room) -> None:
    """A transaction's own time is that of its beginning."""
    row = await room.house.row(await room.house.connect(await room.house.subject()))
    async with room.house.database.transaction() as slow:
        await slow.execute(text("SELECT now()"))
        await leased_to_nobody(room, row)
        taken = await room.house.row(row.id)
        assert await lease.take(slow, taken, owner=uuid4(), now=room.house.clock()) is None


async def test_an_end_that_no_lease_has_is_no_lease(room: Room) -> None:
    row = await room.house.row(await room.house.connect(await room.house.subject()))
    async with room.house.database.transaction() as connection:
        await connection.execute(text("UPDATE connections SET lease_until = now() + interval '10 years'"))
    async with room.house.database.transaction() as connection:
        assert await lease.take(connection, row, owner=uuid4(), now=room.house.clock()) is not None
