"""The oddities of single providers that issue 5 §2 names, each at the double of that provider."""

from __future__ import annotations

import asyncio
import base64

import pytest

from tests.doubles.acting import (
    ENTRIES,
    SHORT,
    begin,
    connect,
    consented,
    disconnected,
    exchange,
    exchanged,
    token_in,
)
from tests.doubles.documented import FORM
from tests.doubles.provider import ProviderDouble
from tests.doubles.stage import APP_AT_PROVIDER, ASSUMED_LIFE, Stage


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("github", "invalid_grant"),  # 200 with error=bad_verification_code
        ("github-app", "invalid_client"),  # 200 with error=incorrect_client_credentials
        ("slack", "invalid_auth"),  # 200 with ok: false
        ("slack-user", "invalid_auth"),
        ("microsoft", "invalid_scope"),
        ("linkedin", "invalid_grant"),  # 401 with invalid_request
        ("airtable", "invalid_grant"),
        ("reddit", "invalid_grant"),
        ("stripe", "invalid_grant"),
    ],
)
async def test_an_error_in_place_of_the_tokens(stage: Stage, double: ProviderDouble, name: str, word: str) -> None:
    """The app is told, whatever the status was, and nobody is asked who it is with a token that is none."""
    double.instead["token"] = "token_error"
    async with stage.app() as app:
        came_back = await consented(app, await begin(app, name))
        assert came_back["error"] == word
        assert "connect_code" not in came_back
        assert (await app.http.get("accounts")).json() == {"accounts": []}
    assert [asked.step for asked in double.asked] == ["authorization", "token"]
    assert double.complaints == []


@pytest.mark.parametrize("name", ["github"])
async def test_github_answers_with_a_form_and_its_token_has_no_end(
    stage: Stage, double: ProviderDouble, name: str
) -> None:
    assert double.answers["token"].content_type == FORM
    async with stage.app() as app:
        await connect(app, name)
        first, second = [await exchanged(stage, app, name) for _ in range(2)]
    assert first["scope"] == "gist repo", "asked for with spaces, answered with commas"
    assert (first["access_token"], first["expires_in"]) == (second["access_token"], ASSUMED_LIFE)
    assert double.of("refresh") == []


@pytest.mark.parametrize("name", ["slack"])
async def test_slack_nests_the_persons_token_beside_the_bots(stage: Stage, double: ProviderDouble, name: str) -> None:
    """One documented answer has both; each entry takes its own."""
    person = stage.doubles["slack-user"]
    person.reset()
    assert person.answers["token"].members() == double.answers["token"].members()
    async with stage.app() as app:
        await connect(app, "slack")
        await connect(app, "slack-user")
        assert (await exchanged(stage, app, "slack"))["access_token"] == "xoxb-made-up-bot-token"
        assert (await exchanged(stage, app, "slack-user"))["access_token"] == "xoxp-made-up-user-token"


@pytest.mark.parametrize("name", ["slack", "slack-user"])
async def test_slack_without_token_rotation_has_tokens_that_never_expire(
    stage: Stage, double: ProviderDouble, name: str
) -> None:
    """No life and no refresh token came: nothing ends, and nothing is refreshed."""
    assert not {"expires_in", "refresh_token"} & double.answers["token"].members().keys()
    async with stage.app() as app:
        account = await connect(app, name)
        assert "expires_at" not in account
        await asyncio.sleep(ASSUMED_LIFE - 60 + 0.1)
        body = await exchanged(stage, app, name)
        (listed,) = (await app.http.get("accounts")).json()["accounts"]
    assert (body["access_token"], body["expires_in"]) == (token_in(name, "token"), ASSUMED_LIFE)
    assert listed["status"] == "connected"
    assert double.of("refresh") == []


@pytest.mark.parametrize("name", ["slack-user"])
async def test_a_persons_refresh_is_answered_at_the_top_and_rotates(
    stage: Stage, double: ProviderDouble, name: str
) -> None:
    """Slack's answer at consent nests the person's token, the one to a refresh does not."""
    assert "authed_user" not in double.answers["refresh"].members()
    double.life = double.next_life = SHORT
    double.instead["token"] = "token_with_rotation"
    async with stage.app() as app:
        await connect(app, name)
        bodies = [await exchanged(stage, app, name) for _ in range(2)]
    assert [body["access_token"] for body in bodies] == ["xoxe.xoxp-1-made-up-user-token"] * 2
    assert {body["connection_metadata"]["user_id"] for body in bodies} == {"U0MADEUPU"}
    used = [asked.params["refresh_token"] for asked in double.of("refresh")]
    assert used == ["xoxe-1-made-up-user-refresh-0", "xoxe-1-made-up-user-refresh"]


