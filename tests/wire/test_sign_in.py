"""B8, and B7's part in it: what the browser brings back from the `[login]` issuer is believed when everything fits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import httpx
import pytest
import pytest_asyncio
from sqlalchemy import text

from tests.conftest import DatabaseUrls
from tests.support.clock import HandClock
from tests.wire.beside import Log, More
from tests.wire.vault import query_of
from vaultd.db import Database
from vaultd.sandbox.browser import Browser
from vaultd.sandbox.loopback import loopback_http
from vaultd.sandbox.world import World
from vaultd.terms import Secret

IDLE, ABSOLUTE = 600, 1800


@pytest.fixture(scope="module")
def more() -> More:
    return More(login=f"idle = {IDLE}\nabsolute = {ABSOLUTE}\n")


@pytest_asyncio.fixture
async def browser(timed: World) -> AsyncIterator[Browser]:
    """It stops just before the issuer's answer reaches vaultd."""
    async with Browser(stop_at=[f"{timed.places.vault}/auth/login/callback"]) as opened:
        yield opened


@pytest_asyncio.fixture
async def log(timed: World, clock: HandClock) -> AsyncIterator[Log]:
    async with Log(timed, clock) as speaking:
        yield speaking


async def answer_of(world: World, browser: Browser, person: str = "Carol") -> httpx.URL:
    await browser.open(f"{world.places.vault}/auth/login")
    return httpx.URL((await browser.click(person)).url)


async def reason_of(log: Log, asked: Coroutine[Any, Any, httpx.Response]) -> str:
    """Why the log says that a sign-in was refused."""
    answer, event = await log.refusal(asked)
    assert answer.status_code == 400, answer.text
    assert "vaultd_session" not in str(answer.headers.get_list("set-cookie"))
    assert event["type"] == "session.refused"
    return str(event["reason"])


async def test_signing_in_and_out_are_events_of_that_user(timed: World, log: Log) -> None:
    async with Browser() as browser:
        await browser.open(f"{timed.places.vault}/auth/login")
        assert (await browser.click("Bob")).status == 200
        assert (await browser.click("Sign out")).url == f"{timed.places.vault}/auth/signed-out"
    who = {"subject_issuer": timed.places.issuer, "subject": "bob"}
    ended, opened = (await log.audit(**who))["events"]
    assert (opened["type"], opened["decision"]) == ("session.opened", "allowed")
    assert (ended["type"], ended["reason"]) == ("session.ended", "signed_out")
    assert opened["subject"] == {"issuer": timed.places.issuer, "sub": "bob"}
    assert opened["ip"] == "127.0.0.1"


async def test_b8_a_callback_replayed_a_hundred_times_signs_in_once(timed: World, browser: Browser) -> None:
    url = await answer_of(timed, browser)
    before = timed.issuer.calls["token"]
    answers = await asyncio.gather(*(browser.http.get(url) for _ in range(100)))
    assert timed.issuer.calls["token"] - before == 1
    assert sorted(answer.status_code for answer in answers) == [303] + [400] * 99
    sessions = [answer for answer in answers if "vaultd_session" in str(answer.headers.get_list("set-cookie"))]
    assert [answer.status_code for answer in sessions] == [303]


async def test_b8_another_nonce_is_refused(timed: World, browser: Browser, log: Log) -> None:
    """Somebody else's ID token, put in by whoever can write to the answer, has another nonce."""
    begun = await browser.http.get(f"{timed.places.vault}/auth/login")
    await browser.open(str(httpx.URL(begun.headers["location"]).copy_set_param("nonce", "of another sign-in")))
    page = await browser.click("Carol")
    assert await reason_of(log, browser.http.get(page.url)) == "id_token"


async def test_b8_another_sign_ins_code_is_refused(timed: World, browser: Browser, log: Log) -> None:
    """RFC 9700 §4.5: the code was asked for with another verifier."""
    async with Browser(stop_at=[f"{timed.places.vault}/auth/login/callback"]) as attacker:
        stolen = await answer_of(timed, attacker, "Bob")
    mine = await answer_of(timed, browser)
    asked = browser.http.get(mine.copy_set_param("code", stolen.params["code"]))
    assert await reason_of(log, asked) == "code"


async def test_b8_login_csrf_an_answer_in_another_browser(timed: World, browser: Browser, log: Log) -> None:
    url = await answer_of(timed, browser)
    async with Browser() as victim:
        assert await reason_of(log, victim.http.get(url)) == "state"
        await victim.http.get(f"{timed.places.vault}/auth/login")  # now it has a cookie, but not this one
        assert (await victim.http.get(url)).status_code == 400
    # And it was not used up by them.
    assert (await browser.http.get(url)).status_code == 303


async def test_b8_a_made_up_browser_cookie_is_replaced(timed: World) -> None:
    async with loopback_http() as http:
        answer = await http.get(f"{timed.places.vault}/auth/login", headers={"Cookie": "vaultd_browser=known"})
    (cookie,) = answer.headers.get_list("set-cookie")
    assert cookie.startswith("vaultd_browser=")
    assert not cookie.startswith("vaultd_browser=known")


