"""GitHub's scoped tokens: of a GitHub App's token, one for some repositories and permissions (A7, issue 5 item 5)."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from tests.doubles.acting import SHORT, connect, disconnected, exchanged, token_in
from tests.doubles.provider import ProviderDouble
from tests.doubles.stage import APP_AT_PROVIDER, PERMISSIONS, Stage
from tests.wire.vault import App

NAME = "github-app"
SCOPED = "ghu_MadeUpScopedTokenOfNobody000000000"
CARRIES = "contents:read issues:write metadata:read"
"""What the documented answer says; metadata:read comes along by itself."""


@pytest.fixture
def name() -> str:
    return NAME


async def ask(stage: Stage, app: App, agent: str = "narrow-agent", **changes: str) -> httpx.Response:
    async with stage.vault(agent) as vault:
        return await vault.exchange(app.session_token, audience=NAME, **changes)


async def given(stage: Stage, app: App, agent: str = "narrow-agent", **changes: str) -> dict[str, Any]:
    answer = await ask(stage, app, agent, **changes)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def reason_of(stage: Stage, answer: httpx.Response) -> str:
    async with stage.vault() as vault:
        (event,) = await vault.events_of(answer)
    return str(event["reason"])


async def test_a7_a_client_with_narrow_gets_no_more_than_that(stage: Stage, double: ProviderDouble) -> None:
    async with stage.app() as app:
        await connect(app, NAME)
        assert "scope" not in double.of("authorization")[0].params, "a GitHub App has no scopes to ask for"
        body = await given(stage, app)
        again = await given(stage, app)
        whole = await exchanged(stage, app, NAME)
    assert (body["access_token"], body["scope"], body["account"]) == (SCOPED, CARRIES, "ada")
    assert 28_000 < body["expires_in"] <= 28_800
    assert again["access_token"] == SCOPED
    assert (whole["access_token"], whole["scope"]) == (token_in(NAME, "token"), "")
    (asked,) = double.of("narrowing")
    assert (asked.method, asked.way, asked.host) == ("POST", "basic json", "api.github.com")
    assert asked.basic == APP_AT_PROVIDER
    assert asked.params == {
        "access_token": token_in(NAME, "token"),
        "target": "acme",
        "repositories": ["api", "web"],
        "permissions": PERMISSIONS,
    }
    assert double.complaints == []


async def test_a7_a_request_may_ask_for_less_and_each_is_kept_by_itself(stage: Stage, double: ProviderDouble) -> None:
    async with stage.app() as app:
        await connect(app, NAME)
        for scope in ("contents:read", "issues:write contents:read", "contents:read"):
            await given(stage, app, scope=scope)
    permissions = [asked.params["permissions"] for asked in double.of("narrowing")]
    assert permissions == [{"contents": "read"}, PERMISSIONS]


@pytest.mark.parametrize("scope", ["contents:write", "issues:read", "metadata:read", "acme/web"])
async def test_a7_what_the_entry_does_not_say_is_not_asked_for(
    stage: Stage, double: ProviderDouble, scope: str
) -> None:
    """Compared letter by letter: whether one level includes another is GitHub's to know."""
    async with stage.app() as app:
        await connect(app, NAME)
        answer = await ask(stage, app, scope=scope)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_scope")
    assert double.of("narrowing") == []


async def test_a7_a_token_that_came_wider_does_not_leave(stage: Stage, double: ProviderDouble) -> None:
    """The documented answer may write issues, and this client may not."""
    async with stage.app() as app:
        await connect(app, NAME)
        answers = [await ask(stage, app, "reading-agent") for _ in range(2)]
    assert {(one.status_code, one.json()["error"]) for one in answers} == {(400, "invalid_scope")}
    assert [await reason_of(stage, one) for one in answers] == ["wider_grant"] * 2
    (asked,) = double.of("narrowing")
    assert "repositories" not in asked.params


