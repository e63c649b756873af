"""Narrowing by refresh: what is asked, what is kept, and that the grant loses nothing by it (A7, C3 to C7)."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from tests.unit.refresh.conftest import MARGIN, USER, Room
from vaultd.audit.events import Draft, EventType
from vaultd.connections import lease, store
from vaultd.connections.sealing import data_key_of
from vaultd.connections.table import ConnectionRow
from vaultd.errors import InvalidScope, TemporarilyUnavailable
from vaultd.terms import Scopes, Secret


async def test_it_names_the_scopes_and_keeps_what_came(room: Room) -> None:
    """RFC 6749 §6."""
    row = await room.connected()
    room.answers(scope="user")
    assert await room.narrow(row) is None
    assert room.server.last.form() == {
        "grant_type": ["refresh_token"],
        "refresh_token": ["refresh token of octocat"],
        "scope": ["user"],
        "client_id": ["vaultd"],
    }
    kept = await room.kept(row)
    assert kept is not None
    assert (kept.token, kept.scopes) == (Secret("narrow"), USER)
    assert kept.expires_at == room.house.clock() + timedelta(seconds=600)


@pytest.mark.parametrize(
    ("given", "carries"),
    [(None, "user"), ("user", "user"), ("repo user", "repo user"), ("admin", "admin"), ("", "user")],
)
async def test_a_token_carries_what_the_provider_said(room: Room, given: str | None, carries: str) -> None:
    """A7, RFC 6749 §5.1 and §3.3: silence and an empty scope mean what was asked for; all else is taken at its word."""
    row = await room.connected()
    room.answers(scope=given)
    await room.narrow(row)
    kept = await room.kept(row)
    assert kept is not None
    assert kept.scopes == Scopes.parse(carries)
    assert (await room.events("token.refreshed"))[0]["scopes"] == sorted(Scopes.parse(carries))


@pytest.mark.parametrize(("rotated", "then"), [("rotated", "rotated"), (None, "refresh token of octocat")])
async def test_the_stored_token_stays_and_a_rotated_refresh_token_is_stored(
    room: Room, rotated: str | None, then: str
) -> None:
    """A7: a new revision, with nothing lost but the refresh token that was used up."""
    row = await room.connected()
    before = room.opened(row)
    room.answers(scope="user", refresh_token=rotated)
    await room.narrow(row)
    after = await room.house.row(row.id)
    assert (after.generation, after.revision) == (row.generation, row.revision + 1)
    assert (after.granted_scopes, after.expires_at) == (row.granted_scopes, row.expires_at)
    assert (after.lease_until, after.intent_fence) == (None, None)
    assert room.opened(after) == replace(before, refresh_token=Secret(then))
    (event,) = await room.events("token.refreshed")
    assert (event["reason"], event["revision"]) == ("narrowed", after.revision)
    assert (await room.house.verify()).findings == []


async def test_a_token_without_an_end_gets_the_one_that_is_assumed(room: Room) -> None:
    row = await room.connected()
    room.answers(expires_in=None)
    await room.narrow(row)
    kept = await room.kept(row)
    assert kept is not None
    assert kept.expires_at == room.house.clock() + timedelta(seconds=900)


async def test_what_is_kept_is_not_fetched_again_until_it_is_about_to_end(room: Room) -> None:
    row = await room.connected()
    room.answers()
    for forward, calls in ((0, 1), (600 - 61, 1), (1, 2)):
        room.house.clock.forward(seconds=forward)
        await room.narrow(row)
        assert len(room.server.seen) == calls


async def test_c5_callers_of_one_process_share_a_call(room: Room) -> None:
    row = await room.connected()
    room.answers()
    answers = await asyncio.gather(*(room.narrow(row) for _ in range(50)))
    assert answers == [None] * 50
    assert len(room.server.seen) == 1


async def test_c5_processes_share_a_call(room: Room) -> None:
    row = await room.connected()
    room.answers()
    narrowers = (room.first.narrower, room.second.narrower)
    answers = await asyncio.gather(*(each.narrow(row, USER, margin=MARGIN) for each in narrowers for _ in range(10)))
    assert answers == [None] * 20
    assert len(room.server.seen) == 1


async def test_c5_a_caller_who_goes_does_not_end_it_for_the_others(room: Room) -> None:
    row = await room.connected()
    room.answers()
    gone, stays = asyncio.create_task(room.narrow(row)), asyncio.create_task(room.narrow(row))
    await asyncio.sleep(0)
    gone.cancel()
    assert await stays is None
    assert await room.kept(row) is not None


async def test_c3_invalid_grant_ends_the_connection(room: Room) -> None:
    row = await room.connected()
    room.answers()
    await room.narrow(row)
    room.refuses("invalid_grant")
    assert await room.narrow(row, Scopes({"repo"})) is None
    broken = await room.house.row(row.id)
    assert (broken.status, broken.reason) == ("reconnect_required", "invalid_grant")
    assert await room.rows_kept(row) == 0


async def test_invalid_scope_is_ours_and_breaks_nothing(room: Room) -> None:
    """A7: the provider does not narrow to these scopes; the grant stands."""
    row = await room.connected()
    room.refuses("invalid_scope")
    refusal = await room.narrow(row)
    assert isinstance(refusal, InvalidScope)
    assert refusal.reason == "narrowing_refused"
    after = await room.house.row(row.id)
    assert (after.status, after.revision, after.lease_until, after.intent_fence) == ("connected", 1, None, None)


async def test_an_error_of_ours_is_not_the_users(room: Room) -> None:
    row = await room.connected()
    room.refuses("invalid_client")
    refusal = await room.narrow(row)
    assert isinstance(refusal, TemporarilyUnavailable)
    assert refusal.reason == "provider_invalid_client"
    assert (await room.house.row(row.id)).status == "connected"


async def test_c6_an_answer_that_was_lost_leaves_its_intent(room: Room) -> None:
    row = await room.connected()
    room.server.drops()
    assert isinstance(await room.narrow(row), TemporarilyUnavailable)
    after = await room.house.row(row.id)
    assert (after.lease_until, after.intent_fence) == (None, after.lease_fence)
    room.refuses("invalid_grant")
    await room.narrow(row)
    assert (await room.house.row(row.id)).reason == "rotation_lost"


async def test_c7_a_grant_that_is_revoked_meanwhile_gets_nothing_back(room: Room) -> None:
    """What the provider gave is to be revoked there, and no row of a narrowed token comes to be."""
    row = await room.connected()
    flight = await _waiting_for_the_provider(room, row)
    async with room.house.log.transaction() as transaction:
        held = await store.lock_for_revocation(transaction.connection, row.id)
        assert held is not None
        await store.revoke(transaction.connection, held, reason="disconnected")
        await transaction.append(Draft(type=EventType.CONNECTION_REVOKED))
    room.answers()
    assert await flight is None
    assert await room.to_be_revoked() == [("narrow", "rotated")]
    assert await room.rows_kept(row) == 0
    assert (await room.house.row(row.id)).status == "revoked"


async def test_c7_a_grant_that_is_renewed_meanwhile_keeps_its_refresh_token(room: Room) -> None:
    """A provider may give one refresh token for good: what we asked with may be the new grant's as well."""
    row = await room.connected()
    flight = await _waiting_for_the_provider(room, row)
    await room.house.connect(await room.house.subject())
    room.answers(refresh_token=None)
    assert await flight is None
    assert await room.to_be_revoked() == [("narrow", None)]
    assert await room.rows_kept(row) == 0
    renewed = await room.house.row(row.id)
    assert (renewed.generation, renewed.revision) == (2, 1)


