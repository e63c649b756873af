"""What a client's word that a token was refused causes: one call for each token, so many in a time, nothing in vain."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.unit.refresh.conftest import MARGIN, USER, Room
from vaultd.connections.table import ConnectionRow
from vaultd.errors import Replayed, RequestRefused, SlowDown
from vaultd.refresh.claims import IN_VAIN_FOR, MOST, MOST_OF_A_CLIENT, WINDOW, Claim
from vaultd.terms import Secret

HOUR = 3600
"""As long as the stored token lives, whose end does not move with a clock that stands still."""


def stored(room: Room, row: ConnectionRow, client: str = "agent") -> Claim:
    return Claim(room.opened(row).access_token, client)


async def renew(room: Room, row: ConnectionRow, client: str = "agent") -> RequestRefused | None:
    """Report the stored token."""
    claim = stored(room, row, client)
    return await asyncio.wait_for(room.first.refresher.refresh(row, claim=claim), 10)


async def until_the_limit(room: Room, row: ConnectionRow, client: str) -> int:
    """Report one token after the other; gives how many times that caused a call."""
    for calls in range(2 * MOST):
        room.answers(access_token=f"{client} {room.house.clock()} {calls}", expires_in=HOUR)
        try:
            assert await renew(room, await room.house.row(row.id), client) is None
        except SlowDown:
            return calls
    raise AssertionError("there is no limit")


async def test_c5_processes_share_a_call_though_the_end_stays_where_it_was(room: Room) -> None:
    row = await room.connected()
    room.answers(access_token="another", expires_in=HOUR)
    refreshers = (room.first.refresher, room.second.refresher)
    claims = [stored(room, row, client) for client in ("agent", "other")]
    answers = await asyncio.gather(
        *(each.refresh(row, claim=claim) for each in refreshers for claim in claims for _ in range(10))
    )
    assert answers == [None] * 40
    assert len(room.server.seen) == 1
    after = await room.house.row(row.id)
    assert (after.expires_at, room.opened(after).access_token) == (row.expires_at, Secret("another"))


async def test_who_comes_late_with_a_token_that_was_replaced_causes_no_call(room: Room) -> None:
    row = await room.connected()
    claim = stored(room, row)
    room.answers(access_token="another", expires_in=HOUR)
    assert await renew(room, row) is None
    for each in (room.first, room.second):
        assert await each.refresher.refresh(row, claim=claim) is None
    assert len(room.server.seen) == 1


async def test_a_narrowing_meanwhile_does_not_pass_for_the_renewal(room: Room) -> None:
    row = await room.connected()
    claim = stored(room, row)
    room.answers()
    await room.narrow(row)
    room.answers(access_token="another", expires_in=HOUR)
    assert await room.first.refresher.refresh(row, claim=claim) is None
    assert room.opened(await room.house.row(row.id)).access_token == Secret("another")


async def test_the_limits_are_for_a_client_and_for_a_connection(room: Room) -> None:
    row, other = await room.connected(), await room.connected("bob")
    assert await until_the_limit(room, row, "one") == MOST_OF_A_CLIENT
    assert await until_the_limit(room, row, "two") == MOST - MOST_OF_A_CLIENT
    assert await until_the_limit(room, row, "three") == 0
    assert await until_the_limit(room, other, "one") == MOST_OF_A_CLIENT
    room.house.clock.forward(seconds=WINDOW.total_seconds())
    assert await until_the_limit(room, row, "one") == MOST_OF_A_CLIENT


async def test_at_the_limit_nothing_is_left_in_the_row(room: Room) -> None:
    """No lease that others would wait for, and no intent that a later end would be blamed on."""
    row = await room.connected()
    await until_the_limit(room, row, "agent")
    after = await room.house.row(row.id)
    assert (after.status, after.lease_until, after.intent_fence) == ("connected", None, None)
    room.answers(access_token="stale no more", expires_in=HOUR)
    assert await room.first.refresher.refresh(after) is None
    assert room.opened(await room.house.row(row.id)).access_token == Secret("stale no more")


async def test_who_waits_for_a_stale_token_is_not_told_of_another_ones_limit(room: Room) -> None:
    row = await room.connected()
    await until_the_limit(room, row, "agent")
    row = await room.house.row(row.id)
    room.answers(access_token="for all", expires_in=HOUR)
    claimed, stale = await asyncio.gather(
        room.first.refresher.refresh(row, claim=stored(room, row)),
        room.first.refresher.refresh(row),
        return_exceptions=True,
    )
    assert stale is None
    # It came to the lease first and was told no, or it found the token replaced.
    assert claimed is None or isinstance(claimed, SlowDown)


async def test_a_token_that_comes_again_is_renewed_once(room: Room) -> None:
    """Some providers answer a refresh with the token that they gave before."""
    row = await room.connected()
    token = room.opened(row).access_token.reveal()
    room.answers(access_token=token, expires_in=HOUR)
    assert await renew(room, row) is None
    for client in ("agent", "other"):
        with pytest.raises(Replayed):
            await renew(room, await room.house.row(row.id), client)
    room.house.clock.forward(seconds=WINDOW.total_seconds())
    with pytest.raises(Replayed):
        await renew(room, await room.house.row(row.id))
    assert len(room.server.seen) == 1
    assert IN_VAIN_FOR > WINDOW


async def test_a_call_that_failed_may_be_made_again(room: Room) -> None:
    row = await room.connected()
    room.server.drops()
    assert await renew(room, row) is not None
    room.answers(access_token="another", expires_in=HOUR)
    assert await renew(room, await room.house.row(row.id)) is None
    assert room.opened(await room.house.row(row.id)).access_token == Secret("another")


async def test_a_narrowed_token_is_replaced_once(room: Room) -> None:
    row = await room.connected()
    room.answers(scope="user")
    await room.narrow(row)
    row = await room.house.row(row.id)
    claim = Claim(Secret("narrow"), "agent")
    room.answers(access_token="narrow too", scope="user")
    narrowers = (room.first.narrower, room.second.narrower)
    await asyncio.gather(*(each.narrow(row, USER, margin=MARGIN, claim=claim) for each in narrowers for _ in range(10)))
    assert len(room.server.seen) == 2
    kept = await room.kept(row)
    assert kept is not None
    assert kept.token == Secret("narrow too")
    newest = (await room.events("token.refreshed"))[0]
    assert newest["revision"] == row.revision + 1


async def test_a_claim_about_the_stored_token_does_not_replace_a_narrowed_one(room: Room) -> None:
    row = await room.connected()
    room.answers(scope="user")
    await room.narrow(row)
    row = await room.house.row(row.id)
    assert await room.first.narrower.narrow(row, USER, margin=MARGIN, claim=stored(room, row)) is None
    assert len(room.server.seen) == 1


async def test_a_row_that_does_not_open_is_nobodys_claim(room: Room) -> None:
    row = await room.connected()
    claim = stored(room, row)
    assert room.first.claims.is_stored(row, claim)
    for altered in (replace(row, revision=9), replace(row, expires_at=room.house.clock() + timedelta(days=9))):
        assert not room.first.claims.is_stored(altered, claim)
