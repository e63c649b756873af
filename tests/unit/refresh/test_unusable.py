"""Answers to a refresh that are of no use, and the tokens that stand in them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.unit.refresh.conftest import Room
from vaultd.connections import store
from vaultd.connections.table import ConnectionRow
from vaultd.errors import RequestRefused, TemporarilyUnavailable
from vaultd.refresh.patience import AT_ONCE
from vaultd.revoke.secrets import Secrets
from vaultd.sizes import LONGEST_TOKEN
from vaultd.terms import Secret

HELD = "refresh token of octocat"
UNUSABLE: list[dict[str, Any]] = [
    {"scope": {"not": "readable"}},
    {"scope": "s" * 3000},
    {"scope": "\u00e9"},
    {"token_type": "mac"},
    {"token_type": ["bearer"]},
    {"access_token": None},
    {"access_token": 7},
    {"access_token": "a\nb"},
    {"access_token": "a" * (LONGEST_TOKEN + 1)},
    {"error": "made_up"},
    {"error": {"code": 17}},
]


async def refresh(room: Room, row: ConnectionRow) -> RequestRefused | None:
    return await room.first.refresher.refresh(await room.house.row(row.id))


@pytest.mark.parametrize("changes", UNUSABLE)
async def test_a_rotated_refresh_token_is_stored_whatever_else_is_in_the_answer(
    room: Room, changes: dict[str, Any]
) -> None:
    """The one that was sent may be used up, so without the new one the grant would be lost."""
    row = await room.connected()
    before = room.opened(row)
    room.answers(**changes)
    assert isinstance(await refresh(room, row), TemporarilyUnavailable)
    after = await room.house.row(row.id)
    assert (after.status, after.revision, after.intent_fence, after.lease_until) == ("connected", 2, None, None)
    assert (after.expires_at, after.granted_scopes) == (row.expires_at, row.granted_scopes)
    opened = room.opened(after)
    assert (opened.access_token, opened.refresh_token) == (before.access_token, Secret("rotated"))
    (event,) = await room.events("token.refreshed")
    assert (event["decision"], event["reason"], event["revision"]) == ("refused", "unusable_answer", 2)
    room.answers(access_token="whole", refresh_token="later")
    assert await refresh(room, row) is None
    assert room.server.last.form()["refresh_token"] == ["rotated"]
    assert room.opened(await room.house.row(row.id)).access_token == Secret("whole")


@pytest.mark.parametrize("changes", UNUSABLE)
@pytest.mark.parametrize("refresh_token", [HELD, None])
async def test_an_access_token_that_is_not_stored_is_put_aside(
    room: Room, changes: dict[str, Any], refresh_token: str | None
) -> None:
    """It may be revoked; the refresh token that the connection holds is not."""
    row = await room.connected()
    room.answers(**changes | {"refresh_token": refresh_token})
    assert isinstance(await refresh(room, row), TemporarilyUnavailable)
    after = await room.house.row(row.id)
    assert (after.status, after.revision, after.lease_until) == ("connected", 1, None)
    assert after.intent_fence is not None
    assert room.opened(after).refresh_token == Secret(HELD)
    issued = changes.get("access_token", "narrow")
    sendable = isinstance(issued, str) and issued.isprintable()
    assert await room.to_be_revoked() == ([(issued, None)] if sendable else [])


async def test_a_refresh_token_that_is_too_long_to_be_kept_is_put_aside(room: Room) -> None:
    row = await room.connected()
    long = "r" * (LONGEST_TOKEN + 1)
    room.answers(refresh_token=long)
    assert isinstance(await refresh(room, row), TemporarilyUnavailable)
    assert room.opened(await room.house.row(row.id)).refresh_token == Secret(HELD)
    assert await room.to_be_revoked() == [("narrow", long)]


async def test_tokens_beside_a_refusal_that_ends_the_grant_are_put_aside(room: Room) -> None:
    row = await room.connected()
    room.answers(error="invalid_grant")
    assert await refresh(room, row) is None
    assert (await room.house.row(row.id)).status == "reconnect_required"
    assert await room.to_be_revoked() == [("narrow", "rotated")]


async def test_of_narrowing_too_the_refresh_token_is_stored(room: Room) -> None:
    row = await room.connected()
    room.answers(token_type="mac")
    assert isinstance(await room.narrow(row), TemporarilyUnavailable)
    after = await room.house.row(row.id)
    assert room.opened(after).refresh_token == Secret("rotated")
    assert await room.rows_kept(row) == 0
    assert await room.to_be_revoked() == [("narrow", None)]


async def test_a_grant_whose_answers_stay_of_no_use_is_left_alone_for_a_while(room: Room) -> None:
    """Each answer is a new revision of the row, and yet no success."""
    row = await room.connected()
    for turn in range(AT_ONCE):
        room.answers(scope=7, refresh_token=f"rotated {turn}")
        await refresh(room, row)
    asked = len(room.server.seen)
    refusal = await refresh(room, row)
    assert isinstance(refusal, TemporarilyUnavailable)
    assert refusal.reason == "refused_lately"
    assert len(room.server.seen) == asked == AT_ONCE


async def test_where_the_grant_has_ended_meanwhile_all_that_came_is_put_aside(room: Room) -> None:
    row = await room.connected()
    room.server.holds()
    flight = asyncio.create_task(refresh(room, row))
    await room.asked()
    secrets = Secrets(data_keys=room.house.data_keys, clock=room.house.clock)
    async with room.house.log.transaction() as transaction:
        leased = await store.lock_for_revocation(transaction.connection, row.id)
        assert leased is not None
        await secrets.move(transaction.connection, leased, subject_id=row.subject_id)
        await store.revoke(transaction.connection, leased, reason="disconnected")
    room.answers(scope=7)
    await flight
    assert sorted(await room.to_be_revoked()) == [("access token of octocat", HELD), ("narrow", "rotated")]
