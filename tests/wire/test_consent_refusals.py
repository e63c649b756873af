"""What a browser is refused on the way to a connection is in the log, by its real reason (security B, A11)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import quote

import httpx
import pytest
import pytest_asyncio

from tests.support.clock import HandClock
from tests.wire.beside import Log
from tests.wire.vault import App, consent, ticket_url
from vaultd.sandbox.browser import Browser
from vaultd.sandbox.loopback import loopback_http
from vaultd.sandbox.world import World


@pytest_asyncio.fixture
async def log(timed: World, clock: HandClock) -> AsyncIterator[Log]:
    async with Log(timed, clock) as speaking:
        yield speaking


@pytest_asyncio.fixture
async def browser(timed: World) -> AsyncIterator[Browser]:
    """Signed in; it stops just before a provider's answer reaches vaultd."""
    async with Browser(stop_at=[f"{timed.places.vault}/auth/callback/"]) as opened:
        await opened.open(f"{timed.places.vault}/connections")
        await opened.click("Carol")
        yield opened


async def at_the_door(timed: World, browser: Browser) -> httpx.URL:
    await browser.open(f"{timed.places.vault}/auth/connect/github")
    await browser.click("Continue to GitHub")
    await browser.click("Carol")
    return httpx.URL((await browser.click("Allow")).url)


async def test_b1_a_callback_of_the_door_replayed_a_hundred_times_connects_once(
    timed: World, browser: Browser, log: Log
) -> None:
    url = await at_the_door(timed, browser)
    before = timed.providers["github"].calls["redeem"]
    answers = await asyncio.gather(*(browser.http.get(url) for _ in range(100)))
    assert timed.providers["github"].calls["redeem"] - before == 1
    (went,) = [answer.headers["location"] for answer in answers if answer.status_code == 303]
    assert went == f"{timed.places.vault}/connections?connection=github&status=connected"
    assert sorted(answer.status_code for answer in answers) == [303] + [400] * 99
    answer, event = await log.refusal(browser.http.get(url))
    assert (answer.status_code, event["type"], event["reason"]) == (400, "connection.refused", "state")
    assert event["connection"] == "github"


async def test_b1_a_ticket_and_a_callback_that_nobody_has_are_events(timed: World, log: Log) -> None:
    async with loopback_http(base_url=timed.places.vault) as http:
        _, event = await log.refusal(http.get("/auth/connect?ticket=made-up"))
        assert event["reason"] == "ticket"
        _, event = await log.refusal(http.get("/auth/callback/nowhere?state=made-up"))
        # The log is not a stranger's to write in.
        assert (event["reason"], event.get("connection")) == ("state", None)


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("return_to=https%3A%2F%2Fevil.example%2F", "return_to"),
        ("client_id=nobody", "client"),
        ("scope=admin%3Aorg", "scope_not_allowed"),
        ("scope=repo&scope=user", "invalid_request"),
    ],
)
async def test_b4_a_link_that_is_not_as_it_should_be_is_an_event(
    timed: World, browser: Browser, log: Log, query: str, reason: str
) -> None:
    answer, event = await log.refusal(browser.http.get(f"{timed.places.vault}/auth/connect/github?{query}"))
    assert (answer.status_code, event["reason"]) == (400, reason)
    assert quote("evil.example") not in str(event)


async def test_b3_a_foreign_session_is_one_event_and_no_second(timed: World, browser: Browser, log: Log) -> None:
    url = await at_the_door(timed, browser)
    browser.http.cookies.pop("vaultd_session")
    before = len((await log.audit(type="connection.refused", limit=500))["events"])
    answer = await browser.http.get(url)
    assert answer.status_code == 403
    events = (await log.audit(type="connection.refused", limit=500))["events"]
    assert len(events) - before == 1
    assert (events[0]["reason"], events[0]["subject"]["sub"]) == ("foreign", "carol")


@pytest.mark.parametrize("name", ["state", "code", "iss"])
async def test_b2_a_parameter_that_comes_twice_is_refused(timed: World, browser: Browser, log: Log, name: str) -> None:
    """RFC 6749 §3.1. The right one is not used up by it."""
    url = await at_the_door(timed, browser)
    answer, event = await log.refusal(browser.http.get(f"{url}&{name}={url.params[name]}"))
    assert (answer.status_code, event["reason"]) == (400, "invalid_request")
    assert (await browser.http.get(url)).status_code == 303


async def test_b6_an_error_beside_a_code_is_an_error(timed: World, browser: Browser) -> None:
    url = await at_the_door(timed, browser)
    before = timed.providers["github"].calls["redeem"]
    answer = await browser.http.get(url.copy_set_param("error", "access_denied"))
    assert "error=access_denied" in answer.headers["location"]
    assert timed.providers["github"].calls["redeem"] == before


async def test_b3_a_forwarded_way_to_the_provider_connects_nobody(timed: World) -> None:
    """The victim allows it at the provider, in good faith; their answer is worth nothing in their own browser."""
    async with App(timed) as attacker, Browser() as theirs:
        begun = await attacker.begin()
        sent = await theirs.http.get(ticket_url(begun), headers={"Accept": "*/*"})
        async with Browser() as victim:
            await victim.open(f"{timed.places.vault}/connections")
            await victim.click("Bob")
            before = timed.providers["github"].calls["redeem"]
            page = await consent(victim, sent.headers["location"], person="Bob")
            assert page.status == 400, page.text
            assert timed.providers["github"].calls["redeem"] == before
            page = await victim.open(f"{timed.places.vault}/connections")
            assert "Nothing is connected" in page.text
        assert (await attacker.http.get("accounts")).json() == {"accounts": []}
