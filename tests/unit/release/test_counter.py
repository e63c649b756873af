"""The counter over a real database: what waits, what does not, and what is in the log afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import func, insert, select, text

from tests.support.house import House
from vaultd.audit.events import Decision, Draft, EventType
from vaultd.audit.lane import events_table
from vaultd.connections import store
from vaultd.connections.narrowed import Narrowed
from vaultd.connections.sealing import Delivery, data_key_of, open_account
from vaultd.connections.table import ConnectionRow
from vaultd.errors import TemporarilyUnavailable
from vaultd.release.decide import Allowed, Ask, Judge, Refused, Verdict
from vaultd.release.queue import Counter
from vaultd.release.statement import Statement
from vaultd.subjects.store import KnownSubject
from vaultd.telemetry.metrics import Spread
from vaultd.terms import ProviderName, Scopes, Secret


class Room:
    """A counter and short ways to ask at it."""

    def __init__(self, house: House, *, patience: float = 10.0) -> None:
        self.house = house
        self.poisoned: set[UUID] = set()
        judge = Judge(self._label, lambda row, hint: self._label(row) == hint, self._deliver)
        self.statement = Statement(
            log=house.log, judge=judge, narrowed=Narrowed(data_keys=house.data_keys), clock=house.clock
        )
        self.counter = Counter(statement=self.statement, patience=patience)

    def _label(self, row: ConnectionRow) -> str:
        if row.id in self.poisoned:
            raise ZeroDivisionError
        return open_account(data_key_of(row, self.house.data_keys), row)[1]

    def _deliver(self, row: ConnectionRow) -> Delivery:
        return Delivery(Secret("token"), "id", self._label(row), {})

    def ask(self, known: KnownSubject, provider: str = "github") -> Ask:
        return Ask(
            subject_id=known.id,
            subject=known.key,
            provider=ProviderName(provider),
            display_name=provider,
            allowed=Scopes.parse("repo user"),
            requested=None,
            on_wider_grant="refuse",
            refresh_margin=timedelta(seconds=60),
            login_hint=None,
            event=Draft(type=EventType.TOKEN_EXCHANGED, client_id="agent", connection=provider, subject=known.key),
        )

    def release(self, known: KnownSubject, provider: str = "github") -> asyncio.Task[Verdict]:
        return asyncio.create_task(self.counter.release(self.ask(known, provider)))

    async def written(self, kind: EventType) -> int:
        query = select(func.count()).select_from(events_table).where(events_table.c.type == str(kind))
        async with self.house.database.transaction() as connection:
            return (await connection.execute(query)).scalar_one()


@pytest.fixture
def room(house: House) -> Room:
    return Room(house)


async def soon(awaitable: Awaitable[Verdict]) -> Verdict:
    return await asyncio.wait_for(awaitable, 5)


async def people(house: House, number: int) -> list[tuple[KnownSubject, UUID]]:
    known = [await house.subject(f"user {index}") for index in range(number)]
    return [(one, await house.connect(one)) for one in known]


async def test_one_verdict_and_one_event_for_each(room: Room) -> None:
    known = await people(room.house, 4)
    stranger = await room.house.subject("stranger")
    asks = [room.release(one) for one, _ in known for _ in range(25)] + [room.release(stranger) for _ in range(10)]
    verdicts = [await soon(task) for task in asks]
    for (one, connection_id), start in zip(known, range(0, 100, 25), strict=True):
        for verdict in verdicts[start : start + 25]:
            assert isinstance(verdict, Allowed)
            assert (verdict.row.subject_id, verdict.row.id) == (one.id, connection_id)
    for verdict in verdicts[100:]:
        assert isinstance(verdict, Refused)
        assert verdict.error.reason == "not_connected"
    assert await room.written(EventType.TOKEN_EXCHANGED) == 100
    assert await room.written(EventType.TOKEN_REFUSED) == 10
    assert (await room.house.verify()).findings == []


async def test_stale_is_no_event(room: Room) -> None:
    ((one, _),) = await people(room.house, 1)
    room.house.clock.forward(hours=1)
    assert type(await soon(room.release(one))).__name__ == "Stale"
    assert await room.written(EventType.TOKEN_EXCHANGED) + await room.written(EventType.TOKEN_REFUSED) == 0


async def test_locked_rows_stall_nobody_else(room: Room) -> None:
    locked = await people(room.house, 5)
    free, stranger = await room.house.subject("free"), await room.house.subject("stranger")
    await room.house.connect(free)
    async with room.house.database.transaction() as revoking:
        for _, connection_id in locked:
            row = await store.lock_for_revocation(revoking, connection_id)
            assert row is not None
            await store.revoke(revoking, row, reason="user")
        waiting = [room.release(one) for one, _ in locked for _ in range(3)]
        for _ in range(5):
            free_verdict, stranger_verdict = room.release(free), room.release(stranger)
            assert isinstance(await soon(free_verdict), Allowed)
            assert isinstance(await soon(stranger_verdict), Refused)
        assert not any(task.done() for task in waiting)
    for task in waiting:
        verdict = await soon(task)
        assert isinstance(verdict, Refused), "it was asked before the revocation's end, and decided after it"
        assert verdict.error.reason == "reconnect_required"
    assert await room.written(EventType.TOKEN_EXCHANGED) == 5


async def test_a_connection_that_is_being_renewed(room: Room) -> None:
    ((one, connection_id),) = await people(room.house, 1)
    async with room.house.log.transaction() as transaction:
        await room.house.grants.store(
            transaction,
            subject_id=one.id,
            subject=one.key,
            provider="github",
            single=False,
            brought=room.house.brought(),
            draft=Draft(type=EventType.CONNECTION_CONNECTED),
        )
        waiting = room.release(one)
        await asyncio.sleep(0.05)
        assert not waiting.done()
    verdict = await soon(waiting)
    assert isinstance(verdict, Allowed)
    assert (verdict.row.id, verdict.row.generation, verdict.delivery.account_label) == (
        connection_id,
        2,
        "octocat@example.com",
    )


async def test_a_lock_waited_for_gives_the_new_data_key(room: Room) -> None:
    """Two revocations of a connection that is renewed meanwhile: the one that waits must see the new key."""
    ((one, connection_id),) = await people(room.house, 1)

    async def lock() -> ConnectionRow | None:
        async with room.house.database.transaction() as connection:
            return await store.lock_for_revocation(connection, connection_id)

    async with room.house.log.transaction() as transaction:
        await room.house.grants.store(
            transaction,
            subject_id=one.id,
            subject=one.key,
            provider="github",
            single=False,
            brought=room.house.brought(),
            draft=Draft(type=EventType.CONNECTION_CONNECTED),
        )
        waiting = asyncio.create_task(lock())
        await asyncio.sleep(0.2)
        assert not waiting.done()
    row = await asyncio.wait_for(waiting, 5)
    assert row is not None
    assert row.generation == 2
    assert open_account(data_key_of(row, room.house.data_keys), row)[0] == "octocat"


async def test_storing_refreshed_tokens_does_not_make_it_wait(room: Room) -> None:
    ((one, connection_id),) = await people(room.house, 1)
    async with room.house.database.transaction() as refreshing:
        await store.touch(refreshing, [(await room.house.row(connection_id)).id], room.house.clock().date())
        assert isinstance(await soon(room.release(one)), Allowed)


async def test_a_row_that_stays_locked(house: House) -> None:
    room = Room(house, patience=0.05)
    ((one, connection_id),) = await people(house, 1)
    async with house.database.transaction() as holding:
        await store.lock_for_revocation(holding, connection_id)
        with pytest.raises(TemporarilyUnavailable) as caught:
            await soon(room.release(one))
    assert caught.value.reason == "connection_locked"
    assert isinstance(await soon(room.release(one)), Allowed)


async def test_a_poisoned_ask_fails_alone(room: Room) -> None:
    known = await people(room.house, 4)
    room.poisoned = {known[2][1]}
    tasks = [room.release(one) for one, _ in known]
    results = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 5)
    assert [type(result) for result in results] == [Allowed, Allowed, ZeroDivisionError, Allowed]
    assert await room.written(EventType.TOKEN_EXCHANGED) == 3
    assert (await room.house.verify()).findings == []


async def test_who_went_away_before_is_not_served(room: Room) -> None:
    ((one, _),) = await people(room.house, 1)
    gone, stays = room.release(one), room.release(one)
    # Both are in the queue now, and the flusher has not had its turn.
    await asyncio.sleep(0)
    gone.cancel()
    assert isinstance(await soon(stays), Allowed)
    with pytest.raises(asyncio.CancelledError):
        await gone
    assert await room.written(EventType.TOKEN_EXCHANGED) == 1
    await room.counter.drain()


async def test_who_goes_while_a_row_is_locked_has_no_event(room: Room) -> None:
    ((one, connection_id),) = await people(room.house, 1)
    async with room.house.database.transaction() as holding:
        await store.lock_for_revocation(holding, connection_id)
        gone = room.release(one)
        await asyncio.sleep(0.05)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        await asyncio.wait_for(room.counter.drain(), 5)
    assert isinstance(await soon(room.release(one)), Allowed)
    assert await room.written(EventType.TOKEN_EXCHANGED) == 1


async def test_a_full_queue_says_try_again(room: Room) -> None:
    room.counter = Counter(statement=room.statement, max_waiting=3)
    ((one, _),) = await people(room.house, 1)
    tasks = [room.release(one) for _ in range(5)]
    results = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 5)
    refused = [result for result in results if isinstance(result, TemporarilyUnavailable)]
    assert [error.reason for error in refused] == ["queue_full", "queue_full"]
    assert sum(isinstance(result, Allowed) for result in results) == 3


async def test_the_queue_and_its_batches_are_counted(room: Room) -> None:
    sizes = Spread("sizes", "About.", (1, 4, 16))
    room.counter = Counter(statement=room.statement, flushers=1, sizes=sizes)
    ((one, _),) = await people(room.house, 1)
    assert room.counter.waiting == 0
    tasks = [room.release(one) for _ in range(6)]
    await asyncio.sleep(0)
    assert room.counter.waiting == 6
    await asyncio.wait_for(asyncio.gather(*tasks), 5)
    assert room.counter.waiting == 0
    (family,) = sizes.collect()
    assert {sample.name: sample.value for sample in family.samples if not sample.labels} == {
        "sizes_count": 1,
        "sizes_sum": 6,
    }


async def test_draining_answers_everybody(room: Room) -> None:
    ((one, _),) = await people(room.house, 1)
    tasks = [room.release(one) for _ in range(50)]
    await asyncio.sleep(0)
    await room.counter.drain()
    verdicts = [await asyncio.wait_for(task, 0.5) for task in tasks]
    assert all(isinstance(verdict, Allowed) for verdict in verdicts)


async def test_an_ask_that_the_database_refuses_fails_alone(room: Room) -> None:
    """PostgreSQL has no NUL in text: the whole batch fails, and then each is tried by itself."""
    known = await people(room.house, 3)
    asks = [room.ask(one) for one, _ in known]
    asks[1] = replace(asks[1], event=replace(asks[1].event, client_id="a\x00b"))
    tasks = [asyncio.create_task(room.counter.release(ask)) for ask in asks]
    results = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 5)
    assert [type(result) for result in results] == [Allowed, TemporarilyUnavailable, Allowed]
    assert await room.written(EventType.TOKEN_EXCHANGED) == 2
    assert (await room.house.verify()).findings == []


async def test_events_that_are_decided_already_share_the_transaction(room: Room) -> None:
    ((one, _),) = await people(room.house, 1)
    refused = Draft(type=EventType.TOKEN_REFUSED, decision=Decision.REFUSED, reason="wrong_audience")
    records = [asyncio.create_task(room.counter.record(refused)) for _ in range(20)]
    assert isinstance(await soon(room.release(one)), Allowed)
    await asyncio.wait_for(asyncio.gather(*records), 5)
    assert await room.written(EventType.TOKEN_REFUSED) == 20
    assert await room.written(EventType.TOKEN_EXCHANGED) == 1
    assert (await room.house.verify()).findings == []


async def test_a_number_that_is_taken_ends_the_lane_and_no_answer(room: Room) -> None:
    """Somebody else writes into our lane: nobody gets a token on an unsure number, and the next has a new lane."""
    ((one, _),) = await people(room.house, 1)
    assert isinstance(await soon(room.release(one)), Allowed)
    async with room.house.database.transaction() as intruding:
        newest = select(events_table).where(events_table.c.type == str(EventType.TOKEN_EXCHANGED))
        row = dict((await intruding.execute(newest)).mappings().one())
        await intruding.execute(insert(events_table).values(row | {"seq": row["seq"] + 1}))
    with pytest.raises(TemporarilyUnavailable):
        await soon(room.release(one))
    assert isinstance(await soon(room.release(one)), Allowed)
    assert await room.written(EventType.TOKEN_EXCHANGED) == 3


async def test_a_connection_that_died_while_idle_is_not_used_again(room: Room) -> None:
    ((one, _),) = await people(room.house, 1)
    assert isinstance(await soon(room.release(one)), Allowed)
    async with room.house.database.transaction() as killing:
        await killing.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid() AND usename = current_user"
            )
        )
    await asyncio.sleep(0.1)
    assert isinstance(await soon(room.release(one)), Allowed)
    assert (await room.house.verify()).findings == []
