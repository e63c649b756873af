"""The page before a ticket is used up: for people, by their click, and for nobody who only looks (api.md §2, B1)."""

from __future__ import annotations

import html
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, replace

import httpx
import pytest
import pytest_asyncio

from tests.support.also import also_serving
from tests.wire.vault import App, bearer, query_of, ticket_url
from vaultd.sandbox.browser import Browser
from vaultd.sandbox.dev_config import SAMPLE_AGENT
from vaultd.sandbox.loopback import loopback_http
from vaultd.sandbox.person import ACCOUNT_SCOPES
from vaultd.sandbox.world import World

TRUSTED = "trusting-app"
TABLES = """
[clients.{name}]
auth = "none"
confirm_connect = false
redirect_uris = ["{back}"]
providers = {{ github = ["repo", "read:user"] }}
"""
NAVIGATING = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8", "Sec-Fetch-Site": "cross-site"}
PROGRAMS: Mapping[str, Mapping[str, str]] = {
    "curl": {"Accept": "*/*", "User-Agent": "curl/8.5.0"},
    "python": {"Accept": "*/*", "User-Agent": "python-httpx/0.28.1"},
    "node": {"Accept": "*/*", "Sec-Fetch-Mode": "cors", "User-Agent": "node"},
    "robot": {"Accept": "application/json", "User-Agent": "RobotFramework/7"},
}
LOOKING: Mapping[str, Mapping[str, str]] = {
    "a person": NAVIGATING,
    "a chat": {"Accept": "*/*", "User-Agent": "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)"},
    "a network": {"Accept": "*/*", "User-Agent": "facebookexternalhit/1.1"},
    "a phone": {"Accept": "*/*", "User-Agent": "WhatsApp/2.23.20.0"},
    "a search engine": {"Accept": "*/*", "User-Agent": "Mozilla/5.0 (compatible; Googlebot/2.1)"},
    "a browser ahead of a click": {"Accept": "*/*", "Sec-Purpose": "prefetch;prerender"},
    "an image elsewhere": {"Accept": "image/avif,*/*", "Sec-Fetch-Site": "cross-site"},
}


@dataclass(frozen=True, slots=True)
class Links:
    """Tickets of users whom nobody else has, and what a browser does with them."""

    app: App
    url: str

    async def ticket(self) -> str:
        begun = await self.app.begin("github", scopes=["repo"])
        return ticket_url(begun)

    def leads_on(self, answer: httpx.Response) -> bool:
        at = self.app.world.places.providers["github"]
        return answer.status_code == 303 and answer.headers["location"].startswith(f"{at}/authorize?")


@pytest_asyncio.fixture
async def links(app: App) -> Links:
    return Links(app, app.world.places.vault)


@pytest_asyncio.fixture
async def browser() -> AsyncIterator[httpx.AsyncClient]:
    async with Browser() as opened:
        yield opened.http


@pytest.fixture(scope="module")
def trusting(world: World) -> Iterator[World]:
    """The world's vault once more, with an app that has turned the page off."""
    tables = TABLES.format(name=TRUSTED, back=f"{world.places.agent}/connected")
    with also_serving(world, lambda _: tables) as url:
        yield replace(world, places=replace(world.places, vault=url))


def click_on(page: httpx.Response) -> str:
    """Where the page's own button leads."""
    found = re.search(r'class="button primary" href="([^"]+)"', page.text)
    assert found is not None, page.text
    return str(page.url.join(html.unescape(found[1])))


async def test_a_person_sees_whose_vault_for_whom_and_what(links: Links, browser: httpx.AsyncClient) -> None:
    page = await browser.get(await links.ticket(), headers=NAVIGATING)
    assert (page.status_code, "location" in page.headers) == (200, False)
    assert page.headers["cache-control"] == "no-store"
    assert page.headers["x-frame-options"] == "DENY"
    for shown in ("sample-agent", "GitHub", links.app.user, "(repo)", "Only continue if you started this in"):
        assert shown in page.text, shown
    cancel = re.search(r'href="([^"]+)">Cancel', page.text)
    assert cancel is not None
    back = html.unescape(cancel[1])
    assert back.startswith(links.app.redirect_uri)
    assert query_of(back)["error"] == "access_denied"
    assert query_of(back)["state"] == "app-state"


async def test_it_is_in_the_reader_s_language(links: Links, browser: httpx.AsyncClient) -> None:
    page = await browser.get(await links.ticket(), headers={**NAVIGATING, "Accept-Language": "de"})
    assert "Machen Sie nur weiter, wenn Sie das selbst in" in page.text


async def test_b1_the_click_uses_it_up_and_nothing_before(links: Links, browser: httpx.AsyncClient) -> None:
    ticket = await links.ticket()
    for _ in range(2):
        assert (await browser.get(ticket, headers=NAVIGATING)).status_code == 200
    page = await browser.get(ticket, headers=NAVIGATING)
    first = await browser.get(click_on(page), headers=NAVIGATING)
    assert links.leads_on(first)
    again = await browser.get(ticket, headers=NAVIGATING)
    assert again.status_code == 400
    assert "This link was used before or is too old." in again.text


async def test_b1_a_double_click_leads_on_by_the_second_state_alone(links: Links, browser: httpx.AsyncClient) -> None:
    page = await browser.get(await links.ticket(), headers=NAVIGATING)
    first, second = [await browser.get(click_on(page), headers=NAVIGATING) for _ in range(2)]
    assert links.leads_on(first)
    assert links.leads_on(second)
    states = [query_of(answer.headers["location"])["state"] for answer in (first, second)]
    callback = f"{links.app.world.places.vault}/auth/callback/github"
    refused = await browser.get(callback, params={"state": states[0], "error": "access_denied"}, headers=NAVIGATING)
    assert refused.status_code == 400
    taken = await browser.get(callback, params={"state": states[1], "error": "access_denied"}, headers=NAVIGATING)
    assert taken.status_code == 303
    assert (await browser.get(click_on(page), headers=NAVIGATING)).status_code == 400, "they have been to the provider"


