"""C7, at the provider: at once, again with growing waits, until done or declared impossible; then erased."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, text, update

from tests.unit.revoke.conftest import Ends
from vaultd.audit import read
from vaultd.audit.events import Draft, EventType
from vaultd.connections.table import revocations_table
from vaultd.keys.data_keys import data_keys_table
from vaultd.revoke.giving_back import GIVEN_UP_AFTER, LONGEST_WAIT
from vaultd.terms import Secret

BY_USER = Draft(type=EventType.CONNECTION_REVOKED, client_id="agent")


async def disconnected(ends: Ends, provider: str = "github", *, renewable: bool = True) -> str:
    """A connection is made and ended; gives its access token, which lives on at the provider."""
    issued = ends.provider.issue(user="alice", client_id="vaultd", scopes=["repo"])
    known = await ends.house.subject()
    brought = replace(
        ends.house.brought(),
        access_token=Secret(issued["access_token"]),
        refresh_token=Secret(issued["refresh_token"]) if renewable else None,
    )
    connection_id = await ends.house.connect(known, brought, provider)
    await ends.revoke.disconnect(subject_id=known.id, connection_id=connection_id, draft=BY_USER)
    token: str = issued["access_token"]
    return token


async def waiting(ends: Ends) -> int:
    async with ends.house.database.transaction() as connection:
        return (await connection.execute(select(func.count()).select_from(revocations_table))).scalar_one()


async def keys(ends: Ends) -> int:
    query = select(func.count()).select_from(data_keys_table).where(data_keys_table.c.purpose == "connection")
    async with ends.house.database.transaction() as connection:
        return (await connection.execute(query)).scalar_one()


async def events(ends: Ends) -> list[dict[str, Any]]:
    query = read.Query(type=EventType.PROVIDER_REVOKED, limit=100)
    async with ends.house.database.transaction() as connection:
        rows, _ = await read.page(connection, query)
    return [json.loads(row["bytes"]) for row in rows]


async def test_it_is_done_at_once_evented_and_erased(ends: Ends) -> None:
    token = await disconnected(ends)
    assert ends.provider.grants.access(token) is not None
    assert await ends.give_back.drain() == 1
    assert ends.provider.grants.access(token) is None
    assert (await waiting(ends), await keys(ends)) == (0, 0)
    (event,) = await events(ends)
    assert (event["connection"], "reason" in event, "private" in event) == ("github", False, True)


async def test_it_is_tried_again_with_growing_waits_until_it_is_done(ends: Ends) -> None:
    token = await disconnected(ends)
    ends.provider.faults.revoke = "down"
    for attempt in range(1, 8):
        assert await ends.give_back.drain() == 1
        assert await waiting(ends) == 1
        # Never before half of the doubled wait, always after the whole of it.
        ends.house.clock.forward(seconds=2**attempt * 0.499)
        assert await ends.give_back.drain() == 0
        ends.house.clock.forward(seconds=2**attempt * 0.51)
    assert await events(ends) == []
    ends.provider.faults.clear()
    assert await ends.give_back.drain() == 1
    assert ends.provider.grants.access(token) is None
    assert (await waiting(ends), await keys(ends)) == (0, 0)
    assert len(await events(ends)) == 1


async def test_what_the_provider_says_of_waiting_is_heeded(ends: Ends) -> None:
    await disconnected(ends)
    ends.provider.faults.revoke = "slow_down"  # Retry-After: 7, where our own wait would be two seconds at most
    assert await ends.give_back.drain() == 1
    ends.house.clock.forward(seconds=6)
    assert await ends.give_back.drain() == 0
    ends.house.clock.forward(seconds=1.1)
    assert await ends.give_back.drain() == 1


async def test_after_a_week_it_is_declared_impossible_and_erased(ends: Ends) -> None:
    await disconnected(ends)
    ends.provider.faults.revoke = "down"
    assert await ends.give_back.drain() == 1
    ends.house.clock.forward(seconds=(GIVEN_UP_AFTER - timedelta(minutes=1)).total_seconds())
    assert await ends.give_back.drain() == 1
    assert await waiting(ends) == 1
    ends.house.clock.forward(seconds=60)
    assert await ends.give_back.drain() == 1
    assert (await waiting(ends), await keys(ends)) == (0, 0)
    assert [event["reason"] for event in await events(ends)] == ["gave_up"]


@pytest.mark.parametrize(
    "change",
    [
        {"attempts": 2**31 - 1},
        {"attempts": -(2**31)},
        {"next_try_at": text("timestamptz '8999-12-31 00:00:00Z'")},
        {"next_try_at": text("now() + interval '10 years'")},
        {"created_at": text("timestamptz '1970-01-01 00:00:00Z'")},
        {"subject_id": None},
    ],
    ids=["many tries", "fewer than none", "never", "in ten years", "long ago", "nobody's"],
)
async def test_what_stands_in_clear_neither_ends_nor_delays_it(ends: Ends, change: dict[str, Any]) -> None:
    token = await disconnected(ends)
    ends.provider.faults.revoke = "down"
    async with ends.house.database.transaction() as connection:
        await connection.execute(update(revocations_table).values(**change))
    assert await ends.give_back.drain() == 1
    assert await waiting(ends) == 1
    ends.provider.faults.clear()
    ends.house.clock.forward(seconds=LONGEST_WAIT.total_seconds())
    assert await ends.give_back.drain() == 1
    assert ends.provider.grants.access(token) is None
    (event,) = await events(ends)
    assert "reason" not in event
    assert "subject_ref" in event, "whose it was is sealed"


@pytest.mark.parametrize(("provider", "reason"), [("silent", "unsupported"), ("gone", "unknown_provider")])
async def test_what_can_never_be_done_is_said_at_once(ends: Ends, provider: str, reason: str) -> None:
    await disconnected(ends, provider)
    assert await ends.give_back.drain() == 1
    assert (await waiting(ends), await keys(ends)) == (0, 0)
    assert [event["reason"] for event in await events(ends)] == [reason]


async def test_a_token_that_its_provider_does_not_take_is_not_said_to_be_revoked(ends: Ends) -> None:
    """It ends with its refresh token, and this one has none."""
    token = await disconnected(ends, "renewed-only", renewable=False)
    assert await ends.give_back.drain() == 1
    assert ends.provider.grants.access(token) is not None
    assert [event["reason"] for event in await events(ends)] == ["unsupported"]
    ended = await disconnected(ends, "renewed-only")
    assert await ends.give_back.drain() == 1
    assert ends.provider.grants.access(ended) is None


async def test_one_altered_row_does_not_stop_the_others(ends: Ends) -> None:
    await disconnected(ends)
    async with ends.house.database.transaction() as connection:
        await connection.execute(update(revocations_table).values(sealed=b"\x01altered"))
    token = await disconnected(ends)
    assert await ends.give_back.drain() == 2
    assert ends.provider.grants.access(token) is None
    assert await waiting(ends) == 0
    assert sorted(event.get("reason", "") for event in await events(ends)) == ["", "cannot_open"]