async def test_a_row_that_moved_is_for_the_counter_to_look_at(room: Room) -> None:
    row = await room.connected()
    room.answers()
    await room.house.connect(await room.house.subject())
    assert await room.narrow(row) is None
    assert await room.narrow(replace(row, id=uuid4())) is None  # type: ignore[arg-type]  # any id will do
    assert room.server.seen == []


async def test_c5_a_refresh_that_waited_for_a_narrowing_refreshes_all_the_same(room: Room) -> None:
    """The new revision that it sees is the narrowing's: the stored token is as stale as it was."""
    row = await room.connected()
    async with room.house.database.transaction() as connection:
        fence = await lease.take(connection, row, owner=uuid4(), now=room.house.clock())
    assert fence is not None
    room.answers(access_token="whole", scope="repo user")
    waiting = asyncio.create_task(room.first.refresher.refresh(row))
    await asyncio.sleep(0.2)
    assert room.server.seen == []
    async with room.house.database.transaction() as connection:
        opened = replace(room.opened(row), refresh_token=Secret("rotated by the narrowing"))
        assert await store.store_refreshed(
            connection,
            row,
            data_key_of(row, room.house.data_keys),
            fence=fence,
            granted_scopes=row.granted_scopes,
            expires_at=row.expires_at,
            opened=opened,
            lookups=room.house.lookups.of(row.provider, opened),
            now=room.house.clock(),
        )
    assert await asyncio.wait_for(waiting, 10) is None
    assert room.server.last.form()["refresh_token"] == ["rotated by the narrowing"]
    assert room.opened(await room.house.row(row.id)).access_token == Secret("whole")


async def test_c5_a_narrowing_waits_for_a_refresh_and_asks_with_its_refresh_token(room: Room) -> None:
    row = await room.connected()
    room.server.holds()
    flight = asyncio.create_task(room.first.refresher.refresh(row))
    await room.asked()
    narrowing = asyncio.create_task(room.second.narrower.narrow(row, USER, margin=MARGIN))
    await asyncio.sleep(0.2)
    assert len(room.server.seen) == 1
    room.answers(access_token="whole", refresh_token="rotated by the refresh")
    assert await flight is None
    assert await asyncio.wait_for(narrowing, 10) is None
    assert room.server.last.form()["refresh_token"] == ["rotated by the refresh"]


async def _waiting_for_the_provider(room: Room, row: ConnectionRow) -> asyncio.Task[object]:
    room.server.holds()
    flight = asyncio.create_task(room.narrow(row))
    await room.asked()
    return flight
