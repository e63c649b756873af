"""Every error of the accounts API is a problem object (api.md §2), which a script of an allowed origin can read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
import pytest_asyncio

from tests.support.clock import HandClock
from tests.support.configured import changed_vault
from tests.support.superuser import database_away, execute, unwritable_log
from tests.wire.answers import EVERY_HEADER, retry_after
from tests.wire.vault import App, Vault, bearer, conformance
from vaultd.sandbox.dev_config import SAMPLE_AGENT
from vaultd.sandbox.loopback import loopback_http
from vaultd.sandbox.person import ACCOUNT_SCOPES
from vaultd.sandbox.world import World, start_world

PREFIX = "/me/v1/connected-accounts"
SCRIPT = "https://app.example.com"
DEV = "http://localhost:5173"
AGENT = f"[clients.{SAMPLE_AGENT}]"
ID = "a1b2c3d4-0000-4000-8000-000000000000"
CALLS: list[tuple[str, str, str]] = [
    ("POST", "/connect", "create"),
    ("POST", "/complete", "create"),
    ("GET", "/accounts", "read"),
    ("DELETE", f"/accounts/{ID}", "delete"),
    ("GET", "/connections", "read"),
    ("GET", "/activity", "read"),
]
EXPOSED = {"etag", "retry-after", "www-authenticate", "x-request-id"}
TAKEN = {"authorization", "content-type", "dpop", "if-none-match", "x-request-id"}
WELL = {
    "/connect": {"connection": "github", "redirect_uri": "https://evil.example/"},
    "/complete": {"auth_session": "x", "connect_code": "x", "redirect_uri": "https://x.example/"},
}


@pytest.fixture(scope="module")
def failing() -> Iterator[World]:
    """A world of its own, whose parts are made to fail."""
    with start_world(synced=False) as world:
        yield world


@pytest.fixture(scope="module")
def url(failing: World) -> Iterator[str]:
    """A second vault on the same database, that scripts of two origins may call."""
    line = f'default_client = "{SAMPLE_AGENT}"'
    with changed_vault(failing, {line: f'{line}\nallowed_origins = ["{SCRIPT}", "{DEV}"]'}) as running:
        yield running


@asynccontextmanager
async def speaking(world: World, url: str, **headers: str) -> AsyncIterator[httpx.AsyncClient]:
    hooks = {"response": [conformance(world.places.vault).check]}
    async with loopback_http(base_url=url + PREFIX, headers=headers, event_hooks=hooks, timeout=30.0) as http:
        yield http


@pytest_asyncio.fixture
async def script(failing: World, url: str) -> AsyncIterator[httpx.AsyncClient]:
    """A script in a page of an allowed origin; its user is nobody's."""
    async with speaking(failing, url, Origin=SCRIPT, **bearer(token(failing))) as http:
        yield http


def token(world: World, scope: str = ACCOUNT_SCOPES, user: str = "") -> str:
    return world.issuer.mint(user or f"user-{uuid4().hex}", azp=SAMPLE_AGENT, scope=scope)


async def called(http: httpx.AsyncClient, method: str, path: str, **more: Any) -> httpx.Response:
    if method == "POST" and not {"json", "content"} & set(more):
        more["json"] = WELL[path]
    return await http.request(method, path, **more)


