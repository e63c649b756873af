"""Providers that refuse what the real ones of their names refuse, in their words."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any

import pytest
import pytest_asyncio

from tests.unit.sandbox.conftest import (
    BASE,
    CALLBACK,
    CLIENT,
    CLIENT_SECRET,
    VERIFIER,
    HandClock,
    ProviderClient,
    make_provider,
)
from vaultd.sandbox.apis import CALENDAR_SCOPE
from vaultd.terms import Secret

Opened = Callable[[str], ProviderClient]
LONG_EMAIL = "https://www.googleapis.com/auth/userinfo.email"
SLACK_SCOPE = "channels:history"
OTHER = ("another-app", "the made-up secret of another app, long enough")
OFFLINE = {"access_type": "offline", "prompt": "consent"}
ASKED: Mapping[str, dict[str, str | None]] = {
    "github": {"scope": "repo read:user"},
    "google": {"scope": "openid email", **OFFLINE},
    "slack": {"scope": SLACK_SCOPE},
    "microsoft": {"scope": "openid offline_access"},
}
"""Requests with all that is needed."""


@pytest_asyncio.fixture
async def at(clock: HandClock) -> AsyncIterator[Opened]:
    async with AsyncExitStack() as stack:
        clients = {}
        for name in ASKED:
            apps = {CLIENT: Secret(CLIENT_SECRET), OTHER[0]: Secret(OTHER[1])}
            provider = make_provider(name=name, behaviour=None, clock=clock, issuer=BASE, clients=apps)
            clients[name] = client = ProviderClient(provider)
            await stack.enter_async_context(client.http)
            await stack.enter_async_context(client.browser)
        yield clients.__getitem__


async def granted(client: ProviderClient, **query: str | None) -> dict[str, Any]:
    back = await client.consent("Alice", "Allow", **query)
    body: dict[str, Any] = (await client.redeem(back["code"])).json()
    return body


@pytest.mark.parametrize(
    ("name", "scope", "status"), [("google", CALENDAR_SCOPE, 401), ("microsoft", "Mail.Read offline_access", 403)]
)
async def test_userinfo_refuses_a_token_without_an_identity_scope(
    at: Opened, name: str, scope: str, status: int
) -> None:
    token = (await granted(at(name), scope=scope))["access_token"]
    answer = await at(name).call("/userinfo", token)
    assert answer.status_code == status
    assert "alice" not in answer.text


@pytest.mark.parametrize("scope", ["openid", "email", "profile", LONG_EMAIL])
async def test_one_identity_scope_is_enough_for_google(at: Opened, scope: str) -> None:
    token = (await granted(at("google"), scope=f"{CALENDAR_SCOPE} {scope}"))["access_token"]
    assert (await at("google").call("/userinfo", token)).json()["sub"] == "google-1001"


async def test_userinfo_tells_what_its_scopes_are_for(at: Opened) -> None:
    token = (await granted(at("google"), scope="openid"))["access_token"]
    assert (await at("google").call("/userinfo", token)).json() == {"sub": "google-1001"}
    token = (await granted(at("google"), scope="email profile"))["access_token"]
    told = {"sub": "google-1001", "email": "alice@example.com", "name": "Alice"}
    assert (await at("google").call("/userinfo", token)).json() == told


async def test_no_identity_scope_is_wanted_by_github(at: Opened) -> None:
    token = (await granted(at("github"), scope="repo"))["access_token"]
    assert (await at("github").call("/userinfo", token)).json()["login"] == "alice"


@pytest.mark.parametrize("params", [{}, {"access_type": "online"}, {"prompt": "consent"}])
async def test_google_gives_a_refresh_token_for_offline_access_only(at: Opened, params: dict[str, str]) -> None:
    assert "refresh_token" not in await granted(at("google"), scope="openid", **params)


async def test_google_gives_another_refresh_token_only_when_consent_is_asked_for_again(at: Opened) -> None:
    once = {"scope": "openid", "access_type": "offline"}
    assert "refresh_token" in await granted(at("google"), **once)
    assert "refresh_token" not in await granted(at("google"), **once)
    assert "refresh_token" in await granted(at("google"), **once, prompt="consent")


async def test_microsoft_gives_a_refresh_token_for_offline_access_only_and_never_names_it(at: Opened) -> None:
    assert "refresh_token" not in await granted(at("microsoft"), scope="openid")
    body = await granted(at("microsoft"), scope="openid offline_access")
    assert body["refresh_token"]
    assert body["scope"] == "openid"


@pytest.mark.parametrize(
    ("name", "asked", "answered"),
    [
        ("google", f"openid email {CALENDAR_SCOPE}", f"{CALENDAR_SCOPE} {LONG_EMAIL} openid"),
        ("google", LONG_EMAIL, LONG_EMAIL),
        ("github", "repo read:user", "read:user,repo"),
        ("github", "user repo public_repo read:user read:repo_hook", "repo,user"),
        ("github", "admin:enterprise read:enterprise", "admin:enterprise"),
        ("slack", "users:read,channels:history", "channels:history,users:read"),
    ],
)
async def test_the_answer_spells_scopes_as_the_provider_does(at: Opened, name: str, asked: str, answered: str) -> None:
    body = await granted(at(name), scope=asked, **OFFLINE)
    assert body["scope"] == answered
    assert (await at(name).refresh(body["refresh_token"])).json()["scope"] == answered


async def test_scopes_between_commas_are_one_unknown_scope_at_google(at: Opened) -> None:
    body = await granted(at("google"), scope="openid,email")
    assert (await at("google").call("/userinfo", body["access_token"])).status_code == 401


@pytest.mark.parametrize("name", ASKED)
@pytest.mark.parametrize(
    "uri",
    [
        CALLBACK + "/",
        CALLBACK + "?x=1",
        CALLBACK.replace("https:", "http:"),
        CALLBACK.replace(".com", ".com:443"),
        CALLBACK.replace("vault", "Vault"),
        CALLBACK.replace("callback", "Callback"),
        CALLBACK.replace("/auth", "/x/../auth"),
        CALLBACK.replace("auth", "%61uth"),
        CALLBACK + "#x",
        "",
    ],
)
async def test_a_redirect_uri_is_the_registered_one_to_the_letter(at: Opened, name: str, uri: str) -> None:
    page = await at(name).browser.open(at(name).authorize_url(redirect_uri=uri))
    assert page.status == 400


async def test_no_redirect_uri_is_good_where_none_is_registered(clock: HandClock) -> None:
    client = ProviderClient(make_provider(clock=clock, redirect_uris=()))
    async with client.http, client.browser:
        assert (await client.browser.open(client.authorize_url())).status == 400


@pytest.mark.parametrize("name", ASKED)
async def test_a_code_is_good_once_and_its_replay_ends_what_it_brought(at: Opened, name: str) -> None:
    client = at(name)
    back = await client.consent("Alice", "Allow", **ASKED[name])
    body = (await client.redeem(back["code"])).json()
    assert (await client.redeem(back["code"])).json().get("access_token") is None
    assert (await client.refresh(body["refresh_token"])).json().get("access_token") is None
    assert "alice" not in (await client.call("/userinfo", body["access_token"])).text


@pytest.mark.parametrize("name", ASKED)
async def test_a_code_and_a_refresh_token_are_the_app_s_that_asked(at: Opened, name: str) -> None:
    client = at(name)
    back = await client.consent("Alice", "Allow", **ASKED[name])
    form = {"redirect_uri": CALLBACK, "code_verifier": VERIFIER, "code": back["code"]}
    answer = await client.http.post("/token", data={"grant_type": "authorization_code", **form}, auth=OTHER)
    assert answer.json().get("access_token") is None
    body = (await client.redeem(back["code"])).json()
    form = {"grant_type": "refresh_token", "refresh_token": body["refresh_token"]}
    assert (await client.http.post("/token", data=form, auth=OTHER)).json().get("access_token") is None
    assert (await client.refresh(body["refresh_token"])).json()["access_token"]


@pytest.mark.parametrize("name", ASKED)
async def test_a_code_has_an_end(at: Opened, name: str, clock: HandClock) -> None:
    back = await at(name).consent("Alice", "Allow", **ASKED[name])
    clock.forward(60)
    assert (await at(name).redeem(back["code"])).json().get("access_token") is None


@pytest.mark.parametrize("name", ASKED)
async def test_what_was_revoked_or_rotated_away_is_not_renewed(at: Opened, name: str) -> None:
    client = at(name)
    first = await granted(client, **ASKED[name])
    assert (await client.http.post("/revoke", data={"token": first["refresh_token"]})).status_code == 200
    assert (await client.refresh(first["refresh_token"])).json().get("access_token") is None
    second = await granted(client, **ASKED[name])
    third = (await client.refresh(second["refresh_token"])).json()
    assert (await client.refresh(second["refresh_token"])).json().get("access_token") is None
    assert (await client.refresh(third["refresh_token"])).json().get("access_token") is None, "nor anything of it"


@pytest.mark.parametrize("name", ASKED)
@pytest.mark.parametrize("missing", ["grant_type", "code", "redirect_uri", "refresh_token", "token"])
async def test_what_has_to_be_there_is_there(at: Opened, name: str, missing: str) -> None:
    """RFC 6749 §5.2, since no page names another word for it."""
    grant = "refresh_token" if missing == "refresh_token" else "authorization_code"
    form = {"grant_type": grant, "code": "c", "redirect_uri": CALLBACK, "code_verifier": VERIFIER, missing: ""}
    answer = await at(name).http.post("/revoke" if missing == "token" else "/token", data=form)
    assert answer.json()["error"] == "invalid_request"
    assert answer.json().get("ok", False) is False
    assert (name == "slack") is ("ok" in answer.json())


@pytest.mark.parametrize("name", ASKED)
@pytest.mark.parametrize("twice", ["scope", "response_type", "code_challenge"])
async def test_a_parameter_that_comes_twice_is_sent_back(at: Opened, name: str, twice: str) -> None:
    """RFC 6749 §3.1."""
    url = at(name).authorize_url(**ASKED[name])
    page = await at(name).browser.open(f"{url}&{twice}=again")
    assert page.url.startswith(CALLBACK + "?")
    assert "error=invalid_request" in page.url


@pytest.mark.parametrize("name", ASKED)
@pytest.mark.parametrize("twice", ["client_id", "redirect_uri", "state"])
async def test_nobody_is_sent_where_two_things_are_said(at: Opened, name: str, twice: str) -> None:
    url = at(name).authorize_url(**ASKED[name])
    value = {"client_id": CLIENT, "redirect_uri": CALLBACK, "state": "s"}[twice]
    page = await at(name).browser.open(f"{url}&{twice}={value}")
    assert (page.status, page.url.startswith(BASE)) == (400, True)


@pytest.mark.parametrize("name", ASKED)
@pytest.mark.parametrize("verifier", ["w" * 64, ""])
async def test_a_code_needs_its_verifier(at: Opened, name: str, verifier: str) -> None:
    back = await at(name).consent("Alice", "Allow", **ASKED[name])
    assert "access_token" not in (await at(name).redeem(back["code"], code_verifier=verifier)).json()


@pytest.mark.parametrize(
    ("name", "status", "error"),
    [("github", 200, "bad_verification_code"), ("google", 400, "invalid_grant"), ("slack", 200, "invalid_code")],
)
async def test_a_bad_code_is_refused_in_the_provider_s_words(at: Opened, name: str, status: int, error: str) -> None:
    answer = await at(name).redeem("no code")
    assert (answer.status_code, answer.json()["error"]) == (status, error)
    assert answer.json().get("ok", False) is False


@pytest.mark.parametrize(
    ("name", "status", "body"),
    [
        (
            "github",
            200,
            {
                "error": "bad_refresh_token",
                "error_description": "The refresh token passed is incorrect or expired.",
            },
        ),
        ("google", 400, {"error": "invalid_grant", "error_description": "Token has been expired or revoked."}),
        ("slack", 200, {"ok": False, "error": "invalid_refresh_token"}),
    ],
)
async def test_a_dead_refresh_token_is_refused_in_the_provider_s_words(
    at: Opened, name: str, status: int, body: dict[str, Any]
) -> None:
    answer = await at(name).refresh("no token")
    assert (answer.status_code, answer.json()) == (status, body)


async def test_microsoft_says_by_a_number_why_a_grant_is_dead(at: Opened) -> None:
    answer = await at("microsoft").refresh("no token")
    assert (answer.status_code, answer.json()["error"], answer.json()["error_codes"]) == (400, "invalid_grant", [50173])


@pytest.mark.parametrize(
    ("name", "auth", "status", "error"),
    [
        ("github", (CLIENT, "guess"), 200, "incorrect_client_credentials"),
        ("github", ("stranger", "guess"), 200, "incorrect_client_credentials"),
        ("google", (CLIENT, "guess"), 401, "invalid_client"),
        ("slack", (CLIENT, "guess"), 200, "bad_client_secret"),
        ("slack", ("stranger", "guess"), 200, "invalid_client_id"),
    ],
)
async def test_an_app_is_refused_in_the_provider_s_words(
    at: Opened, name: str, auth: tuple[str, str], status: int, error: str
) -> None:
    form = {"grant_type": "refresh_token", "refresh_token": "any"}
    answer = await at(name).http.post("/token", data=form, auth=auth)
    assert (answer.status_code, answer.json()["error"]) == (status, error)


async def test_another_redirect_uri_beside_a_code_is_refused_in_the_provider_s_words(at: Opened) -> None:
    for name, error in {"github": "redirect_uri_mismatch", "slack": "bad_redirect_uri"}.items():
        back = await at(name).consent("Alice", "Allow", **ASKED[name])
        answer = await at(name).redeem(back["code"], redirect_uri=CALLBACK + "/")
        assert (answer.status_code, answer.json()["error"]) == (200, error)


async def test_slack_says_of_each_answer_whether_it_is_a_good_one(at: Opened) -> None:
    body = await granted(at("slack"), scope=SLACK_SCOPE)
    assert (body["ok"], body["token_type"]) == (True, "bot")
    assert (await at("slack").call("/userinfo", body["access_token"])).json()["ok"] is True
    refused = await at("slack").call("/userinfo", "guess")
    assert (refused.status_code, refused.json()) == (200, {"ok": False, "error": "invalid_auth"})
    unknown = await at("slack").http.post("/token", data={"grant_type": "password"})
    assert unknown.json() == {"ok": False, "error": "invalid_grant_type"}
