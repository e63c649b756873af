"""The user's switch at the database: at once, once, and with its event (api.md §1.2)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.support.house import House
from vaultd.audit import read
from vaultd.audit.events import Draft, EventType
from vaultd.errors import TemporarilyUnavailable
from vaultd.subjects.away import AwaySwitch
from vaultd.subjects.store import KnownSubject


def switch_of(house: House) -> AwaySwitch:
    return AwaySwitch(database=house.database, log=house.log, clock=house.clock)


def draft_of(subject: KnownSubject) -> Draft:
    return Draft(type=EventType.AWAY_REFUSED, subject=subject.key, request_id="the-request")


async def events(house: House) -> list[dict[str, Any]]:
    async with house.database.transaction() as connection:
        rows, _ = await read.page(connection, read.Query(limit=100))
    keys = await house.subjects.by_audit_refs([row["subject_ref"] for row in rows])
    return [read.render(row, keys.get(row["subject_ref"])) for row in reversed(rows)]


async def test_off_and_on_each_with_an_event(house: House) -> None:
    away, alice = switch_of(house), await house.subject("alice")
    assert not await away.is_refused(alice.id, "agent")
    await away.refuse(alice.id, "agent", draft=draft_of(alice))
    assert await away.is_refused(alice.id, "agent")
    assert await away.refused_by(alice.id) == {"agent"}
    await away.allow(alice.id, "agent", draft=draft_of(alice))
    assert not await away.is_refused(alice.id, "agent")
    told = await events(house)
    assert [event["type"] for event in told] == ["away.refused", "away.allowed"]
    assert {(event["client_id"], event["subject"]["sub"]) for event in told} == {("agent", "alice")}
    assert not (await house.verify()).findings


async def test_a_switch_that_changes_nothing_has_no_event(house: House) -> None:
    away, alice = switch_of(house), await house.subject("alice")
    await away.allow(alice.id, "agent", draft=draft_of(alice))
    await asyncio.gather(*(away.refuse(alice.id, "agent", draft=draft_of(alice)) for _ in range(5)))
    assert [event["type"] for event in await events(house)] == ["away.refused"]


async def test_it_is_one_users_word_about_one_client(house: House) -> None:
    away, alice, bob = switch_of(house), await house.subject("alice"), await house.subject("bob")
    await away.refuse(alice.id, "agent", draft=draft_of(alice))
    assert not await away.is_refused(alice.id, "another")
    assert not await away.is_refused(bob.id, "agent")


async def test_it_goes_with_the_user(house: House) -> None:
    away, alice = switch_of(house), await house.subject("alice")
    await away.refuse(alice.id, "agent", draft=draft_of(alice))
    await house.erase(alice)
    assert await away.refused_by(alice.id) == frozenset()


async def test_without_the_log_nothing_is_switched(house: House) -> None:
    """E1: no event, no change."""
    away, alice = switch_of(house), await house.subject("alice")
    # PostgreSQL has no NUL in text, so this event is not taken.
    poisoned = Draft(type=EventType.AWAY_REFUSED, subject=alice.key, connection="a\0b")
    with pytest.raises(TemporarilyUnavailable):
        await away.refuse(alice.id, "agent", draft=poisoned)
    assert await away.refused_by(alice.id) == frozenset()
