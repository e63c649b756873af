"""The pages over plain HTTP: who is asked before leaving, what errors say, and what may be kept (issue 6, 2, 3, 5)."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator, Mapping
from urllib.parse import urlencode

import httpx
import pytest
import pytest_asyncio

from tests.support.also import also_serving
from tests.wire.vault import query_of
from vaultd.sandbox.browser import Browser
from vaultd.sandbox.dev_config import SAMPLE_AGENT
from vaultd.sandbox.world import World

LOGO = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"/>'
TABLES = """
[clients.trusted-app]
auth = "client_secret_basic"
secret = "sha256:0000000000000000000000000000000000000000000000000000000000000000"
display_name = "The <app> & co"
confirm_connect = false
redirect_uris = ["https://app.example/back", "com.example.app:/back"]
providers = { github = ["repo"] }
[clients.asking-app]
auth = "client_secret_basic"
secret = "sha256:0000000000000000000000000000000000000000000000000000000000000000"
display_name = "The <app> & co"
redirect_uris = ["https://app.example/back", "com.example.app:/back"]
providers = { github = ["repo"] }
[branding]
name = "Example <Company>"
logo = "logo.svg"
"""
NAVIGATING = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
PROGRAMS: Mapping[str, Mapping[str, str]] = {
    "httpx, requests, curl": {"Accept": "*/*"},
    "Node's fetch": {"Accept": "*/*", "Sec-Fetch-Mode": "cors"},
    "one that says nothing": {"Accept": ""},
    "one that reads JSON": {"Accept": "application/json"},
}
BROWSERS: Mapping[str, Mapping[str, str]] = {
    "a navigation": NAVIGATING,
    "an image elsewhere": {"Accept": "image/avif,*/*", "Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"},
    "a fetch elsewhere": {"Accept": "*/*", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
}


@pytest.fixture(scope="module")
def url(world: World) -> Iterator[str]:
    (world.folder / "logo.svg").write_text(LOGO, encoding="utf-8")
    with also_serving(world, lambda _: TABLES) as running:
        yield running


@pytest_asyncio.fixture(scope="module")
async def signed_in(world: World, url: str) -> AsyncIterator[httpx.AsyncClient]:
    """A browser's cookies, for requests that are written out."""
    async with Browser() as browser:
        await browser.open(f"{world.places.vault}/connections")
        await browser.click("Carol")
        yield browser.http


def door(url: str, client: str, **query: str) -> str:
    return f"{url}/auth/connect/github?{urlencode({'client_id': client, **query})}"


class TestLeaving:
    @pytest.mark.parametrize("headers", PROGRAMS.values(), ids=PROGRAMS)
    async def test_a_program_goes_straight_on(
        self, world: World, url: str, signed_in: httpx.AsyncClient, headers: Mapping[str, str]
    ) -> None:
        """api.md §3: the door ends at the provider."""
        answer = await signed_in.get(door(url, SAMPLE_AGENT), headers=headers)
        assert answer.status_code == 303
        assert answer.headers["location"].startswith(world.places.providers["github"])

    @pytest.mark.parametrize("headers", BROWSERS.values(), ids=BROWSERS)
    async def test_a_person_is_asked_first(
        self, world: World, url: str, signed_in: httpx.AsyncClient, headers: Mapping[str, str]
    ) -> None:
        answer = await signed_in.get(door(url, SAMPLE_AGENT), headers=headers)
        assert (answer.status_code, "location" in answer.headers) == (200, False)
        assert answer.headers["cache-control"] == "no-store"
        assert f'href="{world.places.providers["github"]}/authorize?' in answer.text

    async def test_a_client_may_turn_it_off(self, world: World, url: str, signed_in: httpx.AsyncClient) -> None:
        answer = await signed_in.get(door(url, "trusted-app"), headers=NAVIGATING)
        assert answer.status_code == 303
        assert answer.headers["location"].startswith(world.places.providers["github"])

    async def test_names_are_escaped_and_the_way_back_is_the_app_s(
        self, url: str, signed_in: httpx.AsyncClient
    ) -> None:
        """B7; a native app's scheme is a way back like any other."""
        for back, place in (("https://app.example/back", "app.example"), ("com.example.app:/back", "com.example.app")):
            answer = await signed_in.get(door(url, "asking-app", return_to=back), headers=NAVIGATING)
            assert "The &lt;app&gt; &amp; co" in answer.text
            assert "Example &lt;Company&gt;" in answer.text
            assert "<app>" not in answer.text
            cancel = re.search(r'href="([^"]+)">Cancel', answer.text)
            assert cancel is not None
            assert cancel[1].startswith(f"{back}?connection=github&amp;status=error&amp;error=access_denied&amp;")
            assert f"taken back to <bdi>{place}</bdi>" in answer.text

    async def test_what_is_asked_is_what_is_shown(self, url: str, signed_in: httpx.AsyncClient) -> None:
        for scope, shown in (("repo", {"repo"}), ("", {"repo", "read:user"})):
            answer = await signed_in.get(door(url, SAMPLE_AGENT, scope=scope), headers=NAVIGATING)
            onward = re.search(r'href="([^"]+)" rel="noreferrer"', answer.text)
            assert onward is not None
            assert set(query_of(onward[1].replace("&amp;", "&"))["scope"].split()) == shown
            assert set(re.findall(r'class="raw">\(([^)]+)\)', answer.text)) == shown


