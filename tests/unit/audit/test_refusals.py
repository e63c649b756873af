"""Security A11: refusals that anyone can cause are counted together, the first of them written at once."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import text

from tests.support.house import House
from vaultd.audit.events import Decision, Draft, EventType
from vaultd.audit.refusals import Refusals
from vaultd.db import Database
from vaultd.errors import TemporarilyUnavailable
from vaultd.terms import Scopes


@pytest.fixture
def refusals(house: House) -> Refusals:
    return Refusals(log=house.log, clock=house.clock, capacity=3)


async def _events(house: House) -> list[dict[str, Any]]:
    async with house.database.transaction() as connection:
        rows = await connection.execute(text("SELECT bytes FROM events ORDER BY at, seq"))
        return [json.loads(row.bytes) for row in rows]


async def _counted(house: House) -> Counter[str]:
    """How many refusals the log speaks of, by client id."""
    told: Counter[str] = Counter()
    for event in await _events(house):
        told[event["client_id"]] += event.get("count", 1)
    return told


async def _record(refusals: Refusals, times: int = 1, client_id: str = "a", ip: str = "192.0.2.1") -> None:
    draft = Draft(type=EventType.TOKEN_REFUSED, decision=Decision.REFUSED, reason="r", client_id=client_id)
    for _ in range(times):
        await refusals.record(draft, address_prefix=ip)


async def test_the_first_is_written_and_the_others_of_its_minute_are_counted(house: House, refusals: Refusals) -> None:
    await _record(refusals, times=6)
    assert [event.get("count") for event in await _events(house)] == [None]
    await refusals.flush()
    assert len(await _events(house)) == 1
    house.clock.forward(minutes=1)
    await refusals.flush()
    assert [event.get("count") for event in await _events(house)] == [None, 5]
    await refusals.flush_everything()
    assert len(await _events(house)) == 2


async def test_kinds_are_not_mixed(house: House, refusals: Refusals) -> None:
    for _ in range(3):
        await _record(refusals, client_id="a")
        await _record(refusals, client_id="b")
        await _record(refusals, client_id="b", ip="192.0.2.2")
    await refusals.flush_everything()
    assert await _counted(house) == {"a": 3, "b": 6}
    assert len(await _events(house)) == 6


async def test_addresses_beyond_the_bound_are_counted_as_one(house: House, refusals: Refusals) -> None:
    """A flood from everywhere makes nothing come back as a first one; nothing is lost, and memory is bounded."""
    for _ in range(2):
        for number in range(200):
            await _record(refusals, ip=f"2001:db8:0:{number:x}::/64")
    assert len(refusals._windows) == 4  # noqa: SLF001 - the bound is on what is kept
    events = await _events(house)
    assert len(events) == 4
    await refusals.flush_everything()
    assert await _counted(house) == {"a": 400}
    assert sorted(event["count"] for event in (await _events(house))[4:]) == [1, 1, 1, 393]


async def test_there_is_room_again_when_the_minute_is_over(house: House, refusals: Refusals) -> None:
    for number in range(5):
        await _record(refusals, ip=f"192.0.2.{number}")
    house.clock.forward(minutes=1)
    await refusals.flush()
    before = len(await _events(house))
    await _record(refusals, ip="192.0.2.9")
    await _record(refusals, ip="192.0.2.9")
    assert len(await _events(house)) == before + 1
    await refusals.flush_everything()
    assert await _counted(house) == {"a": 7}


async def test_a8_where_reasons_are_a_secret_the_answer_decides_what_is_written_at_once(
    house: House, refusals: Refusals
) -> None:
    """Else the time that an answer takes would tell of what it was; the reasons are counted each for itself."""
    for reason, client_id in (("unknown", None), ("wrong", "a"), ("wrong", "b"), ("unknown", None), ("wrong", "a")):
        draft = Draft(type=EventType.TOKEN_REFUSED, decision=Decision.REFUSED, reason=reason, client_id=client_id)
        await refusals.record(draft, address_prefix="192.0.2.1", answer="refused")
    assert len(await _events(house)) == 1
    await refusals.flush_everything()
    told = {(event["reason"], event.get("client_id"), event.get("count")) for event in await _events(house)}
    assert told == {("unknown", None, None), ("unknown", None, 1), ("wrong", "a", 2), ("wrong", "b", 1)}


async def test_what_is_counted_while_counts_are_written_is_neither_lost_nor_told_twice(
    house: House, refusals: Refusals
) -> None:
    await _record(refusals, times=3)
    house.clock.forward(minutes=1)
    await asyncio.gather(refusals.flush(), _record(refusals, times=3), refusals.flush())
    house.clock.forward(minutes=1)
    await asyncio.gather(_record(refusals, times=2), refusals.flush(), refusals.flush_everything())
    await refusals.flush_everything()
    assert await _counted(house) == {"a": 8}


async def test_a_count_tells_nothing_that_was_only_the_first_ones(house: House, refusals: Refusals) -> None:
    draft = Draft(type=EventType.TOKEN_REFUSED, decision=Decision.REFUSED, reason="r", request_id="first")
    for _ in range(2):
        await refusals.record(replace(draft, requested_scopes=Scopes({"x"})), address_prefix="192.0.2.1")
    await refusals.flush_everything()
    _, counted = await _events(house)
    assert not {"request_id", "requested_scopes"} & set(counted)


async def test_a_flood_is_one_event_a_minute(house: House, refusals: Refusals) -> None:
    await asyncio.gather(*(_record(refusals, times=50) for _ in range(20)))
    await refusals.flush_everything()
    assert [event.get("count") for event in await _events(house)] == [None, 999]


async def test_what_could_not_be_written_is_counted(house: House, refusals: Refusals, superuser: Database) -> None:
    """E1: the log tells of every refusal in the end, also of those while it could not be written."""
    await _record(refusals, times=3)
    house.clock.forward(minutes=1)
    await _grant_insert(superuser, allowed=False)
    with pytest.raises(TemporarilyUnavailable):
        await _record(refusals)
    await _record(refusals)
    await _grant_insert(superuser, allowed=True)
    await refusals.flush_everything()
    assert await _counted(house) == {"a": 5}


async def test_a_count_that_could_not_be_written_is_written_the_next_time(
    house: House, refusals: Refusals, superuser: Database
) -> None:
    await _record(refusals, times=3)
    house.clock.forward(minutes=1)
    await _grant_insert(superuser, allowed=False)
    for _ in range(2):
        with pytest.raises(TemporarilyUnavailable):
            await refusals.flush()
    await _grant_insert(superuser, allowed=True)
    await refusals.flush()
    assert await _counted(house) == {"a": 3}


async def _grant_insert(superuser: Database, *, allowed: bool) -> None:
    change = "GRANT INSERT ON events TO vaultd_app" if allowed else "REVOKE INSERT ON events FROM vaultd_app"
    async with superuser.transaction() as connection:
        await connection.execute(text(change))
