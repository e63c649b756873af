"""B4: nobody is sent elsewhere, however the link disguises it. Over a hundred variants at each place that takes one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import quote, urlsplit

import httpx
import pytest
import pytest_asyncio

from tests.support.redirects import elsewhere, like, own_paths
from tests.wire.vault import App, consent, query_of, ticket_url
from vaultd.sandbox.browser import Browser
from vaultd.sandbox.loopback import loopback_http
from vaultd.sandbox.world import World


@pytest.fixture
def back(world: World) -> str:
    return f"{world.places.agent}/connected"


@pytest_asyncio.fixture
async def signed_in(world: World) -> AsyncIterator[Browser]:
    async with Browser() as opened:
        await opened.open(f"{world.places.vault}/connections")
        await opened.click("Carol")
        yield opened


def test_there_are_enough(back: str) -> None:
    assert len({*elsewhere(), *like(back)}) >= 90
    assert back not in {*elsewhere(), *like(back)}


async def test_b4_return_to(world: World, signed_in: Browser, back: str) -> None:
    """By somebody who is signed in, and by somebody who is not: neither is sent on the way first."""
    door = f"{world.places.vault}/auth/connect/github?return_to="
    async with loopback_http() as stranger:
        for variant in (*elsewhere(), *like(back), *like(f"{world.places.vault}/connections")):
            for client in (signed_in.http, stranger):
                answer = await client.get(door + quote(variant, safe=""))
                assert (answer.status_code, answer.headers.get("location")) == (400, None), variant
    right = await signed_in.http.get(door + quote(back, safe=""))
    assert (right.status_code, right.headers.get("location")) == (200, None)
    assert "Continue to GitHub" in right.text


async def test_b4_continue(world: World) -> None:
    """Whatever it says, the sign-in ends at a page of our own."""
    vault = world.places.vault
    async with Browser(stop_at=[f"{vault}/connections"]) as browser:
        for variant in (*elsewhere(), *like(f"{vault}/connections"), *own_paths()):
            await browser.open(f"{vault}/auth/login?continue={quote(variant, safe='')}")
            page = await browser.click("Carol")
            assert page.url == f"{vault}/connections", variant


async def test_b4_continue_goes_where_it_may(world: World) -> None:
    async with Browser() as browser:
        await browser.open(f"{world.places.vault}/auth/login?continue=%2Fauth%2Fconnect%2Fgithub%3Fscope%3Drepo")
        page = await browser.click("Carol")
        assert page.url == f"{world.places.vault}/auth/connect/github?scope=repo"
        assert page.links["Continue to GitHub"].startswith(f"{world.places.providers['github']}/authorize?")


async def test_b4_redirect_uri_of_the_accounts_api(app: App, back: str) -> None:
    for variant in (*elsewhere(), *like(back), f"{app.world.places.vault}/connections"):
        answer = await app.begin(redirect_uri=variant)
        assert answer.status_code == 400, variant
    begun = await app.begin(redirect_uri=back)
    code = (await app.returned(begun))["connect_code"]
    assert (await app.complete(begun, code, redirect_uri=like(back)[0])).status_code == 400


async def test_b4_what_a_provider_says_leads_nowhere(app: App) -> None:
    """The answer of a provider goes to the app as codes, whatever is in it."""
    begun = await app.begin()
    stop = f"{app.world.places.vault}/auth/callback/"
    async with app.browser(stop) as browser:
        page = await consent(browser, ticket_url(begun), decision="Deny")
        url = httpx.URL(page.url)
        for name in ("redirect_uri", "return_to", "continue", "next", "url"):
            url = url.copy_set_param(name, "https://evil.example/")
        answer = await browser.http.get(url.copy_set_param("error", "https://evil.example/\r\nSet-Cookie: a=b"))
    assert answer.status_code == 303
    location = answer.headers["location"]
    assert location.startswith(app.redirect_uri + "?")
    assert "set-cookie" not in {name.lower() for name in answer.headers} or "a=b" not in answer.headers["set-cookie"]
    assert set(query_of(location)) == {"error", "error_description", "state"}


async def test_b4_every_redirect_is_a_303_by_the_vaults_own_name(world: World) -> None:
    """Also where the request names another host, or a proxy's headers do."""
    lies = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https"}
    async with loopback_http(base_url=world.places.vault) as http:
        for path in ("/connections", "/connections/activity", "/auth/connect/github", "/auth/login"):
            answer = await http.get(path, headers=lies)
            assert answer.status_code == 303, path
            assert "evil.example" not in answer.headers["location"], path
        for path in ("/connections/", "//evil.example", "/auth/login/", "//evil.example/connections"):
            answer = await http.get(world.places.vault + path, headers=lies)
            assert answer.status_code == 404, path
            assert "location" not in answer.headers, path
        # Relative, or of an origin that this vault knows.
        answer = await http.get("/connections", headers=lies)
        assert urlsplit(answer.headers["location"]).netloc in {"", urlsplit(world.places.vault).netloc}
