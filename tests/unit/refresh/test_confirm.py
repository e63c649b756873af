"""A token that never ends and that nothing renews, once a client says that it was refused: what the provider says."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.unit.refresh.conftest import Room
from vaultd.connections.sealing import UNNAMED_ACCOUNT
from vaultd.connections.table import ConnectionRow
from vaultd.errors import SlowDown
from vaultd.providers.catalogue import load_catalogue
from vaultd.providers.oauth import OAuthClient
from vaultd.providers.registry import Providers
from vaultd.refresh import Claim, Confirmer
from vaultd.refresh.claims import MOST_OF_A_CLIENT
from vaultd.terms import Secret

CLAIM = Claim(Secret("access token of octocat"), "agent")


def confirmer(room: Room, **changes: Any) -> Confirmer:
    """One for a provider whose accounts userinfo names, unless the table says otherwise."""
    table = {"userinfo_endpoint": f"{room.server.url}/userinfo", **changes}
    config = room.providers.get("github").config.model_copy(update=table)
    process, house = room.first, room.house
    return Confirmer(
        database=house.database,
        results=process.results_at(Providers(configs={"github": config})),
        claims=process.claims,
        oauth=OAuthClient(outbound=room.outbound, clock=house.clock),
        breaker=process.breaker,
    )


async def endless(room: Room, account: str = "octocat", scopes: str = "repo user") -> ConnectionRow:
    """A connection whose token has no end, without a refresh token."""
    plain = room.house.brought(account, scopes)
    brought = replace(plain, access_token=CLAIM.token, refresh_token=None, expires_at=None)
    row = await room.house.row(await room.house.connect(await room.house.subject(), brought))
    assert (row.expires_at, row.refresh_token) == (None, None)
    return row


async def status(room: Room, row: ConnectionRow) -> tuple[str, str | None]:
    after = await room.house.row(row.id)
    return after.status, after.reason


@pytest.mark.parametrize(
    ("code", "body"),
    [
        (401, {"message": "Bad credentials"}),
        (401, {}),
        (200, {"ok": False, "error": "token_revoked"}),
        (400, {"error": "token_expired"}),
        (403, {"error": "invalid_token"}),
    ],
)
async def test_a_token_that_the_provider_does_not_take_ends_the_connection(
    room: Room, code: int, body: dict[str, Any]
) -> None:
    row = await endless(room)
    room.server.answers_json(body, status=code)
    await confirmer(room).confirm(row, CLAIM)
    assert await status(room, row) == ("reconnect_required", "revoked_at_provider")
    (event,) = await room.events("connection.broken")
    assert event["reason"] == "revoked_at_provider"
    (asked,) = room.server.seen
    assert (asked.path, asked.headers["authorization"]) == ("/userinfo", "Bearer access token of octocat")


@pytest.mark.parametrize(
    ("code", "body"),
    [
        (200, {"sub": "octocat"}),
        (200, {"sub": "somebody else"}),
        (200, {}),
        (403, {"error": "insufficient_scope"}),
        (400, {"error": "invalid_request"}),
        (400, {"error": "invalid_grant"}),
        (200, {"ok": False, "error": "invalid_auth"}),
        (200, {"ok": False}),
        (503, {"error": "token_revoked"}),
        (404, {"message": "Not Found"}),
        (429, {"message": "slow down"}),
        (500, {}),
    ],
)
async def test_any_other_answer_ends_nothing(room: Room, code: int, body: dict[str, Any]) -> None:
    row = await endless(room)
    room.server.answers_json(body, status=code)
    await confirmer(room).confirm(row, CLAIM)
    assert await status(room, row) == ("connected", None)


async def test_silence_ends_nothing(room: Room) -> None:
    row = await endless(room)
    room.server.drops()
    await confirmer(room).confirm(row, CLAIM)
    assert await status(room, row) == ("connected", None)


@pytest.mark.parametrize("code", [401, 403, 500])
async def test_what_the_provider_says_is_in_the_log(room: Room, code: int) -> None:
    row = await endless(room)
    room.server.answers_json({"message": "Not today"}, status=code)
    with capture_logs() as lines:
        await confirmer(room).confirm(row, CLAIM)
    (line,) = (line for line in lines if line["event"] == "a provider did not do what was asked")
    assert (line["provider"], line["step"], line["status"]) == ("github", "userinfo", code)
    assert line["description"] == "Not today"
    assert "access token of octocat" not in str(lines)


async def test_where_userinfo_never_told_the_account_it_is_not_asked(room: Room) -> None:
    """A 401 there may have another cause, such as a scope that this grant never had."""
    row, unnamed = await endless(room), await endless(room, UNNAMED_ACCOUNT)
    room.server.answers_json({}, status=401)
    await confirmer(room, account_source="token").confirm(row, CLAIM)
    await confirmer(room).confirm(unnamed, CLAIM)
    for each in (row, unnamed):
        assert await status(room, each) == ("connected", None)
    assert room.server.seen == []


@pytest.mark.parametrize(
    ("body", "ended"),
    [
        ({"ok": False, "error": "token_revoked"}, "reconnect_required"),
        ({"ok": False, "error": "account_inactive"}, "reconnect_required"),
        ({"ok": False, "error": "invalid_auth"}, "connected"),
        ({"ok": False, "error": "ratelimited"}, "connected"),
        ({"ok": True, "team": "night shift"}, "connected"),
    ],
    ids=str,
)
async def test_where_any_token_can_be_shown_it_is_shown_whoever_named_the_account(
    room: Room, body: dict[str, Any], ended: str
) -> None:
    """As at Slack, whose tokens name their account themselves and do not end by default."""
    slack = load_catalogue()["slack"]
    table = {
        "token_check_endpoint": f"{room.server.url}/check",
        "account_source": "token",
        "identity_scopes": ("openid",),
        "error_codes": slack["error_codes"],
    }
    asking = confirmer(room, **table, userinfo_endpoint=None)
    for account in ("octocat", UNNAMED_ACCOUNT):
        room.server.seen.clear()
        row = await endless(room, account)
        room.server.answers_json(body)
        await asking.confirm(row, CLAIM)
        assert (await status(room, row))[0] == ended
        (asked,) = room.server.seen
        assert (asked.method, asked.path) == ("POST", "/check")
        assert asked.headers["authorization"].startswith("Bearer access token of")


def test_slacks_entries_have_such_a_place() -> None:
    for entry in ("slack", "slack-user"):
        assert load_catalogue()[entry]["token_check_endpoint"] == "https://slack.com/api/auth.test"


@pytest.mark.parametrize("granted", ["calendar", "email calendar", ""])
async def test_a_grant_without_the_scopes_for_being_told_whose_it_is_is_not_asked_about(
    room: Room, granted: str
) -> None:
    """An imported one, say: Google refuses it there with 401, however good it is elsewhere."""
    row = await endless(room, scopes=granted)
    room.server.answers_json({}, status=401)
    await confirmer(room, identity_scopes=("openid", "email")).confirm(row, CLAIM)
    assert await status(room, row) == ("connected", None)
    assert room.server.seen == []


async def test_a_grant_with_those_scopes_is_asked_about_however_they_are_spelled(room: Room) -> None:
    row = await endless(room, scopes="openid https://example.com/email calendar")
    room.server.answers_json({}, status=401)
    spelled = {"scope_aliases": {"email": ("https://example.com/email",)}}
    await confirmer(room, identity_scopes=("openid", "email"), **spelled).confirm(row, CLAIM)
    assert await status(room, row) == ("reconnect_required", "revoked_at_provider")


async def test_many_ask_once_and_nobody_more_often_than_so_often(room: Room) -> None:
    row = await endless(room)
    room.server.answers_json({"sub": "octocat"})
    asking = confirmer(room)
    for calls in range(1, MOST_OF_A_CLIENT + 1):
        await asyncio.gather(*(asking.confirm(row, CLAIM) for _ in range(20)))
        assert len(room.server.seen) == calls
    with pytest.raises(SlowDown):
        await asking.confirm(row, CLAIM)
    assert len(room.server.seen) == MOST_OF_A_CLIENT


async def test_a_connection_that_was_renewed_meanwhile_is_not_ended(room: Room) -> None:
    row = await endless(room)
    room.server.holds()
    asking = asyncio.create_task(confirmer(room).confirm(row, CLAIM))
    await room.asked()
    again = await endless(room)
    room.server.answers_json({}, status=401)
    await asking
    assert again.generation == 2
    assert await status(room, row) == ("connected", None)
