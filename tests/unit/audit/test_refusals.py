"""Security A11: refusals that anyone can cause are counted together, the first of them written at once."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
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


async def test_memory_is_bounded_and_nothing_is_lost_by_it(house: House, refusals: Refusals) -> None:
    for number in range(20):
        await _record(refusals, times=2, client_id=f"client-{number}")
    assert len(refusals._windows) == 3  # noqa: SLF001 - the bound is on what is kept
    await refusals.flush_everything()
    assert set((await _counted(house)).values()) == {2}


async def test_a_flood_is_one_event_a_minute(house: House, refusals: Refusals) -> None:
    await asyncio.gather(*(_record(refusals, times=50) for _ in range(20)))
    await refusals.flush_everything()
    assert [event.get("count") for event in await _events(house)] == [None, 999]


async def test_made_up_names_cannot_fill_the_log(house: House) -> None:
    refusals = Refusals(log=house.log, clock=house.clock, kinds=5)
    for number in range(50):
        await _record(refusals, client_id=f"client-{number}", ip=f"192.0.2.{number}")
    await _record(refusals, client_id="client-0", ip="192.0.2.0")
    assert len(await _events(house)) == 6
    house.clock.forward(minutes=1)
    await _record(refusals, client_id="client-50")
    await refusals.flush_everything()
    events = await _events(house)
    assert sum(event.get("count", 1) for event in events) == 52
    assert [event.get("client_id") for event in events].count(None) == 2


async def test_what_a_stranger_asks_for_is_not_kept_at_any_length(house: House, refusals: Refusals) -> None:
    for scopes in (Scopes({"repo"}), Scopes({"x" * 2_000}), Scopes(f"s{number}" for number in range(2_000))):
        draft = Draft(type=EventType.TOKEN_REFUSED, decision=Decision.REFUSED, reason=None, requested_scopes=scopes)
        await refusals.record(draft, address_prefix=str(len(scopes)) + str(scopes)[:5])
    assert [event.get("requested_scopes") for event in await _events(house)] == [["repo"], None, None]


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


async def _grant_insert(superuser: Database, *, allowed: bool) -> None:
    change = "GRANT INSERT ON events TO vaultd_app" if allowed else "REVOKE INSERT ON events FROM vaultd_app"
    async with superuser.transaction() as connection:
        await connection.execute(text(change))
