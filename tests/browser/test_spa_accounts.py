"""A page without a backend calls the accounts API by CORS, with npm's auth0-spa-js and without (api.md §2)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest_asyncio
from playwright.async_api import Page, expect
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from tests.browser.conftest import OpenPage
from tests.browser.hosted import Hosted, allow_at_provider, go_on, hosted_vault
from tests.conftest import DatabaseUrls
from tests.support.chromium import HOSTS
from tests.support.node import FOLDER
from vaultd.sandbox.dev_config import SAMPLE_AGENT
from vaultd.sandbox.servers import LoopbackServers, listen

SDK = FOLDER / "node_modules" / "@auth0" / "auth0-spa-js" / "dist" / "auth0-spa-js.production.esm.js"
API = "/me/v1/connected-accounts"
ACCOUNTS = f"{API}/accounts"
# Where an app has its user's token from is its own matter; all else is the SDK's.
PAGE = """<!doctype html>
<title>A page without a backend</title>
<script type="module">
import { Auth0Client } from '/sdk.js';

class Client extends Auth0Client {
  async getTokenSilently() { return sessionStorage.token; }
}

window.client = new Client({ domain: '%(vault)s', clientId: 'sample-agent' });
if (/[?&](connect_code|error)=/.test(location.search)) {
  const told = ({ name, error, error_description, message }) => ({ name, error, error_description, message });
  window.outcome = await client.handleRedirectCallback().catch(told);
}
</script>
"""
FETCH = """async ([url, init]) => {
  const answer = await fetch(url, init);
  const text = await answer.text();
  const [etag, challenge, hidden] = ['etag', 'www-authenticate', 'x-frame-options'].map((n) => answer.headers.get(n));
  return {status: answer.status, body: text ? JSON.parse(text) : null, etag, challenge, hidden};
}"""


@dataclass
class Spa:
    """The page's server; it knows no user and no secret."""

    vault: str = ""
    seen: list[str] = field(default_factory=list)

    def app(self) -> Starlette:
        return Starlette(routes=[Route("/", self._page), Route("/bare", self._bare), Route("/sdk.js", self._sdk)])

    async def _page(self, request: Request) -> Response:
        self.seen.append(str(request.url))
        return HTMLResponse(PAGE % {"vault": self.vault})

    async def _bare(self, request: Request) -> Response:
        return PlainTextResponse(f"Nothing but {request.url.path}")

    async def _sdk(self, request: Request) -> Response:
        return FileResponse(SDK, media_type="text/javascript")


@dataclass(frozen=True)
class Place:
    """A vault whose accounts API scripts of `url` may call."""

    hosted: Hosted
    url: str
    port: int

    async def open(self, page: Page, person: str, path: str = "/") -> None:
        """Open the page as this person, their token in the page's keeping."""
        await page.goto(f"{self.url}/bare")
        token = (await self.hosted.session_token(person)).reveal()
        await page.evaluate("token => { sessionStorage.token = token; }", token)
        await page.goto(self.url + path)
        await page.wait_for_function("window.client !== undefined")

    async def outcome(self, page: Page) -> dict[str, Any]:
        """What the SDK made of the way back."""
        await page.wait_for_function("window.outcome !== undefined")
        found: dict[str, Any] = await page.evaluate("window.outcome")
        return found


@pytest_asyncio.fixture(scope="module")
async def place(module_database: DatabaseUrls, tmp_path_factory: Any) -> AsyncIterator[Place]:
    at, spa = listen(), Spa()
    line = f'default_client = "{SAMPLE_AGENT}"'
    changes = {line: f'{line}\nallowed_origins = ["{at.url}"]', '/connected"]': f'/connected", "{at.url}"]'}
    folder = tmp_path_factory.mktemp("spa")
    async with hosted_vault(database_url=module_database.service, folder=folder, changes=changes) as hosted:
        spa.vault = hosted.url
        with LoopbackServers() as servers:
            servers.serve(spa.app(), at)
            yield Place(hosted, at.url, at.port)


async def connect(page: Page, **more: object) -> None:
    """Leave by the SDK; the script ends with the page that it was in."""
    options = {"connection": "github", "scopes": ["repo"], "appState": {"from": "settings"}, **more}
    async with page.expect_navigation():
        await page.evaluate("options => { client.connectAccountWithRedirect(options); }", options)