async def test_a7_what_github_refuses_is_refused_and_the_whole_token_does_not_leave(
    stage: Stage, double: ProviderDouble
) -> None:
    double.instead["narrowing"] = "narrowing_invalid"
    async with stage.app() as app:
        await connect(app, NAME)
        answer = await ask(stage, app)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_scope")
        assert await reason_of(stage, answer) == "narrowing_refused"
        assert token_in(NAME, "token") not in answer.text


async def test_c5_many_at_once_ask_github_once(stage: Stage, double: ProviderDouble) -> None:
    async with stage.app() as app:
        await connect(app, NAME)
        bodies = await asyncio.gather(*(given(stage, app) for _ in range(20)))
    assert {body["access_token"] for body in bodies} == {SCOPED}
    assert len(double.of("narrowing")) == 1


async def test_a_stored_token_that_is_stale_is_renewed_first_and_what_was_got_with_it_is_forgotten(
    stage: Stage, double: ProviderDouble
) -> None:
    double.life = SHORT
    async with stage.app() as app:
        await connect(app, NAME)
        await given(stage, app)
        assert len(double.of("refresh")) == 1
        # Renewed for somebody else: what was got with the token before is not served any more.
        double.reset()
        double.life = double.next_life = SHORT
        await connect(app, NAME)
        await exchanged(stage, app, NAME)
        await given(stage, app)
    tokens = [asked.params["access_token"] for asked in double.of("narrowing")]
    assert tokens == [token_in(NAME, "refresh")]


async def test_a7_it_ends_no_later_than_the_token_it_was_got_with(stage: Stage, double: ProviderDouble) -> None:
    double.life = 600
    async with stage.app() as app:
        await connect(app, NAME)
        body = await given(stage, app)
    assert 590 < body["expires_in"] <= 600
    assert double.of("refresh") == []


async def test_c3_where_github_knows_the_stored_token_no_more_the_refresh_decides(
    stage: Stage, double: ProviderDouble
) -> None:
    double.instead["narrowing"] = "narrowing_not_found"
    async with stage.app() as app:
        await connect(app, NAME)
        # The refresh brings another token, which GitHub does not take either, although it says whose it is.
        answer = await ask(stage, app)
        assert (answer.status_code, answer.json()["error"]) == (503, "temporarily_unavailable")
        assert await reason_of(stage, answer) == "provider_invalid_token"
        assert len(double.of("refresh")) == 1
        double.instead["refresh"] = "refresh_error"
        ended = await ask(stage, app)
    assert (ended.status_code, ended.json()["reason"]) == (400, "reconnect_required")


async def test_c7_it_is_given_back_with_its_grant(stage: Stage, double: ProviderDouble) -> None:
    async with stage.app() as app:
        account = await connect(app, NAME)
        await given(stage, app)
        await disconnected(stage, app, account["id"], NAME)
        async with asyncio.timeout(15):
            while SCOPED not in [asked.params["access_token"] for asked in double.of("revocation")]:
                await asyncio.sleep(0.05)
        refused = await ask(stage, app)
    assert (refused.status_code, refused.json()["reason"]) == (400, "reconnect_required")


async def test_a_scoped_token_that_the_api_refused_is_got_anew_and_costs_no_refresh_token(
    stage: Stage, double: ProviderDouble
) -> None:
    async with stage.app() as app:
        await connect(app, NAME)
        await given(stage, app)
        # What is documented is always the same token, so GitHub is asked once, and there is no other.
        for _ in range(3):
            assert (await given(stage, app, refused_token=SCOPED))["access_token"] == SCOPED
        async with stage.vault() as vault:
            page = await vault.audit(type="token.refreshed", subject_issuer=app.world.places.issuer, subject=app.user)
        assert [event.get("client_id") for event in page["events"]] == ["narrow-agent", None], "who caused it"
        whole = await exchanged(stage, app, NAME)
        await given(stage, app, refused_token=whole["access_token"])
    assert len(double.of("narrowing")) == 2
    assert double.of("refresh") == []