class TestErrors:
    @pytest.mark.parametrize(
        ("path", "status", "words", "action"),
        [
            (
                "/auth/connect/github?return_to=https://evil.example/",
                400,
                "a place that is not allowed",
                "/connections",
            ),
            ("/auth/connect/github?client_id=nobody", 400, "no app that is known here", "/connections"),
            ("/auth/connect/github?scope=admin:org", 400, "asks for more than the app may have", "/connections"),
            ("/auth/connect/nowhere", 400, "no such provider here", "/connections"),
            ("/auth/connect/github?return_to=%00", 400, "This link is not complete", "/connections"),
            ("/auth/connect?ticket=used", 400, "This link was used before or is too old.", "/connections"),
            ("/auth/callback/github?state=gone&code=x", 400, "This took too long", "/connections"),
            ("/auth/login/callback?state=gone&code=x", 400, "This took too long", "/auth/login"),
            ("/connections/nothing/disconnect", 404, "There is nothing here.", "/connections"),
            ("/connections/nothing", 404, "There is nothing here.", "/connections"),
        ],
    )
    async def test_each_has_its_words_and_one_way_on(
        self, url: str, signed_in: httpx.AsyncClient, *, path: str, status: int, words: str, action: str
    ) -> None:
        answer = await signed_in.get(url + path, headers=NAVIGATING)
        assert answer.status_code == status
        assert words in answer.text
        assert re.findall(r'class="button[^"]*" href="([^"]*)"', answer.text) == [action]
        assert "no-store" in answer.headers["cache-control"]

    async def test_they_are_in_the_reader_s_language(self, url: str, signed_in: httpx.AsyncClient) -> None:
        answer = await signed_in.get(f"{url}/auth/connect?ticket=used", headers={**NAVIGATING, "Accept-Language": "de"})
        assert "Dieser Link wurde schon benutzt" in answer.text
        assert '<html lang="de">' in answer.text
        assert answer.headers["content-language"] == "de"

    async def test_somebody_else_s_flow_can_be_left(self, world: World, url: str) -> None:
        """B3: wrong user; the one button leaves the session that is not the right one."""
        async with Browser(stop_at=[f"{world.places.vault}/auth/callback/"]) as browser:
            await browser.open(f"{world.places.vault}/connections")
            await browser.click("Bob")
            await browser.open(door(world.places.vault, SAMPLE_AGENT))
            await browser.click("Continue to GitHub")
            await browser.click("Bob")
            stopped = await browser.click("Allow")
            async with Browser() as other:
                await other.open(f"{world.places.vault}/connections")
                await other.click("Carol")
                browser.http.cookies.set("vaultd_session", other.http.cookies["vaultd_session"], domain="127.0.0.1")
            page = await browser.open(stopped.url)
            assert page.status == 403
            assert "This was begun by somebody else" in page.text
            page = await browser.click("Sign in as somebody else")
            assert page.url == f"{world.places.vault}/auth/signed-out"


class TestAssets:
    async def test_what_has_its_version_may_be_kept(self, url: str, signed_in: httpx.AsyncClient) -> None:
        text = (await signed_in.get(f"{url}/connections", headers=NAVIGATING)).text
        loaded = set(re.findall(r'(?:href|src)="(/connections/(?:style\.css|brand\.css|logo)[^"]*)"', text))
        assert len(loaded) == 3
        for path in loaded:
            answer = await signed_in.get(url + path)
            assert (answer.status_code, "immutable" in answer.headers["cache-control"]) == (200, True)
            bare = await signed_in.get(url + path.partition("?")[0])
            assert (bare.status_code, bare.headers["cache-control"]) == (200, "no-store")
            # A picture that is opened by itself is a document: the same policy stops what may be in it.
            assert "default-src 'none'" in answer.headers["content-security-policy"]
            assert answer.headers["x-content-type-options"] == "nosniff"

    async def test_the_logo_is_the_file_and_there_may_be_none(
        self, world: World, url: str, signed_in: httpx.AsyncClient
    ) -> None:
        answer = await signed_in.get(f"{url}/connections/logo")
        assert (answer.text, answer.headers["content-type"]) == (LOGO, "image/svg+xml")
        assert (await signed_in.get(f"{world.places.vault}/connections/logo")).status_code == 404
        assert (await signed_in.get(f"{url}/connections/logo-dark")).status_code == 404