@pytest.mark.parametrize("headers", LOOKING.values(), ids=LOOKING)
async def test_b1_who_only_looks_uses_nothing_up(
    links: Links, browser: httpx.AsyncClient, headers: Mapping[str, str]
) -> None:
    ticket = await links.ticket()
    async with loopback_http() as looking:
        seen = await looking.get(ticket, headers=dict(headers))
        assert (seen.status_code, "location" in seen.headers) == (200, False)
    page = await browser.get(ticket, headers=NAVIGATING)
    assert links.leads_on(await browser.get(click_on(page), headers=NAVIGATING))


@pytest.mark.parametrize("headers", [NAVIGATING, *PROGRAMS.values()], ids=["browser", *PROGRAMS])
async def test_b1_head_is_get_without_a_body_and_without_effect(
    links: Links, browser: httpx.AsyncClient, headers: Mapping[str, str]
) -> None:
    ticket = await links.ticket()
    head = await browser.head(ticket, headers=dict(headers))
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"].startswith("text/html")
    page = await browser.get(ticket, headers=NAVIGATING)
    assert (await browser.head(click_on(page), headers=NAVIGATING)).status_code == 200
    assert links.leads_on(await browser.get(click_on(page), headers=NAVIGATING))
    assert (await browser.head(ticket, headers=dict(headers))).status_code == 400


@pytest.mark.parametrize("headers", PROGRAMS.values(), ids=PROGRAMS)
async def test_a_program_goes_straight_on(links: Links, headers: Mapping[str, str]) -> None:
    async with loopback_http() as program:
        assert links.leads_on(await program.get(await links.ticket(), headers=dict(headers)))


class TestForgedClicks:
    async def test_a_click_is_good_in_the_browser_that_saw_the_page_alone(
        self, links: Links, browser: httpx.AsyncClient
    ) -> None:
        """Whoever forwards the page's own link forwards the page."""
        ticket = await links.ticket()
        async with Browser() as attacker:
            theirs = click_on(await attacker.http.get(ticket, headers=NAVIGATING))
        assert (await browser.get(theirs, headers=NAVIGATING)).status_code == 200
        # Now it has a cookie, but not that one.
        seen = await browser.get(theirs, headers=NAVIGATING)
        assert (seen.status_code, "location" in seen.headers) == (200, False)
        assert links.leads_on(await browser.get(click_on(seen), headers=NAVIGATING))

    async def test_a_click_for_one_ticket_is_none_for_another(self, links: Links, browser: httpx.AsyncClient) -> None:
        one, other = await links.ticket(), await links.ticket()
        proof = query_of(click_on(await browser.get(one, headers=NAVIGATING)))["confirmed"]
        for made_up in (proof, "", "1", "\u00e9", proof.upper()):
            url = httpx.URL(other).copy_merge_params({"confirmed": made_up})
            assert (await browser.get(url, headers=NAVIGATING)).status_code == 200

    async def test_a_click_that_a_browser_tries_ahead_is_none(self, links: Links, browser: httpx.AsyncClient) -> None:
        click = click_on(await browser.get(await links.ticket(), headers=NAVIGATING))
        assert (await browser.get(click, headers={**NAVIGATING, "Sec-Purpose": "prefetch"})).status_code == 200
        assert links.leads_on(await browser.get(click, headers=NAVIGATING))


async def test_a_browser_with_the_name_of_a_program_gets_on(links: Links, browser: httpx.AsyncClient) -> None:
    headers = {**NAVIGATING, "User-Agent": "Mozilla/5.0 (Linux; Android 14; CUBOT X90) Chrome/130"}
    page = await browser.get(await links.ticket(), headers=headers)
    assert links.leads_on(await browser.get(click_on(page), headers=headers))


async def test_somebody_else_who_is_signed_in_is_told(links: Links, world: World) -> None:
    async with Browser() as other:
        await other.open(f"{world.places.vault}/connections")
        await other.click("Bob")
        page = await other.http.get(await links.ticket(), headers=NAVIGATING)
    assert "You are signed in here as somebody else." in page.text


async def test_a_sentence_is_no_account(links: Links, browser: httpx.AsyncClient) -> None:
    begun = await links.app.begin(
        "github", authorization_params={"login_hint": "Call +1 555 0100 to keep your account"}
    )
    page = await browser.get(ticket_url(begun), headers=NAVIGATING)
    assert page.status_code == 200
    assert "555" not in page.text


async def test_an_app_may_turn_the_page_off(trusting: World, browser: httpx.AsyncClient) -> None:
    async with App(trusting) as app:
        app.http.headers.update(bearer(trusting.issuer.mint(app.user, azp=TRUSTED, scope=ACCOUNT_SCOPES)))
        links = Links(app, trusting.places.vault)
        ticket = await links.ticket()
        # Also then, who only looks uses nothing up.
        async with loopback_http() as looking:
            assert (await looking.get(ticket, headers=dict(LOOKING["a chat"]))).status_code == 200
        assert links.leads_on(await browser.get(ticket, headers=NAVIGATING))


def test_the_sample_is_the_one_that_asks(world: World) -> None:
    assert world.settings.clients[SAMPLE_AGENT].confirm_connect
