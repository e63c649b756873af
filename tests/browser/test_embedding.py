"""What docs/embedding.md shows is what happens: its commands are run, its app is played, its scripts are loaded."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from playwright.async_api import Page, expect
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.browser.conftest import OpenPage
from vaultd.sandbox.browser import Browser
from vaultd.sandbox.loopback import loopback_http
from vaultd.sandbox.page import Page as SmallPage
from vaultd.sandbox.servers import LoopbackServers, listen

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "embedding.md").read_text(encoding="utf-8")
START = 60.0
ONWARD = ("Continue to GitHub", "Bob", "Allow")
"""What Bob presses, where it is shown: the vault's own page, the issuer's or the provider's."""


def snippets(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)


@dataclass
class Between:
    """Stands between the app and the vault, and counts what the accounts API answered."""

    vault: str
    answered: Counter[int] = field(default_factory=Counter)

    def app(self) -> Starlette:
        return Starlette(routes=[Route("/{path:path}", self._forward)])

    async def _forward(self, request: Request) -> Response:
        names = ("authorization", "if-none-match", "cookie")
        headers = {name: request.headers[name] for name in names if name in request.headers}
        path = request.url.replace(scheme="", netloc="")
        async with loopback_http(base_url=self.vault) as http:
            answer = await http.get(str(path), headers=headers)
        if request.url.path.startswith("/me/"):
            self.answered[answer.status_code] += 1
        response = Response(answer.content, answer.status_code)
        kept = ("content-type", "etag", "location", "set-cookie")
        response.raw_headers += [pair for pair in answer.headers.raw if pair[0].decode().lower() in kept]
        return response


@dataclass(frozen=True)
class Embedded:
    """The running app, its sandbox, and who listens in between."""

    url: str
    vault: str
    issuer: str
    between: Between

    async def disconnect(self) -> None:
        """Bob's GitHub, if it is connected, by the accounts API."""
        scopes = "read:me:connected_accounts delete:me:connected_accounts"
        minted = {"azp": "sample-agent", "scope": scopes}
        async with loopback_http(base_url=f"{self.vault}/me/v1/connected-accounts/") as http:
            token = (await http.get(f"{self.issuer}/_sandbox/token/bob", params=minted)).text.strip()
            http.headers["Authorization"] = f"Bearer {token}"
            for account in (await http.get("accounts")).json()["accounts"]:
                assert (await http.delete(f"accounts/{account['id']}")).status_code == 204


@contextmanager
def running(command: str) -> Iterator[subprocess.Popen[str]]:
    """A command of the document's, in a shell as it stands there."""
    environ = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    process = subprocess.Popen(
        ["/bin/sh", "-euc", f"{command.rstrip()} & trap 'kill $!' TERM; wait $!"],
        cwd=ROOT,
        env=environ,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)


@pytest.fixture(scope="module")
def embedded() -> Iterator[Embedded]:
    """The document's two commands, on ports that are free."""
    sandbox, app = [snippet for snippet in snippets("sh") if "8090" in snippet]
    own, between_at = listen(), listen()
    url, port = own.url, own.port
    own.socket.close()
    with ExitStack() as stack:
        stack.callback(between_at.socket.close)
        command = sandbox.replace("--port 8080", "--port 0").replace("http://127.0.0.1:8090", url)
        dev = stack.enter_context(running(command))
        assert dev.stdout is not None
        said = ""
        while "sample agent" not in said and (line := dev.stdout.readline()):
            said += line
        vault, issuer = (re.search(rf"^  {name} +(http\S+)$", said, re.MULTILINE) for name in ("vaultd", "issuer"))
        assert vault, said
        assert issuer, said
        between = Between(vault[1])
        servers = stack.enter_context(LoopbackServers())
        servers.serve(between.app(), between_at)
        places = {
            "http://127.0.0.1:8080": between_at.url,
            "http://127.0.0.1:8081": issuer[1],
            "http://127.0.0.1:8090": url,
            "--port 8090": f"--port {port}",
        }
        for written, real in places.items():
            assert written in app
            app = app.replace(written, real)
        stack.enter_context(running(app))
        _wait_for(url)
        yield Embedded(f"{url}/", vault[1], issuer[1], between)


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + START
    while time.monotonic() < deadline:
        try:
            httpx.get(url, trust_env=False, timeout=10.0)
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return
    raise TimeoutError(url)


