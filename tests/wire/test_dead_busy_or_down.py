"""What a provider's answer to a refresh means, each grant for itself: dead, busy, refused as an app, down, unknown."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import httpx
import pytest

from tests.doubles.own_words import Words
from tests.wire.words import Town, until
from vaultd.audit.events import rfc3339
from vaultd.refresh.patience import ENOUGH

JIRA = Words(403, {"error": "unauthorized_client", "error_description": "refresh_token is invalid"})
STRAVA = Words(
    400,
    {"message": "Bad Request", "errors": [{"resource": "RefreshToken", "field": "refresh_token", "code": "invalid"}]},
)
BUSY = Words(400, {"error": "invalid_grant", "error_description": "token request is already being processed"})
UNKNOWN = {
    "access_denied": Words(400, {"error": "access_denied", "error_description": "status_inactive"}),
    "1234": Words(401, {"error": 1234, "message": "Token is not valid"}),
    "invalid_request": Words(
        400, {"error": "invalid_request", "error_description": "refresh token is expired"}, {"retry-after": "0"}
    ),
    "unknown_error": Words(400, {"error": ["invalid_grant"]}),
    "http_403": Words(403, {"code": "made_up"}),
    "http_422": Words(422, "no JSON at all"),
    "http_401": Words(401, b"", {"www-authenticate": 'Bearer error="invalid_grant"'}),
    # Some refuse under 200, with members of their own.
    "no_token": Words(200, {"access_token": None, "errcode": 40030, "errmsg": "invalid refresh_token"}),
}


@pytest.fixture(autouse=True)
def well(town: Town) -> None:
    for provider in town.at.values():
        provider.reset()


async def test_three_dead_grants_do_not_pause_a_fourth_user(town: Town) -> None:
    async with town.app() as one, town.app() as two, town.app() as three, town.app() as good:
        dead = [await town.connected(app, "jira") for app in (one, two, three)]
        await town.connected(good, "jira")
        for granted in dead:
            granted.says = [JIRA]
        for _ in range(6):
            answers = await asyncio.gather(*(town.exchange(app, "jira") for app in (one, two, three, good)))
            assert [answer.status_code for answer in answers] == [400, 400, 400, 200]
            assert {answer.json()["reason"] for answer in answers[:3]} == {"reconnect_required"}
            town.clock.forward(seconds=0.5)
        assert [len(granted.asked) for granted in dead] == [1, 1, 1]
        assert [event["reason"] for event in await town.events(one, "connection.broken")] == ["invalid_grant"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("jira", JIRA),
        ("strava", STRAVA),
        ("own", Words(400, {"error": "login_required"})),
        ("own", Words(200, {"access_token": None, "error": {"code": "invalid_grant", "message": "Expired."}})),
        ("own", Words(400, b"error=invalid_grant", {"content-type": "application/x-www-form-urlencoded"})),
        ("own", Words(400, b'\xef\xbb\xbf{"error": "invalid_grant"}')),
        ("own", Words(400, '{"error": "invalid_grant"}'.encode("utf-16"))),
    ],
)
async def test_a_dead_grant_in_its_providers_own_words_is_final(town: Town, name: str, words: Words) -> None:
    async with town.app() as app:
        (await town.connected(app, name)).says = [words]
        answer = await town.exchange(app, name)
        assert (answer.status_code, answer.json()["reason"]) == (400, "reconnect_required")
        assert (await town.account(app))["status"] == "reconnect_required"


async def test_a_wrong_app_in_stravas_words_is_not_a_dead_grant(town: Town) -> None:
    async with town.app() as app:
        granted = await town.connected(app, "strava")
        granted.says = [
            Words(400, {"errors": [{"resource": "Application", "field": "client_id", "code": "invalid"}]}),
            Words(200, {}),
        ]
        town.clock.forward(seconds=31)
        assert (await town.exchange(app, "strava")).status_code == 503
        assert (await town.exchange(app, "strava")).status_code == 200


@pytest.mark.parametrize("words", [BUSY, Words(400, {"error": "invalid_grant", "error_description": "expired"})])
async def test_a_grant_that_was_busy_once_is_served(town: Town, words: Words) -> None:
    """At Salesforce, whose words for it are known or not: the first one that sounds final is asked about again."""
    town.at["salesforce"].renewed = {"expires_in": 300}
    async with town.app() as app:
        granted = await town.connected(app, "salesforce")
        granted.says = [words, Words(200, {})]
        town.clock.forward(seconds=31)
        answers = [await town.exchange(app, "salesforce") for _ in range(2)]
        assert answers[-1].status_code == 200
        assert answers[-1].json()["access_token"] == granted.access[-1]
        assert (len(granted.asked), (await town.account(app))["status"]) == (2, "connected")


async def test_a_first_no_is_asked_about_again_where_nothing_rotates(town: Town) -> None:
    async with town.app() as app:
        granted = await town.connected(app, "never")
        granted.says = [Words(400, {"error": "invalid_grant"}), Words(200, {})]
        town.clock.forward(seconds=31)
        assert (await town.exchange(app, "never")).json()["access_token"] == granted.access[-1]
        granted.says = [Words(400, {"error": "invalid_grant"})]
        town.clock.forward(seconds=31)
        assert (await town.exchange(app, "never")).json()["reason"] == "reconnect_required"


@pytest.mark.parametrize("said", [None, 0, -1, "0", "soon", 1e22])
async def test_a_life_that_was_said_once_holds_for_what_is_renewed(town: Town, said: object) -> None:
    town.at["own"].token, town.at["own"].renewed = {"expires_in": 3}, {"expires_in": said}
    async with town.app() as app:
        granted = await town.connected(app, "own")
        for times in range(1, 4):
            town.clock.forward(seconds=4)
            answer = await town.exchange(app, "own")
            assert (answer.status_code, answer.json()["expires_in"]) == (200, 3)
            assert (answer.json()["access_token"], len(granted.asked)) == (granted.access[-1], times)


@pytest.mark.parametrize("said", [None, 0, "0"])
async def test_a_life_that_was_said_once_holds_for_a_token_of_fewer_scopes(town: Town, said: object) -> None:
    narrowing = town.at["narrowing"]
    narrowing.token, narrowing.renewed = {"scope": "read write", "expires_in": 300}, {"expires_in": said}
    async with town.app() as app:
        granted = await town.connected(app, "narrowing")
        for times in range(1, 4):
            answer = (await town.exchange(app, "narrowing")).json()
            assert (answer["scope"], answer["expires_in"]) == ("read", 300)
            assert (answer["access_token"], len(granted.asked)) == (granted.access[-1], times)
            town.clock.forward(seconds=299)


@pytest.mark.parametrize("refresh_token", [{}, {"refresh_token": None}])
@pytest.mark.parametrize("said", [0, -1, "0"])
async def test_a_token_that_came_with_no_life_at_all_is_served(
    town: Town, said: object, refresh_token: dict[str, Any]
) -> None:
    """Some write so that it does not end. Nobody issues tokens that are over."""
    town.at["own"].token = {"expires_in": said, **refresh_token}
    async with town.app() as app:
        granted = await town.connected(app, "own")
        answers = [await town.exchange(app, "own") for _ in range(3)]
        assert {answer.json()["access_token"] for answer in answers} == {granted.access[0]}
        assert (len(granted.asked), (await town.account(app))["status"]) == (0, "connected")


async def test_a_life_that_was_said_once_holds_for_the_next_consent_too(town: Town) -> None:
    town.at["own"].person, town.at["own"].token = "regular", {"expires_in": 3}
    async with town.app() as app:
        await town.connected(app, "own")
        town.at["own"].token = {"expires_in": None}
        granted = await town.connected(app, "own")
        town.clock.forward(seconds=4)
        assert (await town.exchange(app, "own")).json()["access_token"] == granted.access[-1]
        assert len(granted.asked) == 1


@pytest.mark.parametrize(("name", "added"), [("sending", "offline"), ("microsoft", "offline_access")])
async def test_a_refresh_names_the_granted_scopes_where_it_must(town: Town, name: str, added: str) -> None:
    town.at[name].needs_scope = True
    async with town.app() as app:
        granted = await town.connected(app, name)
        town.clock.forward(seconds=31)
        assert (await town.exchange(app, name)).json()["access_token"] == granted.access[-1]
        assert granted.asked[-1]["scope"].split() == sorted([added, "read"])


@pytest.mark.parametrize("word", UNKNOWN)
async def test_an_unknown_refusal_that_keeps_coming_while_others_are_served_is_final(town: Town, word: str) -> None:
    async with town.app() as app, town.app() as other:
        granted = await town.connected(app, "own")
        await town.connected(other, "own")
        granted.says = [UNKNOWN[word]]
        answers: list[int] = []
        while not answers or (answers[-1] != 400 and len(answers) < 20):
            town.clock.forward(seconds=31)
            assert (await town.exchange(other, "own")).status_code == 200
            answers.append((await town.exchange(app, "own")).status_code)
        assert answers == [503] * (ENOUGH - 1) + [400]
        (event,) = await town.events(app, "connection.broken")
        assert event["reason"] == f"provider_{word}"
        assert (await town.account(app))["status"] == "reconnect_required"


async def test_who_is_asked_too_often_has_not_said_no(town: Town) -> None:
    """Some refuse to renew what has not ended yet (https://github.com/websmurf/laravel-exact-online/issues/31)."""
    early = {"error": "access_denied", "error_description": "Rate limit exceeded: access_token not expired"}
    town.at["own"].token = town.at["own"].renewed = {"expires_in": 55}
    async with town.app() as app, town.app() as other:
        granted = await town.connected(app, "own")
        await town.connected(other, "own")
        granted.says = [Words(400, early)]
        for _ in range(2 * ENOUGH):
            assert (await town.exchange(other, "own")).status_code == 200
            assert (await town.exchange(app, "own")).json()["access_token"] == granted.access[0]
            town.clock.forward(seconds=5)
        assert len(granted.asked) >= ENOUGH
        granted.says = []
        town.clock.forward(seconds=30)
        assert (await town.exchange(app, "own")).json()["access_token"] == granted.access[1]


async def test_an_unknown_refusal_of_all_is_never_final(town: Town) -> None:
    async with town.app() as app, town.app() as other:
        for each in (app, other):
            (await town.connected(each, "own")).says = [UNKNOWN["access_denied"]]
        for _ in range(2 * ENOUGH):
            town.clock.forward(seconds=31)
            assert {(await town.exchange(each, "own")).status_code for each in (app, other)} == {503}
        assert (await town.account(app))["status"] == "connected"


async def test_one_tenants_refusal_at_entra_is_not_an_outage(town: Town) -> None:
    words = Words(
        400, {"error": "unauthorized_client", "error_description": "AADSTS700016: …", "error_codes": [700016]}
    )
    async with town.app() as app, town.app() as other:
        (await town.connected(app, "microsoft")).says = [words]
        await town.connected(other, "microsoft")
        answers: list[httpx.Response] = []
        for _ in range(ENOUGH):
            town.clock.forward(seconds=31)
            answers.append(await town.exchange(app, "microsoft"))
            assert (await town.exchange(other, "microsoft")).status_code == 200
        assert answers[-1].json()["reason"] == "reconnect_required"
        assert [event["reason"] for event in await town.events(app, "connection.broken")] == [
            "provider_unauthorized_client"
        ]


@pytest.mark.parametrize("status", [500, 503, 429])
async def test_only_the_host_that_is_down_is_left_alone(town: Town, status: int) -> None:
    async with town.app() as app, town.app() as other:
        (await town.connected(app, "own")).says = [Words(status, {"error": "invalid_grant"})]
        elsewhere = await town.connected(other, "never")
        town.clock.forward(seconds=31)
        for _ in range(5):
            assert (await town.exchange(app, "own")).status_code == 503
        assert town.at["own"].calls["refresh"] == 3
        assert (await town.exchange(other, "never")).json()["access_token"] == elsewhere.access[-1]
        town.clock.forward(seconds=61)
        town.at["own"].latest().says = []
        assert (await town.exchange(app, "own")).status_code == 200


async def test_a_pause_that_is_asked_of_one_grant_is_kept_by_it_alone(town: Town) -> None:
    """A 4xx that says when to come again is no refusal, and no outage either."""
    words = Words(403, {"error": "made_up"}, {"retry-after": "20"})
    async with town.app() as app, town.app() as other:
        granted = await town.connected(app, "own")
        await town.connected(other, "own")
        granted.says = [words, Words(200, {})]
        town.clock.forward(seconds=31)
        answer = await town.exchange(app, "own")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "20")
        assert (await town.exchange(app, "own")).status_code == 503
        assert len(granted.asked) == 1
        assert (await town.exchange(other, "own")).status_code == 200
        town.clock.forward(seconds=21)
        assert (await town.exchange(app, "own")).status_code == 200


