"""Refusals of one grant: what they end, what they leave alone, and how it is undone."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text

from tests.unit.refresh.conftest import KEEP_BROKEN, Room
from vaultd.app.verifying import verification_of
from vaultd.audit.events import Draft, EventType
from vaultd.connections.table import ConnectionRow
from vaultd.errors import CannotOpen, NothingKept, TemporarilyUnavailable
from vaultd.refresh.patience import AT_ONCE, ENOUGH, LONG_ENOUGH
from vaultd.revoke.secrets import Secrets

RETRY = Draft(type=EventType.CONNECTION_RETRIED)


async def refused(room: Room, row: ConnectionRow, times: int) -> None:
    """Have the refresh refused so often, each time when it may be asked for again."""
    for _ in range(times):
        refusal = await room.first.refresher.refresh(await room.house.row(row.id))
        if isinstance(refusal, TemporarilyUnavailable):
            room.house.clock.forward(seconds=refusal.retry_after)


async def served(room: Room, row: ConnectionRow) -> None:
    room.answers()
    assert await room.first.refresher.refresh(await room.house.row(row.id)) is None


@pytest.mark.parametrize("status", [400, 403])
@pytest.mark.parametrize("body", [{"error": "made_up"}, {"message": "Bad Request", "errors": [{"code": "odd"}]}])
async def test_an_unknown_refusal_that_keeps_coming_while_others_are_served_is_final(
    room: Room, status: int, body: dict[str, object]
) -> None:
    row, other = await room.connected(), await room.connected("bob")
    room.server.answers_json(body, status=status)
    await refused(room, row, ENOUGH)
    assert (await room.house.row(row.id)).status == "connected"
    room.house.clock.forward(seconds=LONG_ENOUGH.total_seconds())
    await refused(room, row, 1)
    assert (await room.house.row(row.id)).status == "connected", "nobody else was served, so it may be all of them"
    await served(room, other)
    room.server.answers_json(body, status=status)
    await refused(room, row, 2)
    ended = await room.house.row(row.id)
    word = body.get("error", f"http_{status}")
    assert (ended.status, ended.reason) == ("reconnect_required", f"provider_{word}")
    (event,) = await room.events("connection.broken")
    assert event["reason"] == f"provider_{word}"


async def test_a_grant_that_is_refused_is_left_alone_and_others_are_not(room: Room) -> None:
    row, other = await room.connected(), await room.connected("bob")
    room.refuses("unauthorized_client")
    for _ in range(AT_ONCE):
        await room.first.refresher.refresh(await room.house.row(row.id))
    asked = len(room.server.seen)
    refusal = await room.first.refresher.refresh(await room.house.row(row.id))
    assert isinstance(refusal, TemporarilyUnavailable)
    assert refusal.reason == "refused_lately"
    assert len(room.server.seen) == asked
    await served(room, other)


async def test_a_wrong_verdict_is_undone_with_the_tokens_that_were_kept(room: Room) -> None:
    row = await room.connected()
    before = room.opened(row)
    room.refuses("invalid_grant")
    await room.first.refresher.refresh(row)
    broken = await room.house.row(row.id)
    assert (broken.status, broken.access_token, broken.refresh_token) == ("reconnect_required", None, None)
    assert broken.kept_until == room.house.clock() + KEEP_BROKEN
    assert await room.first.undo.retry(row.id, draft=RETRY) == "github"
    mended = await room.house.row(row.id)
    assert (mended.status, mended.reason, mended.kept, mended.revision) == ("connected", None, None, row.revision + 1)
    assert room.opened(mended) == before
    (event,) = await room.events("connection.retried")
    assert event["reason"] == "invalid_grant"
    assert (await verification_of(room.house.database, room.house.keyring)()).findings == []
    room.answers()
    assert await room.first.refresher.refresh(mended) is None
    with pytest.raises(NothingKept):
        await room.first.undo.retry(row.id, draft=RETRY)


async def test_what_is_judged_tried_again_and_judged_is_as_the_log_says(room: Room) -> None:
    row = await room.connected()
    for _ in range(3):
        room.refuses("invalid_grant")
        await room.first.refresher.refresh(await room.house.row(row.id))
        assert (await verification_of(room.house.database, room.house.keyring)()).findings == []
        await room.first.undo.retry(row.id, draft=RETRY)
        assert (await verification_of(room.house.database, room.house.keyring)()).findings == []
    # A row that says otherwise is found.
    async with room.house.database.transaction() as connection:
        await connection.execute(text("UPDATE connections SET status = 'reconnect_required', access_token = NULL"))
    assert (await verification_of(room.house.database, room.house.keyring)()).findings != []


async def test_what_was_kept_for_long_enough_is_erased(room: Room) -> None:
    row = await room.connected()
    room.refuses("invalid_grant")
    await room.first.refresher.refresh(row)
    room.house.clock.forward(seconds=KEEP_BROKEN.total_seconds() - 1)
    assert await room.first.undo.sweep_once() == 0
    room.house.clock.forward(seconds=1)
    with pytest.raises(NothingKept):
        await room.first.undo.retry(row.id, draft=RETRY)
    assert await room.first.undo.sweep_once() == 1
    erased = await room.house.row(row.id)
    assert (erased.status, erased.kept, erased.kept_until) == ("reconnect_required", None, None)
    assert (await verification_of(room.house.database, room.house.keyring)()).findings == []


async def test_a_token_that_is_brought_back_is_renewed_before_anybody_gets_it(room: Room) -> None:
    """Its own end may be far away: only its provider knows whether the grant is alive."""
    row = await room.connected()
    await room.first.results.break_connection(row, reason="revoked_at_provider", stored=room.first.results.open(row))
    await room.first.undo.retry(row.id, draft=RETRY)
    back = await room.house.row(row.id)
    assert (back.status, back.expires_at) == ("connected", room.house.clock())
    assert (await verification_of(room.house.database, room.house.keyring)()).findings == []


async def test_one_without_a_refresh_token_comes_back_with_its_own_end(room: Room) -> None:
    brought = replace(room.house.brought(), refresh_token=None, expires_at=None)
    row = await room.house.row(await room.house.connect(await room.house.subject(), brought))
    await room.first.results.break_connection(row, reason="revoked_at_provider", stored=room.first.results.open(row))
    await room.first.undo.retry(row.id, draft=RETRY)
    assert (await room.house.row(row.id)).expires_at is None


async def test_a_disconnected_account_gives_back_what_was_kept_of_it(room: Room) -> None:
    row = await room.connected()
    room.refuses("invalid_grant")
    await room.first.refresher.refresh(row)
    secrets = Secrets(data_keys=room.house.data_keys, clock=room.house.clock)
    async with room.house.database.transaction() as connection:
        await secrets.move(connection, await room.house.row(row.id), subject_id=row.subject_id)
    assert await room.to_be_revoked() == [("access token of octocat", "refresh token of octocat")]


async def test_a_token_that_is_renewed_without_a_life_keeps_the_one_it_had(room: Room) -> None:
    row = await room.connected()
    room.answers(expires_in=600)
    await room.first.refresher.refresh(row)
    room.answers(expires_in=None)
    await room.first.refresher.refresh(await room.house.row(row.id))
    assert (await room.house.row(row.id)).expires_at == room.house.clock() + timedelta(seconds=600)


async def test_a_token_whose_life_was_known_is_given_the_assumed_one(room: Room) -> None:
    """As of a connection that was imported with its token's end and nothing else."""
    row = await room.connected()
    room.answers(expires_in=None)
    await room.first.refresher.refresh(row)
    assert (await room.house.row(row.id)).expires_at == room.house.clock() + timedelta(seconds=900)


async def test_whoever_makes_a_broken_row_a_connected_one_has_no_tokens(room: Room) -> None:
    row = await room.connected()
    room.refuses("invalid_grant")
    await room.first.refresher.refresh(row)
    broken = await room.house.row(row.id)
    broken.status, broken.access_token = "connected", broken.kept
    with pytest.raises(CannotOpen):
        room.opened(broken)