async def go(browser: Browser, app: str, *, decision: str = "Allow") -> SmallPage:
    """Follow the link and press what there is to press, until the app's page is back."""
    page = await browser.click("Connect GitHub")
    presses = 0
    while not page.url.startswith(app):
        assert presses < 5, page.text
        presses += 1
        what = [name for name in (*ONWARD[:2], decision) if page.pressable(name) or name in page.links]
        assert what, page.choices()
        page = await browser.click(what[0])
    return page


async def test_8_the_app_by_its_link_and_the_accounts_api(embedded: Embedded) -> None:
    """Issue 6, item 8: "Connect GitHub", `?connection=github&status=…`, and the state with its ETag."""
    await embedded.disconnect()
    async with Browser() as browser:
        assert "GitHub: not connected." in (await browser.open(embedded.url)).text
        denied = await go(browser, embedded.url, decision="Deny")
        assert parse_qs(urlsplit(denied.url).query)["error"] == ["access_denied"]
        assert "You did not allow the connection." in denied.text
        assert "GitHub: not connected." in denied.text
        back = await go(browser, embedded.url)
        assert parse_qs(urlsplit(back.url).query) == {"connection": ["github"], "status": ["connected"]}
        assert "Welcome back from GitHub." in back.text
        assert "GitHub: connected as bob" in back.text
        embedded.between.answered.clear()
        for _ in range(3):
            assert "GitHub: connected as bob" in (await browser.open(embedded.url)).text
        # Nothing was different, so nothing was sent.
        assert embedded.between.answered == {304: 3}
        await embedded.disconnect()
        assert "GitHub: not connected." in (await browser.open(embedded.url)).text
        assert embedded.between.answered == {304: 3, 200: 1}


async def test_8_the_way_back_is_never_believed(embedded: Embedded) -> None:
    await embedded.disconnect()
    made_up = "?connection=github&status=connected&error_description=<script>alert(1)</script>"
    async with Browser() as browser:
        for query in (made_up, made_up.replace("=connected", "=error"), "?connection=<b>&status=connected"):
            page = await browser.open(embedded.url + query)
            assert "GitHub: not connected." in page.text
            assert "<script>" not in page.text
            assert "<b>" not in page.text


async def test_8_the_same_in_a_real_browser(embedded: Embedded, open_page: OpenPage) -> None:
    await embedded.disconnect()
    page = await open_page(scripts=False)
    await page.goto(embedded.url)
    await page.get_by_role("link", name="Connect GitHub").click()
    while not page.url.startswith(embedded.url):
        await press(page)
    await expect(page.get_by_role("status")).to_have_text("Welcome back from GitHub.")
    await expect(page.get_by_text("GitHub: connected as bob")).to_be_visible()


async def press(page: Page) -> None:
    """Whatever leads on from this page."""
    here = page.url
    for name in ONWARD:
        found = page.get_by_role("button", name=name, exact=True).or_(page.get_by_role("link", name=name))
        if await found.count():
            await found.first.click()
            await page.wait_for_url(lambda url: url != here)
            return
    raise AssertionError(await page.content())


async def test_8_the_script_for_a_page_without_a_backend(embedded: Embedded, open_page: OpenPage) -> None:
    """The document's own lines, loaded from the app's origin."""
    await embedded.disconnect()
    (script,) = [snippet for snippet in snippets("js") if "If-None-Match" in snippet]
    script = script.replace("https://vault.example.com", embedded.vault)
    page = await open_page()
    await page.goto(embedded.url)
    minted = {"azp": "sample-agent", "scope": "read:me:connected_accounts"}
    async with loopback_http() as http:
        token = (await http.get(f"{embedded.issuer}/_sandbox/token/bob", params=minted)).text.strip()
    twice = """async ([script, token]) => {
      const { accounts } = await import(`data:text/javascript,${encodeURIComponent(script)}`);
      const first = await accounts(token);
      const second = await accounts(token, first);
      const wrong = await accounts('x').catch((error) => error.message);
      return {first, same: first === second, wrong};
    }"""
    found = await page.evaluate(twice, [script, token])
    assert found["first"]["list"] == []
    assert re.fullmatch(r'"[0-9a-f]{32}"', found["first"]["etag"])
    assert (found["same"], found["wrong"]) == (True, "The access token is missing, expired or not accepted here.")


def test_8_the_configuration_of_the_document_is_one() -> None:
    (line,) = snippets("toml")
    example = (ROOT / "vaultd.example.toml").read_text(encoding="utf-8")
    assert line.split(" = ")[0] in example
