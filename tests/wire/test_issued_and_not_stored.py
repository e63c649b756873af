"""Whatever a provider issued and vaultd does not store is given back, whichever step refuses it (B3)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlencode

import pytest
from sqlalchemy import text

from tests.conftest import DatabaseUrls
from tests.doubles.own_words import OwnWords, Words
from tests.wire.own import AGENT
from tests.wire.vault import App, go_on, ticket_url
from tests.wire.words import Town, until
from vaultd.db import Database
from vaultd.terms import Secret

TOKENS = {"access_token": "issued-access", "refresh_token": "issued-refresh"}
BOTH = set(TOKENS.values())
GOOD: dict[str, Any] = {**TOKENS, "token_type": "Bearer", "expires_in": 300}


@pytest.fixture
def own(town: Town) -> OwnWords:
    town.at["own"].reset()
    town.at["single"].reset()
    return town.at["own"]


@pytest.mark.parametrize(
    "answer",
    [
        Words(200, GOOD | {"token_type": "mac"}),
        Words(200, GOOD | {"scope": {"not": "readable"}}),
        Words(200, GOOD | {"scope": "s" * 3000}),
        Words(200, GOOD | {"access_token": "a\nb"}),
        Words(200, {name: value for name, value in GOOD.items() if name != "access_token"}),
        Words(200, GOOD | {"access_token": 7}),
        Words(200, GOOD | {"error": "made_up"}),
        Words(201, GOOD | {"ok": False}),
        Words(400, GOOD),
        Words(503, GOOD),
    ],
)
async def test_an_answer_of_no_use(town: Town, own: OwnWords, answer: Words) -> None:
    own.instead = answer
    async with town.app() as app:
        _, back = await town.consented(app, "own")
        assert "connect_code" not in back
        expected = (
            BOTH if isinstance(answer.body, dict) and answer.body.get("access_token") == "issued-access" else None
        )
        await until(lambda: set(own.revoked) >= (expected or {"issued-refresh"}))
        assert set(own.revoked) == (expected or {"issued-refresh"})


WHOLE = json.dumps(GOOD)
FORM = urlencode(TOKENS)


@pytest.mark.parametrize(
    "answer",
    [
        Words(200, f'{WHOLE[:-1]}, "team": "M\u00fcller"}}'.encode("latin-1")),
        Words(200, f'{WHOLE[:-1]}, "score": NaN}}'),
        Words(200, f"{WHOLE}\n<!-- served by web1 -->"),
        Words(200, f"callback({WHOLE});"),
        Words(200, f"[{WHOLE}]"),
        Words(200, {"data": TOKENS, "code": 0}),
        Words(200, FORM, {"content-type": "text/html"}),
        Words(400, FORM, {"content-type": "application/octet-stream"}),
    ],
)
async def test_an_answer_that_cannot_be_read_as_it_is(town: Town, own: OwnWords, answer: Words) -> None:
    """It is nothing to rely on, but the tokens in it are alive."""
    own.instead = answer
    async with town.app() as app:
        _, back = await town.consented(app, "own")
        assert back["error"] == "server_error"
        await until(lambda: set(own.revoked) == BOTH)


@pytest.mark.parametrize("kept", ["refresh_token", "access_token"])
async def test_a_kind_of_token_that_the_provider_does_not_revoke(town: Town, own: OwnWords, kept: str) -> None:
    """The other one is given back all the same (RFC 7009 §2.2.1)."""
    own.keeps = {kept: Words(400, {"error": "unsupported_token_type"})}
    async with town.app() as app:
        await town.connected(app, "own")
        assert (await app.http.delete(f"accounts/{(await town.account(app))['id']}")).status_code == 204
        granted = own.latest()
        await until(lambda: own.calls["revoke"] == 2)
        assert own.revoked == (granted.access if kept == "refresh_token" else granted.refresh)
        async with asyncio.timeout(10):
            while not (told := await town.events(app, "provider.revoked")):
                await asyncio.sleep(0.05)
    assert [event["reason"] for event in told] == ["unsupported_token_type"]


@pytest.mark.parametrize(
    "words",
    [
        Words(400, {"error": "made_up"}),
        Words(403, {"error": "access_denied"}),
        Words(400, {"error": "invalid_request"}),
        Words(404, "<p>Not found</p>"),
    ],
)
async def test_a_revocation_that_is_refused_in_unknown_words_is_tried_again(
    town: Town, own: OwnWords, words: Words
) -> None:
    own.keeps = {"refresh_token": words}
    async with town.app() as app:
        await town.connected(app, "own")
        assert (await app.http.delete(f"accounts/{(await town.account(app))['id']}")).status_code == 204
        await until(lambda: own.calls["revoke"] >= 1)
        assert await town.events(app, "provider.revoked") == []
        own.keeps = {}
        granted = own.latest()
        async with asyncio.timeout(20):
            while {*own.revoked} != {*granted.access, *granted.refresh}:
                # Each time, since the first try may still be on its way back.
                town.clock.forward(seconds=5)
                await asyncio.sleep(0.2)


@pytest.mark.parametrize(
    "userinfo",
    [
        Words(401, {"error": "invalid_token"}),
        Words(403, {"error": "insufficient_scope"}),
        Words(200, {"name": "without an id"}),
        Words(200, {"id": {"nested": True}}),
        Words(200, "no JSON at all"),
        Words(500, "down"),
        Words(302, "", {"location": "https://elsewhere.example/"}),
    ],
)
async def test_an_account_that_nobody_can_name(town: Town, own: OwnWords, userinfo: Words) -> None:
    own.userinfo = userinfo
    async with town.app() as app:
        _, back = await town.consented(app, "own")
        assert "connect_code" not in back
        granted = own.latest()
        await until(lambda: set(own.revoked) == {*granted.access, *granted.refresh})


async def test_another_account_where_there_can_be_one_only(town: Town, own: OwnWords) -> None:
    single = town.at["single"]
    async with town.app() as app:
        kept = await town.connected(app, "single")
        begun, back = await town.consented(app, "single")
        assert (await app.complete(begun, back["connect_code"])).status_code == 400
        other = single.latest()
        await until(lambda: set(single.revoked) == {*other.access, *other.refresh})
        assert (await town.exchange(app, "single")).json()["access_token"] in kept.access


async def test_a_completion_by_somebody_else(town: Town, own: OwnWords) -> None:
    async with town.app() as app, town.app() as other:
        begun, back = await town.consented(app, "own")
        assert (await other.complete(begun, back["connect_code"])).status_code == 403
        granted = own.latest()
        await until(lambda: set(own.revoked) == {*granted.access, *granted.refresh})


async def at_the_door(town: Town, app: App) -> None:
    """By a browser that is signed in: what came is stored before it is sent on."""
    query = urlencode({"client_id": AGENT[0], "return_to": app.redirect_uri})
    async with app.browser() as browser:
        await browser.open(f"{town.world.places.vault}/auth/connect/own-here?{query}")
        page = await browser.click("Carol")
        await browser.click(next(name for name in page.links if name.startswith("Continue to ")))


async def by_the_app(town: Town, app: App) -> None:
    """By the accounts API: what came is kept beside the consent until the app completes it."""
    begun = await app.begin("own-here")
    async with app.browser() as browser:
        await go_on(browser, ticket_url(begun))


@pytest.mark.parametrize(
    ("go", "where"),
    [
        (by_the_app, "UPDATE ON pending_grants FOR EACH ROW WHEN (NEW.granted IS NOT NULL)"),
        (at_the_door, "INSERT ON connections FOR EACH ROW"),
        (at_the_door, "INSERT ON events FOR EACH ROW WHEN (NEW.type = 'connection.connected')"),
    ],
)
async def test_what_the_database_does_not_take(
    town: Town,
    own: OwnWords,
    module_database: DatabaseUrls,
    go: Callable[[Town, App], Awaitable[None]],
    where: str,
) -> None:
    """The event that belongs to it, for one."""
    owner = Database(Secret(module_database.owner))
    try:
        await run(owner, "CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'spoilt'; END $$")
        await run(owner, f"CREATE TRIGGER spoilt BEFORE {where} EXECUTE FUNCTION spoil()")
        async with town.app() as app:
            await go(town, app)
            granted = own.latest()
            await until(lambda: set(own.revoked) == {*granted.access, *granted.refresh})
    finally:
        await run(owner, "DROP FUNCTION spoil() CASCADE")
        await owner.aclose()


async def run(owner: Database, statement: str) -> None:
    async with owner.transaction() as connection:
        await connection.execute(text(statement))


async def test_a_token_of_another_name_for_bearer_is_stored_and_served(town: Town, own: OwnWords) -> None:
    own.token = own.renewed = {"token_type": "BearerToken"}
    async with town.app() as app:
        granted = await town.connected(app, "own")
        town.clock.forward(seconds=31)
        answer = await town.exchange(app, "own")
        assert (answer.json()["access_token"], answer.json()["token_type"]) == (granted.access[-1], "Bearer")
        assert own.revoked == []


@pytest.mark.parametrize("renewed", [{"scope": {"not": "readable"}}, {"token_type": "mac"}, {"error": "made_up"}])
async def test_a_refresh_whose_answer_is_of_no_use(town: Town, own: OwnWords, renewed: dict[str, Any]) -> None:
    """The refresh token that came is used from then on, and the access token is given back."""
    own.rotates = True
    async with town.app() as app:
        granted = await town.connected(app, "own")
        own.renewed = renewed
        town.clock.forward(seconds=31)
        assert (await town.exchange(app, "own")).status_code == 503
        unused = granted.access[-1]
        (event,) = await town.events(app, "token.refreshed")
        assert (event["decision"], event["reason"]) == ("refused", "unusable_answer")
        await until(lambda: own.revoked == [unused])
        own.renewed = {}
        answer = await town.exchange(app, "own")
        assert answer.json()["access_token"] == granted.access[-1] != unused
        assert granted.asked[-1]["refresh_token"] == granted.refresh[-2]
        assert own.revoked == [unused]