@pytest.mark.parametrize("name", ["github"])
async def test_a_life_that_comes_is_honoured_where_tokens_have_none(
    stage: Stage, double: ProviderDouble, name: str
) -> None:
    """`expires = false`, and GitHub's answer to an OAuth App whose tokens were made to expire."""
    assert ENTRIES[name]["expires"] is False
    double.instead["token"], double.life = "refresh", SHORT
    async with stage.app() as app:
        await connect(app, name)
        body = await exchanged(stage, app, name)
    assert body["access_token"] == token_in(name, "refresh")
    assert 28790 < body["expires_in"] <= 28800
    (asked,) = double.of("refresh")
    assert asked.params["refresh_token"] == "ghr_MadeUpRefresh1111111111111111"


@pytest.mark.parametrize("name", ["salesforce"])
async def test_a_kept_refresh_token_renews_a_token_that_came_with_neither(
    stage: Stage, double: ProviderDouble, name: str
) -> None:
    """A second consent without refresh token or life: the first's refresh token is there, so a life is assumed."""
    async with stage.app() as app:
        await connect(app, name)
        double.without = frozenset({"refresh_token"})
        await connect(app, name)
        await asyncio.sleep(ASSUMED_LIFE - 60 + 0.1)
        body = await exchanged(stage, app, name)
    assert body["access_token"] == token_in(name, "refresh")
    (asked,) = double.of("refresh")
    assert asked.params["refresh_token"] == token_in(name, "token", "refresh_token")


@pytest.mark.parametrize("name", ["google"])
async def test_google_gives_no_refresh_token_at_the_second_consent(
    stage: Stage, double: ProviderDouble, name: str
) -> None:
    """The first one stays good, and serves the renewed grant."""
    async with stage.app() as app:
        first = await connect(app, name)
        double.life, double.without = SHORT, frozenset({"refresh_token"})
        second = await connect(app, name)
        assert first["id"] == second["id"]
        body = await exchanged(stage, app, name)
    assert body["access_token"] == "ya29.MadeUpSecondTokenOfNobody"
    (asked,) = double.of("refresh")
    assert asked.params["refresh_token"] == "1//MadeUpRefreshOfNobody"
    for consent in double.of("authorization"):
        assert (consent.params["access_type"], consent.params["prompt"]) == ("offline", "consent")


@pytest.mark.parametrize(
    ("name", "used"),
    [
        ("microsoft", ["MadeUpRefreshOfNobody", "MadeUpSecondRefreshOfNobody"]),  # each refresh brings another
        ("atlassian", ["made-up-refresh-0000", "made-up-refresh-1111"]),
        ("google", ["1//MadeUpRefreshOfNobody", "1//MadeUpRefreshOfNobody"]),  # the answer has none: keep the first
        ("dropbox", ["made-up-refresh-0000", "made-up-refresh-0000"]),
        ("hubspot", ["made-up-refresh-0000", "made-up-refresh-0000"]),  # the same once more
    ],
)
async def test_the_newest_refresh_token_is_used(
    stage: Stage, double: ProviderDouble, name: str, used: list[str]
) -> None:
    double.life = double.next_life = SHORT
    async with stage.app() as app:
        await connect(app, name)
        for _ in used:
            assert (await exchanged(stage, app, name))["access_token"] == token_in(name, "refresh")
    assert [asked.params["refresh_token"] for asked in double.of("refresh")] == used


@pytest.mark.parametrize("name", ["microsoft"])
async def test_a_refusal_that_says_nothing_about_the_grant_leaves_it_alive(
    stage: Stage, double: ProviderDouble, name: str
) -> None:
    """C4: the token is good for half a minute still, so it is served."""
    double.life, double.instead["refresh"] = SHORT, "token_error"
    async with stage.app() as app:
        await connect(app, name)
        body = await exchanged(stage, app, name)
        assert body["access_token"] == token_in(name, "token")
        assert 0 < body["expires_in"] <= SHORT
        (account,) = (await app.http.get("accounts")).json()["accounts"]
    assert account["status"] == "connected"
    assert len(double.of("refresh")) == 1


@pytest.mark.parametrize("name", ["salesforce"])
async def test_salesforce_names_no_life(stage: Stage, double: ProviderDouble, name: str) -> None:
    """The token is taken to live `assumed_ttl`, and then renewed; calls go to the instance in the metadata."""
    assert "expires_in" not in double.answers["token"].members()
    async with stage.app() as app:
        await connect(app, name)
        first = await exchanged(stage, app, name)
        assert ASSUMED_LIFE - 3 <= first["expires_in"] <= ASSUMED_LIFE
        await asyncio.sleep(ASSUMED_LIFE - 60 + 0.1)
        second = await exchanged(stage, app, name)
    assert (first["access_token"], second["access_token"]) == (
        "00DMADEUP!made-up-token-0000",
        "00DMADEUP!made-up-token-1111",
    )
    assert second["connection_metadata"]["instance_url"] == "https://made-up.my.salesforce.com"