async def test_api_2_the_whole_sdk_in_a_real_page(place: Place, open_page: OpenPage, somebody: str) -> None:
    page = await open_page()
    await place.open(page, somebody)
    await connect(page)
    await go_on(page)
    await allow_at_provider(page)
    await page.wait_for_url(f"{place.url}/?*")
    outcome = await place.outcome(page)
    assert outcome["connection"] == "github", outcome
    assert (outcome["scopes"], outcome["appState"]) == (["repo"], {"from": "settings"})
    answer = await place.hosted.exchange(somebody, "github")
    assert answer.status_code == 200, answer.text
    # The code is used up: the same way back again is an error of the SDK's own.
    await page.goto(page.url)
    assert (await place.outcome(page))["error"] == "missing_transaction"


async def test_api_2_the_sdk_is_told_of_a_no(place: Place, open_page: OpenPage, somebody: str) -> None:
    page = await open_page()
    await place.open(page, somebody)
    await connect(page)
    await go_on(page)
    await allow_at_provider(page, decision="Deny")
    await page.wait_for_url(f"{place.url}/?*")
    outcome = await place.outcome(page)
    assert (outcome["error"], outcome["error_description"]) == ("access_denied", "You did not allow the connection.")


async def test_api_2_the_sdk_is_told_of_a_no_on_the_vaults_own_page(
    place: Place, open_page: OpenPage, somebody: str
) -> None:
    page = await open_page()
    await place.open(page, somebody)
    await connect(page)
    await expect(page.get_by_text(somebody)).to_be_visible()
    await page.get_by_role("link", name="Cancel").click()
    await page.wait_for_url(f"{place.url}/?*")
    assert (await place.outcome(page))["error"] == "access_denied"


async def fetched(page: Page, url: str, headers: Mapping[str, str], **init: object) -> dict[str, Any]:
    found: dict[str, Any] = await page.evaluate(FETCH, [url, {"headers": headers, "cache": "no-store", **init}])
    return found


async def test_api_2_a_script_reads_the_etag_and_every_error(place: Place, open_page: OpenPage, somebody: str) -> None:
    page = await open_page()
    await place.open(page, somebody)
    url, bearer = (
        place.hosted.url + ACCOUNTS,
        {"Authorization": f"Bearer {await page.evaluate('sessionStorage.token')}"},
    )
    first = await fetched(page, url, bearer)
    assert (first["status"], first["body"]) == (200, {"accounts": []})
    same = await fetched(page, url, {**bearer, "If-None-Match": first["etag"]})
    assert (same["status"], same["etag"], same["body"]) == (304, first["etag"], None)
    # What is not exposed stays unread.
    assert first["hidden"] is None
    refused = await fetched(page, url, {"Authorization": "Bearer x"})
    assert (refused["status"], refused["body"]["title"]) == (401, "Invalid token")
    assert refused["challenge"].startswith('Bearer realm="vaultd"')
    posted = await fetched(
        page,
        f"{place.hosted.url}{API}/connect",
        {**bearer, "Content-Type": "application/json"},
        method="POST",
        body=json.dumps({"connection": 7}),
    )
    assert (posted["status"], len(posted["body"]["validation_errors"])) == (400, 2)
    gone = await fetched(page, f"{url}/{'0' * 8}-0000-4000-8000-{'0' * 12}", bearer, method="DELETE")
    assert gone["status"] == 404


async def test_api_2_the_browsers_own_cache_asks_each_time(place: Place, open_page: OpenPage, somebody: str) -> None:
    """`private, no-cache`: kept, and never shown without asking. The script sees 200, the wire has 304."""
    page = await open_page()
    await place.open(page, somebody)
    statuses: list[int] = []
    session = await page.context.new_cdp_session(page)
    await session.send("Network.enable")
    session.on("Network.responseReceivedExtraInfo", lambda event: statuses.append(event["statusCode"]))
    headers = {"Authorization": f"Bearer {await page.evaluate('sessionStorage.token')}"}
    url = place.hosted.url + ACCOUNTS
    answers = [await fetched(page, url, headers, cache="default") for _ in range(2)]
    assert [answer["status"] for answer in answers] == [200, 200]
    assert answers[0]["body"] == answers[1]["body"]
    assert statuses[-1] == 304


async def test_api_2_a_page_of_another_origin_reads_nothing(place: Place, open_page: OpenPage, somebody: str) -> None:
    page = await open_page()
    token = (await place.hosted.session_token(somebody)).reveal()
    await page.goto(f"http://evil.{HOSTS}:{place.port}/bare")
    assert "Nothing but /bare" in await page.inner_text("body")
    attempt = """async ([url, token]) => {
      const headers = token ? {Authorization: `Bearer ${token}`} : {};
      return fetch(url, {headers}).then(() => 'read', (error) => error.name);
    }"""
    for given in (token, ""):
        assert await page.evaluate(attempt, [place.hosted.url + ACCOUNTS, given]) == "TypeError"