@pytest.mark.parametrize("member", ["refresh_token_expires_in", "refresh_expires_in"])
async def test_a_refresh_token_is_renewed_before_the_end_that_was_told(town: Town, member: str) -> None:
    """Nobody asks for it meanwhile; what renews ahead looks every few seconds."""
    town.at["own"].token = town.at["own"].renewed = {"expires_in": 3600, member: 20}
    town.at["own"].rotates = True
    async with town.app() as app:
        granted = await town.connected(app, "own")
        assert "expires_at" not in await town.account(app)
        for times in (1, 2):
            town.clock.forward(seconds=11)
            await until(lambda times=times: len(granted.asked) == times)
            async with asyncio.timeout(20):
                # It is stored a moment after it was given, and until then the clock stands still.
                while (await town.exchange(app, "own")).json()["access_token"] != granted.access[-1]:
                    await asyncio.sleep(0.05)
        assert len(granted.asked) == 2


async def test_the_end_of_a_refresh_token_that_none_renews_is_the_accounts(town: Town) -> None:
    town.at["never"].token = {"refresh_token_expires_in": 1000}
    async with town.app() as app:
        await town.connected(app, "never")
        ends = town.clock() + timedelta(seconds=1000)
        assert (await town.account(app))["expires_at"] == rfc3339(ends)
        town.at["never"].renewed = {"refresh_token_expires_in": 969}
        town.clock.forward(seconds=31)
        assert (await town.exchange(app, "never")).status_code == 200
        assert (await town.account(app))["expires_at"] == rfc3339(ends)


