"""GitHub's scoped tokens, asked for and read warily (A7, C2)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.unit.providers.conftest import CLIENT_SECRET, NOW, provider_of, refused, unavailable
from tests.unit.scripted_server import ScriptedServer
from vaultd.providers.answers import Grant
from vaultd.providers.oauth import OAuthClient
from vaultd.terms import Narrowing, Scopes, Secret

NARROWING = Narrowing("acme", ("web",), Scopes({"contents:read"}))
GOOD: dict[str, Any] = {
    "token": "ghu_scoped",
    "expires_at": (NOW + timedelta(hours=1)).isoformat(),
    "installation": {"permissions": {"contents": "read", "metadata": "read"}},
}


async def scoped(oauth: OAuthClient, server: ScriptedServer) -> Grant:
    endpoint = f"{server.url}/applications/{{client_id}}/token/scoped"
    provider = provider_of(server, narrowing="github_scoped", narrowing_endpoint=endpoint)
    return await oauth.scope_down(provider, access_token=Secret("ghu_whole-t0ken"), narrowing=NARROWING)


async def test_what_came(oauth: OAuthClient, server: ScriptedServer) -> None:
    server.answers_json(GOOD)
    grant = await scoped(oauth, server)
    assert server.last.path == "/applications/our app/token/scoped"
    assert (grant.access_token, grant.refresh_token) == (Secret("ghu_scoped"), None)
    assert (grant.expires_in, grant.scopes) == (3600, Scopes({"contents:read", "metadata:read"}))


@pytest.mark.parametrize(
    ("expires_at", "expected"),
    [(None, None), ("2030-01-01T12:00:10Z", 10), ("2030-01-01T12:00:10", 10), ("2011-09-08T17:26:27Z", 0)],
)
async def test_when_it_ends(
    expires_at: str | None, expected: int | None, oauth: OAuthClient, server: ScriptedServer
) -> None:
    server.answers_json({**GOOD, "expires_at": expires_at})
    assert (await scoped(oauth, server)).expires_in == expected


@pytest.mark.parametrize(
    "changes",
    [
        {"token": None},
        {"token": ""},
        {"token": "a\nb"},
        {"token": 7},
        {"expires_at": "soon"},
        {"expires_at": 7},
        {"installation": None},
        {"installation": {}},
        {"installation": {"permissions": ["contents"]}},
        {"installation": {"permissions": {"contents": True}}},
        {"installation": {"permissions": {"not one scope": "read"}}},
        {"installation": {"permissions": {f"name{number}": "read" for number in range(201)}}},
        {"installation": {"permissions": {"n" * 255: "read"}}},
        {"token": "t" * 20_000},
    ],
)
async def test_c2_an_answer_that_is_none(changes: dict[str, Any], oauth: OAuthClient, server: ScriptedServer) -> None:
    """Where it does not say what the token may do, nobody may have it."""
    server.answers_json({**GOOD, **changes})
    await unavailable(lambda: scoped(oauth, server))


@pytest.mark.parametrize(
    ("status", "error"),
    [(401, "invalid_client"), (403, "access_denied"), (404, "invalid_token"), (422, "invalid_scope")],
)
async def test_refusals_by_their_status(status: int, error: str, oauth: OAuthClient, server: ScriptedServer) -> None:
    server.answers_json({"message": f"no ghu_whole-t0ken {CLIENT_SECRET}"}, status=status)
    with capture_logs() as lines:
        told = await refused(lambda: scoped(oauth, server))
    assert told.error == error
    assert "ghu_whole-t0ken" not in f"{told} {lines}"
    assert CLIENT_SECRET not in f"{told} {lines}"
    (line,) = lines
    assert (line["step"], line["status"]) == ("token", status)
    server.answers(b"<html>", status=status)
    assert (await refused(lambda: scoped(oauth, server))).error == error


@pytest.mark.parametrize(
    ("status", "headers"),
    [(403, {"retry_after": "30"}), (403, {"x_ratelimit_remaining": "0"}), (429, {}), (500, {}), (302, {})],
)
async def test_what_is_for_now(
    status: int, headers: dict[str, str], oauth: OAuthClient, server: ScriptedServer
) -> None:
    server.answers_json({"message": "You have exceeded a secondary rate limit"}, status=status, **headers)
    error = await unavailable(lambda: scoped(oauth, server))
    assert error.retry_after == (30 if "retry_after" in headers else None)


async def test_a_provider_without_a_way_to(oauth: OAuthClient, server: ScriptedServer) -> None:
    server.seen.clear()
    told = await refused(lambda: oauth.scope_down(provider_of(server), access_token=Secret("t"), narrowing=NARROWING))
    assert (told.error, server.seen) == ("unsupported", [])


def test_equal_narrowings_are_found_by_the_same_and_others_by_another() -> None:
    same = Narrowing("acme", ("web",), Scopes(["contents:read"]))
    assert same.key == NARROWING.key == Scopes({"contents:read", "acme/web"})
    others = [
        Narrowing("acme", (), Scopes({"contents:read"})),
        Narrowing("other", ("web",), Scopes({"contents:read"})),
        Narrowing("acme", ("web", "api"), Scopes({"contents:read"})),
        Narrowing("acme", ("web",), Scopes({"contents:write"})),
    ]
    assert len({NARROWING.key, *(other.key for other in others)}) == 5