@pytest.mark.parametrize("issuer", ["https://evil.example", "", None])
async def test_b8_who_answers_is_who_was_asked(timed: World, browser: Browser, log: Log, issuer: str | None) -> None:
    """RFC 9207 §2.4: the issuer says that it names itself, so an answer without a name is not its own either."""
    url = await answer_of(timed, browser)
    changed = url.copy_remove_param("iss") if issuer is None else url.copy_set_param("iss", issuer)
    before = timed.issuer.calls["token"]
    assert await reason_of(log, browser.http.get(changed)) == "invalid_issuer"
    assert timed.issuer.calls["token"] == before, "its code went to the issuer that was asked"
    assert await reason_of(log, browser.http.get(url)) == "state"


async def test_b8_a_refusal_ends_the_sign_in(timed: World, browser: Browser, log: Log) -> None:
    url = await answer_of(timed, browser)
    refused = url.copy_remove_param("code").copy_set_param("error", "access_denied")
    assert await reason_of(log, browser.http.get(refused)) == "login_denied"
    assert await reason_of(log, browser.http.get(url)) == "state"


@pytest.mark.parametrize("name", ["state", "code", "iss", "error"])
async def test_b8_a_parameter_that_comes_twice_is_refused(timed: World, browser: Browser, log: Log, name: str) -> None:
    """RFC 6749 §3.1: two readers could take different ones."""
    url = await answer_of(timed, browser)
    once = url.params.get(name, "x")
    asked = browser.http.get(f"{url}&{name}={once}" + ("" if name in url.params else f"&{name}={once}"))
    assert await reason_of(log, asked) == "invalid_request"


async def test_an_issuer_that_does_not_answer_is_503_in_words(timed: World, browser: Browser, clock: HandClock) -> None:
    url = await answer_of(timed, browser)
    timed.issuer.faults.token = "down"
    try:
        answer = await browser.http.get(url)
    finally:
        timed.issuer.faults.clear()
    assert (answer.status_code, answer.headers["content-type"]) == (503, "text/html; charset=utf-8")
    assert "sign-in service" in answer.text
    assert int(answer.headers["retry-after"]) > 0


async def test_b8_a_sign_in_is_good_for_ten_minutes(timed: World, browser: Browser, log: Log, clock: HandClock) -> None:
    await browser.open(f"{timed.places.vault}/auth/login")
    clock.forward(minutes=10)
    assert await reason_of(log, browser.http.get((await browser.click("Carol")).url)) == "state"


async def test_sign_ins_that_are_given_up_leave_nothing(
    timed: World, module_database: DatabaseUrls, clock: HandClock
) -> None:
    clock.forward(minutes=11)
    async with loopback_http(base_url=timed.places.vault) as http:
        for _ in range(4):
            await http.get("/auth/login")
        clock.forward(minutes=11)
        await http.get("/auth/login")
    owner = Database(Secret(module_database.owner))
    async with owner.transaction() as connection:
        left = [
            (await connection.execute(text(query))).scalar_one()
            for query in ("SELECT count(*) FROM sign_ins", "SELECT count(*) FROM data_keys WHERE purpose = 'sign_in'")
        ]
    await owner.aclose()
    assert left == [1, 1]


async def test_b7_a_session_that_is_not_used_ends(timed: World, clock: HandClock) -> None:
    async with Browser() as browser:
        await browser.open(f"{timed.places.vault}/connections")
        await browser.click("Carol")
        page = f"{timed.places.vault}/connections"
        for _ in range(2):
            clock.forward(seconds=IDLE - 1)
            assert (await browser.http.get(page)).status_code == 200
        clock.forward(seconds=IDLE)
        assert (await browser.http.get(page)).status_code == 303


async def test_b7_a_session_that_is_used_ends_too(timed: World, clock: HandClock) -> None:
    async with Browser() as browser:
        await browser.open(f"{timed.places.vault}/connections")
        await browser.click("Carol")
        page = f"{timed.places.vault}/connections"
        seen = []
        for _ in range(ABSOLUTE // 300):
            seen.append((await browser.http.get(page)).status_code)
            clock.forward(seconds=300)
        assert set(seen) == {200}
        assert (await browser.http.get(page)).status_code == 303


async def test_b8_the_request_says_everything_that_protects_it(timed: World) -> None:
    async with loopback_http(base_url=timed.places.vault) as http:
        asked = [query_of((await http.get("/auth/login")).headers["location"]) for _ in range(2)]
    for query in asked:
        assert (query["response_type"], query["scope"], query["client_id"]) == ("code", "openid", "vaultd")
        assert query["redirect_uri"] == f"{timed.places.vault}/auth/login/callback"
        assert query["code_challenge_method"] == "S256"
    for name in ("state", "nonce", "code_challenge"):
        first, second = (query[name] for query in asked)
        assert first != second
        assert len(first) == 43  # 256 bits