@pytest.mark.parametrize("words", [Words(403, {"error": "made_up"}), Words(422, "no JSON at all")])
async def test_a_grant_that_everybody_narrows_ends_in_unknown_words_too(town: Town, words: Words) -> None:
    """Asking for fewer scopes tells nothing about the grant; asking for all of them does."""
    town.at["narrowing"].token = {"scope": "read write"}
    async with town.app() as app, town.app() as good:
        granted = await town.connected(app, "narrowing")
        await town.connected(good, "narrowing")
        granted.says = [words]
        answers = []
        for _ in range(3 * ENOUGH):
            answers.append(await town.exchange(app, "narrowing"))
            assert (await town.exchange(good, "narrowing")).status_code == 200
            town.clock.forward(seconds=31)
        assert answers[0].status_code == 503
        assert answers[-1].json()["reason"] == "reconnect_required"
        assert [event["type"] for event in await town.events(app, "connection.broken")] == ["connection.broken"]


async def test_a_grant_of_which_only_a_part_is_refused_lives(town: Town) -> None:
    town.at["narrowing"].token = {"scope": "read write"}
    async with town.app() as app, town.app() as good:
        granted = await town.connected(app, "narrowing")
        await town.connected(good, "narrowing")
        for _ in range(3 * ENOUGH):
            granted.says = [Words(403, {"error": "made_up"}), Words(200, {})]
            assert (await town.exchange(app, "narrowing")).status_code == 503
            assert (await town.exchange(good, "narrowing")).status_code == 200
            town.clock.forward(seconds=31)
        assert (await town.account(app))["status"] == "connected"
