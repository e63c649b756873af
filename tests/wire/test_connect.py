"""The accounts API and the browser's way through a consent (api.md §2, security B1 to B6)."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import time
from collections.abc import Callable

import httpx
import pytest

from tests.wire.vault import App, Vault, consent, query_of, ticket_url
from vaultd.sandbox.browser import Browser
from vaultd.sandbox.faults import Fault
from vaultd.sandbox.provider import SandboxProvider
from vaultd.sandbox.world import World

VERIFIER = "a-verifier-of-forty-three-characters-or-more-x"
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()


async def _until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 15
    while not true():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


async def _callback_url(app: App, browser: Browser, provider: str = "github") -> str:
    """Consent, and stop just before the provider's answer reaches vaultd."""
    begun = await app.begin(provider)
    page = await consent(browser, ticket_url(begun))
    assert page.url.startswith(f"{app.world.places.vault}/auth/callback/{provider}?"), page.text
    return page.url


def _stopping(app: App) -> Browser:
    return app.browser(f"{app.world.places.vault}/auth/callback/")


def _sent_back(answers: list[httpx.Response]) -> list[str]:
    return [answer.headers["location"] for answer in answers if answer.status_code == 303]


async def test_the_whole_way(app: App) -> None:
    begun = await app.begin(scopes=["repo", "read:user"])
    body = begun.json()
    assert begun.status_code == 201
    assert set(body) == {"auth_session", "connect_uri", "connect_params", "expires_in"}
    assert 0 < body["expires_in"] <= 600
    assert begun.headers["cache-control"] == "no-store"
    came_back = await app.returned(begun)
    assert set(came_back) == {"connect_code", "state"}
    assert came_back["state"] == "app-state"
    assert (await app.http.get("accounts")).json() == {"accounts": []}
    made = await app.complete(begun, came_back["connect_code"])
    assert made.status_code == 201, made.text
    account = made.json()
    assert account["connection"] == "github"
    assert account["access_type"] == "offline"
    assert account["scopes"] == ["read:user", "repo"]
    (listed,) = (await app.http.get("accounts")).json()["accounts"]
    assert listed["id"] == account["id"]
    assert listed["status"] == "connected"
    assert listed["account"]


async def test_b1_a_ticket_is_good_once(app: App, vault: Vault) -> None:
    """For programs; what a person's second click does stands in `test_tickets`."""
    ticket = ticket_url(await app.begin())
    answers = await asyncio.gather(*(vault.http.get(ticket) for _ in range(10)))
    (location,) = _sent_back(answers)
    assert location.startswith(f"{app.world.places.providers['github']}/authorize?")
    assert query_of(location)["code_challenge_method"] == "S256"
    assert sorted({answer.status_code for answer in answers}) == [303, 400]


@pytest.mark.parametrize("query", ["", "?ticket=", "?ticket=x", "?ticket=%00", "?ticket=%ff", "?ticket=" + "x" * 5000])
async def test_a_bad_ticket_is_a_page_with_400(vault: Vault, query: str) -> None:
    assert (await vault.http.get(f"/auth/connect{query}")).status_code == 400


async def test_b1_a_callback_replayed_a_hundred_times_is_redeemed_once(app: App) -> None:
    provider = app.world.providers["github"]
    async with _stopping(app) as browser:
        url = await _callback_url(app, browser)
        before = provider.calls["redeem"]
        answers = await asyncio.gather(*(browser.http.get(url) for _ in range(100)))
    assert provider.calls["redeem"] - before == 1
    (location,) = _sent_back(answers)
    assert "connect_code" in query_of(location)
    assert sorted(answer.status_code for answer in answers) == [303] + [400] * 99


async def test_b2_a_callback_at_another_provider_is_refused(app: App) -> None:
    async with _stopping(app) as browser:
        url = await _callback_url(app, browser)
        calls = [provider.calls["redeem"] for provider in app.world.providers.values()]
        for other in ("slack", "google", "nowhere", "%00", "github%00", "..%2fgithub"):
            answer = await browser.http.get(url.replace("/callback/github", f"/callback/{other}"))
            assert answer.status_code in {400, 404}, other
        assert [provider.calls["redeem"] for provider in app.world.providers.values()] == calls
        # The attempt at the wrong place did not use it up.
        assert (await browser.http.get(url)).status_code == 303


async def test_b2_an_answer_of_another_issuer_is_an_error(app: App) -> None:
    async with _stopping(app) as browser:
        url = httpx.URL(await _callback_url(app, browser)).copy_set_param("iss", app.world.places.providers["slack"])
        before = app.world.providers["github"].calls["redeem"]
        (location,) = _sent_back([await browser.http.get(url)])
    assert query_of(location)["error"]
    assert app.world.providers["github"].calls["redeem"] == before


async def test_b1_a_callback_in_another_browser_is_refused(app: App) -> None:
    async with _stopping(app) as browser, Browser() as stranger:
        url = await _callback_url(app, browser)
        assert (await stranger.http.get(url)).status_code == 400
        await stranger.http.get(ticket_url(await app.begin("slack")))  # now it has a cookie, but not this one
        assert (await stranger.http.get(url)).status_code == 400
        assert (await browser.http.get(url)).status_code == 303