@pytest.mark.parametrize("name", ["notion"])
async def test_notion_wants_its_version_named(stage: Stage, double: ProviderDouble, name: str) -> None:
    async with stage.app() as app:
        await connect(app, name)
    assert double.of("token")[0].headers["notion-version"] == "2025-09-03"
    assert double.of("authorization")[0].params["owner"] == "user"


@pytest.mark.parametrize(
    ("name", "method", "scheme", "body"),
    [
        ("dropbox", "POST", "Bearer", {}),
        ("linear", "POST", "Bearer", {"query": "{ viewer { id name } }"}),
        ("monday", "POST", "Bearer", {"query": "query { me { id name email account { id slug } } }"}),
        ("twitch", "GET", "OAuth", {}),
        ("zendesk", "GET", "Bearer", {}),
    ],
)
async def test_how_the_account_is_asked_for(  # noqa: PLR0917 - the columns of the table
    stage: Stage, double: ProviderDouble, name: str, method: str, scheme: str, body: dict[str, str]
) -> None:
    async with stage.app() as app:
        await connect(app, name)
    (asked,) = double.of("userinfo")
    assert (asked.method, dict(asked.params)) == (method, body)
    assert asked.headers["authorization"] == f"{scheme} {token_in(name, 'token')}"


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("auth0", {"client_id", "client_secret", "token"}),
        ("calendly", {"client_id", "client_secret", "token"}),
        ("notion", {"token"}),
        ("quickbooks", {"token"}),
        ("stripe", {"client_id", "stripe_user_id"}),
        ("twitch", {"client_id", "token"}),
        ("zendesk", set()),
    ],
)
async def test_a_revocation_carries_what_its_page_lists_and_no_more(
    stage: Stage, double: ProviderDouble, name: str, params: set[str]
) -> None:
    async with stage.app() as app:
        account = await connect(app, name)
        ended = await disconnected(stage, app, account["id"], name)
    assert ended.get("reason") is None
    assert double.of("revocation")
    for asked in double.of("revocation"):
        assert asked.params.keys() == params


@pytest.mark.parametrize("name", ["stripe"])
async def test_stripe_is_told_the_account_by_the_platforms_key(stage: Stage, double: ProviderDouble, name: str) -> None:
    """The key is the user of Basic, without a password; the account is that of the metadata."""
    async with stage.app() as app:
        account = await connect(app, name)
        await disconnected(stage, app, account["id"], name)
    (asked,) = double.of("revocation")
    key = base64.b64decode(asked.headers["authorization"].removeprefix("Basic ")).decode()
    assert key == f"{APP_AT_PROVIDER[1]}:"
    assert asked.params == {"client_id": APP_AT_PROVIDER[0], "stripe_user_id": "acct_MadeUp0000000001"}
    assert double.of("refresh") == []


@pytest.mark.parametrize("name", ["zendesk"])
async def test_zendesk_is_told_the_scopes_with_the_code_and_answers_201(
    stage: Stage, double: ProviderDouble, name: str
) -> None:
    assert double.answers["token"].status == double.answers["refresh"].status == 201
    double.life = SHORT
    async with stage.app() as app:
        await connect(app, name)
        body = await exchanged(stage, app, name)
    assert body["access_token"] == token_in(name, "refresh")
    assert double.of("token")[0].params["scope"] == double.of("authorization")[0].params["scope"] == "read"


@pytest.mark.parametrize("name", ["twitch"])
async def test_twitch_hands_out_the_apps_id_that_its_api_wants_named(
    stage: Stage, double: ProviderDouble, name: str
) -> None:
    """Calls to its API carry it in the header Client-Id."""
    async with stage.app() as app:
        await connect(app, name)
        body = await exchanged(stage, app, name)
    assert double.complaints == []
    assert body["connection_metadata"] == {"app_client_id": APP_AT_PROVIDER[0]}


@pytest.mark.parametrize(
    ("name", "host"),
    [
        ("auth0", "acme.eu.auth0.com"),
        ("okta", "acme.okta.com"),
        ("shopify", "my-shop.myshopify.com"),
        ("zendesk", "acme.zendesk.com"),
    ],
)
async def test_c0_a_connection_setting_chooses_the_place_and_nothing_else(
    stage: Stage, double: ProviderDouble, name: str, host: str
) -> None:
    async with stage.app() as app:
        await connect(app, name)
    assert {asked.host for asked in double.asked} == {host}


@pytest.mark.parametrize("name", ["atlassian"])
async def test_an_ended_grant_is_asked_for_once_and_no_more(stage: Stage, double: ProviderDouble, name: str) -> None:
    """Its 403 with `invalid_grant` is as final as the 400 of RFC 6749 §5.2."""
    double.life, double.instead["refresh"] = SHORT, "refresh_error"
    async with stage.app() as app:
        await connect(app, name)
        for _ in range(2):
            answer = await exchange(stage, app, name)
            assert answer.json()["reason"] == "reconnect_required"
    assert len(double.of("refresh")) == 1