def check_problem(answer: httpx.Response, status: int, kind: str | None = None) -> dict[str, Any]:
    """The one shape, the headers of every answer, and readable where it was asked for."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    problem: dict[str, Any] = answer.json()
    assert set(problem) - {"validation_errors"} == {"type", "title", "status", "detail"}
    assert problem["status"] == status
    assert all(isinstance(problem[name], str) and problem[name] for name in ("type", "title", "detail"))
    if kind is not None:
        assert problem["type"] == f"urn:vaultd:error:{kind}"
    assert (answer.headers["cache-control"], answer.headers["pragma"]) == ("no-store", "no-cache")
    assert {name: answer.headers.get(name) for name in EVERY_HEADER} == EVERY_HEADER
    assert "etag" not in answer.headers
    check_readable(answer)
    return problem


def check_readable(answer: httpx.Response) -> None:
    """By its own origin alone (Fetch standard §3.2.3)."""
    assert answer.headers.get_list("access-control-allow-origin") == [answer.request.headers["origin"]]
    assert listed(answer, "access-control-expose-headers") == EXPOSED
    assert "access-control-allow-credentials" not in answer.headers
    assert "origin" in listed(answer, "vary")


def listed(answer: httpx.Response, name: str) -> set[str]:
    return {each.strip().lower() for each in answer.headers[name].split(",")}


@pytest.mark.parametrize(("method", "path", "scope"), CALLS)
async def test_api_2_401_and_403_with_their_challenge(
    failing: World, url: str, method: str, path: str, scope: str
) -> None:
    """RFC 6750 §3, RFC 9449 §7.1."""
    others = " ".join(each for each in ACCOUNT_SCOPES.split() if not each.startswith(scope))
    async with speaking(failing, url, Origin=DEV) as http:
        check_problem(nothing := await called(http, method, path), 401, "invalid_token")
        assert nothing.headers["www-authenticate"].startswith('Bearer realm="vaultd", DPoP ')
        check_problem(bad := await called(http, method, path, headers=bearer("x")), 401, "invalid_token")
        assert 'error="invalid_token"' in bad.headers["www-authenticate"]
        bound = {"Authorization": f"DPoP {token(failing)}", "DPoP": "x"}
        check_problem(unbound := await called(http, method, path, headers=bound), 401, "invalid_token")
        assert unbound.headers["www-authenticate"].startswith('DPoP realm="vaultd", error="invalid_token"')
        few = await called(http, method, path, headers=bearer(token(failing, others)))
        check_problem(few, 403, "insufficient_scope")
        assert f'scope="{scope}:me:connected_accounts"' in few.headers["www-authenticate"]


@pytest.mark.parametrize("path", ["", "/", "/nowhere", "/accounts/", f"/accounts/{ID}/x", "/connect/x"])
async def test_api_2_404(script: httpx.AsyncClient, path: str) -> None:
    check_problem(await script.get(path), 404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/connect", {"post"}),
        ("DELETE", "/complete", {"post"}),
        ("POST", "/accounts", {"get", "head"}),
        ("PUT", f"/accounts/{ID}", {"delete"}),
        ("GET", f"/accounts/{ID}", {"delete"}),
        ("PATCH", "/connections", {"get", "head"}),
        ("POST", "/activity", {"get", "head"}),
        ("OPTIONS", "/accounts", {"get", "head"}),
    ],
)
async def test_api_2_405_says_which_methods_there_are(
    script: httpx.AsyncClient, method: str, path: str, allowed: set[str]
) -> None:
    answer = await script.request(method, path)
    assert check_problem(answer, 405)["type"] == "about:blank"  # RFC 9457 §4.2.1
    assert listed(answer, "allow") == allowed


@pytest.mark.parametrize("path", ["/connect", "/complete"])
async def test_api_2_413_and_415(script: httpx.AsyncClient, path: str) -> None:
    json = {"Content-Type": "application/json"}
    check_problem(await script.post(path, content=b" " * (64 * 1024 + 1), headers=json), 413)
    for other in ("text/plain", "application/x-www-form-urlencoded", "application/problem+json", ""):
        answer = await script.post(path, content=b"{}", headers={"Content-Type": other})
        check_problem(answer, 415)
        assert answer.headers["accept"] == "application/json"


async def test_api_2_400_names_every_mistake(script: httpx.AsyncClient) -> None:
    refused = await script.post("/connect", json={"connection": 7, "scopes": "repo"})
    errors = check_problem(refused, 400, "invalid_request")["validation_errors"]
    assert [error["pointer"] for error in errors] == ["/connection", "/redirect_uri", "/scopes"]
    foreign = await script.post("/connect", json=WELL["/connect"])
    (error,) = check_problem(foreign, 400, "invalid_request")["validation_errors"]
    assert error["pointer"] == "/redirect_uri"
    assert "evil" not in foreign.text


async def test_api_2_429_with_the_time_to_wait(failing: World) -> None:
    """A client's `subject_limits` are for one user, in whatever call, and not shared with the token endpoint."""
    clock, line = HandClock(), f'default_client = "{SAMPLE_AGENT}"'
    changes = {
        line: f'{line}\nallowed_origins = ["{SCRIPT}"]',
        AGENT: f"{AGENT}\nlimits = {{per_second = 0.1, burst = 1}}\nsubject_limits = {{per_second = 0.1, burst = 6}}",
    }
    one, another = token(failing), token(failing)
    with changed_vault(failing, changes, clock=clock) as url:
        async with speaking(failing, url, Origin=SCRIPT) as http:
            for method, path, _ in CALLS:
                assert (await called(http, method, path, headers=bearer(one))).status_code in {200, 400, 404}
            for method, path, _ in CALLS:
                answer = await called(http, method, path, headers=bearer(one))
                check_problem(answer, 429, "slow_down")
                assert retry_after(answer) == 10
            # Whoever has no good token, or another one, takes nothing from this user and gets nothing from them.
            assert (await http.get("/accounts", headers=bearer("x"))).status_code == 401
            assert (await http.get("/accounts", headers=bearer(another))).status_code == 200
            exchange = {
                "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
                "subject_token": one,
                "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
                "audience": "github",
            }
            asked = await http.post(f"{url}/oauth/token", data=exchange)
            assert asked.json()["error"] == "interaction_required"
            clock.forward(seconds=10)
            assert (await http.get("/accounts", headers=bearer(one))).status_code == 200
            assert (await http.get("/accounts", headers=bearer(one))).status_code == 429


async def test_api_2_503_while_the_database_is_away(failing: World, script: httpx.AsyncClient) -> None:
    async with database_away(failing):
        for method, path, _ in CALLS:
            answer = await called(script, method, path, headers=bearer(token(failing)))
            check_problem(answer, 503, "temporarily_unavailable")
            assert retry_after(answer)
    assert (await script.get("/accounts")).status_code == 200