async def test_b3_completion_by_another_user_is_403_and_ends_the_grant(app: App, other_app: App, vault: Vault) -> None:
    begun = await app.begin()
    came_back = await app.returned(begun)
    family = app.world.providers["github"].grants.families[-1]
    assert family.alive
    stolen = await other_app.complete(begun, came_back["connect_code"])
    assert stolen.status_code == 403, stolen.text
    (event,) = await vault.events_of(stolen)
    assert (event["type"], event["decision"], event["reason"]) == ("connection.refused", "refused", "foreign")
    await _until(lambda: not family.alive)
    assert (await app.complete(begun, came_back["connect_code"])).status_code == 400
    for owner in (app, other_app):
        assert (await owner.http.get("accounts")).json() == {"accounts": []}


@pytest.mark.parametrize(
    "changes",
    [
        {"auth_session": "another"},
        {"redirect_uri": "https://evil.example/"},
        {"code_verifier": "wrong-but-long-enough-to-be-a-code-verifier-0"},
        {"code_verifier": None},
    ],
    ids=str,
)
async def test_b3_a_completion_that_differs_is_refused_and_ends_the_grant(app: App, changes: dict[str, str]) -> None:
    begun = await app.begin(code_challenge=CHALLENGE, code_challenge_method="S256")
    came_back = await app.returned(begun)
    family = app.world.providers["github"].grants.families[-1]
    refused = await app.complete(begun, came_back["connect_code"], **({"code_verifier": VERIFIER} | changes))
    assert refused.status_code == 400, refused.text
    await _until(lambda: not family.alive)
    again = await app.complete(begun, came_back["connect_code"], code_verifier=VERIFIER)
    assert again.status_code == 400


async def test_b3_the_right_verifier_completes_once(app: App) -> None:
    begun = await app.begin(code_challenge=CHALLENGE, code_challenge_method="S256")
    came_back = await app.returned(begun)
    answers = await asyncio.gather(
        *(app.complete(begun, came_back["connect_code"], code_verifier=VERIFIER) for _ in range(10))
    )
    assert sorted(answer.status_code for answer in answers) == [201] + [400] * 9


async def test_a_verifier_without_a_challenge_is_refused(app: App) -> None:
    """RFC 9700 §4.8: somebody may have taken the challenge out on the way."""
    begun = await app.begin()
    came_back = await app.returned(begun)
    refused = await app.complete(begun, came_back["connect_code"], code_verifier=VERIFIER)
    assert refused.status_code == 400, refused.text


@pytest.mark.parametrize("verifier", ["short", "x" * 129, "é" * 43, "a b" * 20, ""])
async def test_what_is_no_verifier_is_said_to_be_none(app: App, verifier: str) -> None:
    """RFC 7636 §4.1; one beyond ASCII was once a 500."""
    begun = await app.begin(code_challenge=CHALLENGE)
    came_back = await app.returned(begun)
    refused = await app.complete(begun, came_back["connect_code"], code_verifier=verifier)
    assert [error["field"] for error in refused.json()["validation_errors"]] == ["code_verifier"]


async def test_access_denied_comes_back_to_the_app(app: App) -> None:
    came_back = await app.returned(await app.begin(), decision="Deny")
    assert came_back["error"] == "access_denied"
    assert came_back["state"] == "app-state"
    assert came_back["error_description"]
    assert "connect_code" not in came_back


@pytest.fixture
def github(world: World) -> SandboxProvider:
    return world.providers["github"]


@pytest.mark.parametrize(
    "fault", ["down", "nonsense", "html", "empty", "truncated", "error_in_200", "slow_down", "drop"]
)
async def test_b6_a_provider_that_fails_at_the_token_step_comes_back_as_an_error(
    app: App, github: SandboxProvider, fault: Fault
) -> None:
    github.faults.token = fault
    try:
        came_back = await app.returned(await app.begin())
    finally:
        github.faults.clear()
    assert set(came_back) == {"error", "error_description", "state"}
    assert (await app.http.get("accounts")).json() == {"accounts": []}


async def test_b3_a_grant_whose_account_cannot_be_named_is_given_back(app: App, github: SandboxProvider) -> None:
    github.faults.userinfo = "down"
    try:
        came_back = await app.returned(await app.begin())
    finally:
        github.faults.clear()
    assert came_back["error"] == "temporarily_unavailable"
    await _until(lambda: not github.grants.families[-1].alive)


async def test_b6_fewer_scopes_granted_are_kept_as_granted(app: App, github: SandboxProvider, vault: Vault) -> None:
    github.withheld = type(github.withheld)(["repo"])
    try:
        account = await app.connect()
    finally:
        github.withheld = type(github.withheld)()
    assert account["scopes"] == ["read:user"]
    answer = await vault.exchange(app.session_token, scope="repo")
    assert (answer.json()["error"], answer.json()["reason"]) == ("interaction_required", "scope_missing")