async def test_e1_what_cannot_be_written_is_not_decided(failing: World, url: str) -> None:
    """503 instead of the refusal, as at the token endpoint, and the refusal again once the log takes events."""
    poor, keys = bearer(token(failing, "none")), f"{url}/v1/keys"
    async with speaking(failing, url, Origin=SCRIPT) as http:
        async with Vault(failing) as vault:
            reading = bearer(await vault.operator_token("audit:read"))
        async with unwritable_log(failing):
            check_problem(await http.get("/accounts", headers=poor), 503, "temporarily_unavailable")
            at_v1 = await http.get(keys, headers=reading)
            assert (at_v1.status_code, at_v1.json()["status"]) == (503, 503)
            assert retry_after(at_v1)
        check_problem(await http.get("/accounts", headers=poor), 403, "insufficient_scope")
        assert (await http.get(keys, headers=reading)).status_code == 403


async def test_api_2_500_says_nothing_and_can_be_read_all_the_same(failing: World, url: str) -> None:
    async with App(failing) as user:
        account = await user.connect()
        # No vault has written this; it fails where the user is looked up, so in every call.
        damage = (
            r"UPDATE subjects SET sealed = sealed || '\x00' WHERE id = "
            "(SELECT subject_id FROM connections WHERE id = $1)"
        )
        await execute(failing, damage, UUID(account["id"]))
        async with speaking(failing, url, Origin=SCRIPT, **bearer(user.session_token)) as http:
            for method, path, _ in CALLS:
                problem = check_problem(answer := await called(http, method, path), 500, "server_error")
                assert problem["detail"] == "Something went wrong on our side."
                assert answer.headers["x-request-id"]


@pytest.mark.parametrize("origin", [SCRIPT, DEV])
async def test_api_2_cors_a_preflight_of_an_allowed_origin(failing: World, url: str, origin: str) -> None:
    """Every header that the calls take, a list to be kept for two hours, and no word of credentials."""
    async with speaking(failing, url, Origin=origin) as http:
        for method, path, _ in CALLS:
            asked = {"Access-Control-Request-Method": method, "Access-Control-Request-Headers": ",".join(TAKEN)}
            answer = await http.request("OPTIONS", path, headers=asked)
            assert (answer.status_code, answer.content) == (204, b"")
            assert method.lower() in listed(answer, "access-control-allow-methods")
            assert listed(answer, "access-control-allow-headers") == TAKEN
            assert answer.headers["access-control-max-age"] == "7200"
            assert {name: answer.headers.get(name) for name in EVERY_HEADER} == EVERY_HEADER
            check_readable(answer)


async def test_api_2_cors_exposes_the_etag_and_takes_it_back(script: httpx.AsyncClient) -> None:
    whole = await script.get("/accounts")
    check_readable(whole)
    same = await script.get("/accounts", headers={"If-None-Match": whole.headers["etag"]})
    assert same.status_code == 304
    check_readable(same)
    assert listed(same, "vary") == {"authorization", "origin"}


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "null",
        "https://app.example.com.evil.example",
        "https://sub.app.example.com",
        "http://app.example.com",
        "https://app.example.com:443",
        "https://app.example.com/",
        "https://APP.example.com",
        "https://app.example.com,https://evil.example",
        "http://localhost:5174",
        "*",
        "",
    ],
)
async def test_api_2_cors_any_other_origin_gets_what_it_would_get_without(
    failing: World, url: str, origin: str
) -> None:
    async with speaking(failing, url, Origin=origin, **bearer(token(failing))) as http:
        preflight = await http.request("OPTIONS", "/accounts", headers={"Access-Control-Request-Method": "GET"})
        assert preflight.status_code == 405
        for answer in (preflight, await http.get("/accounts"), await http.get("/nowhere")):
            assert not [name for name in answer.headers if name.startswith("access-control-")]
            # A cache must not hand it to a page that may read it, nor the other way round.
            assert "origin" in listed(answer, "vary")


async def test_api_2_cors_without_an_origin_or_with_two_there_is_none(failing: World, url: str) -> None:
    async with speaking(failing, url, **bearer(token(failing))) as http:
        twice = [("Origin", SCRIPT), ("Origin", SCRIPT)]
        for answer in (await http.get("/accounts"), await http.get("/accounts", headers=twice)):
            assert answer.status_code == 200
            assert not [name for name in answer.headers if name.startswith("access-control-")]
            assert "origin" in listed(answer, "vary")


@pytest.mark.parametrize(
    "path",
    [
        "/oauth/token",
        "/v1/audit/events",
        "/v1/connections",
        "/connections",
        "/auth/login",
        "/auth/connect/github",
        "/.well-known/jwks.json",
        f"{PREFIX}-more",
        "/me/v1",
    ],
)
async def test_api_2_cors_is_nowhere_else(failing: World, url: str, path: str) -> None:
    asked = {"Origin": SCRIPT, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "dpop"}
    async with loopback_http(base_url=url, timeout=30.0) as http:
        for method in ("OPTIONS", "GET", "POST"):
            answer = await http.request(method, path, headers=asked)
            assert not [name for name in answer.headers if name.startswith("access-control-")], method
