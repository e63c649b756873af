"""The small browser: what it reads from a page and what it sends."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from vaultd.sandbox.browser import Browser, BrowserError
from vaultd.sandbox.page import read_page

HTML = {"content-type": "text/html; charset=utf-8"}
PAGE = """<!doctype html><title> Your   page </title><style>p { color: red }</style>
<p>Fish &amp; chips</p> <a href="/more?x=1&amp;y=2">Read <b>more</b></a>
<form method="post" action="sub/mit">
  <input type="hidden" name="csrf" value="a&quot;b"><input name="note" value="">
  <input type="checkbox" name="on" value="1" checked><input type="checkbox" name="off" value="1">
  <button name="go" value="1" aria-label="Disconnect GitHub">Disconnect <i>it</i></button>
  <button name="go" value="2" aria-label="Disconnect Slack">Disconnect <i>it</i></button>
  <button type="button">Nothing</button><input type="submit" value="Save">
</form>"""


def test_a_page_is_read() -> None:
    page = read_page("http://a.test/", 200, HTML, PAGE)
    assert (page.title, page.text) == ("Your page", "Fish & chips Read more Disconnect it Disconnect it Nothing")
    assert page.links == {"Read more": "/more?x=1&y=2"}
    assert page.forms[0].fields == {"csrf": 'a"b', "note": "", "on": "1"}
    assert page.choices() == ["Disconnect it", "Disconnect it", "Save", "Read more"]
    assert page.pressable("Disconnect Slack")[0][1].value == "2"
    assert len(page.pressable("Disconnect it")) == 2


def test_other_kinds_have_nothing_to_click() -> None:
    page = read_page("http://a.test/", 200, {"content-type": "application/json"}, PAGE)
    assert (page.choices(), page.text, page.body) == ([], "", PAGE)


async def home(request: Request) -> Response:
    response = HTMLResponse(PAGE, headers={"Referrer-Policy": request.query_params.get("policy", "origin")})
    response.set_cookie("session", "kept", httponly=True)
    return response


async def echo(request: Request) -> Response:
    form = dict((await request.form()).items())
    return JSONResponse(
        {"form": form, "cookies": request.cookies, "origin": request.headers.get("origin"), "method": request.method}
    )


async def hop(request: Request) -> Response:
    return RedirectResponse(
        request.query_params.get("to", request.url.path + "?status=303"),
        status_code=int(request.query_params["status"]),
    )


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    routes = [Route("/home", home), Route("/sub/mit", echo, methods=["GET", "POST"]), Route("/hop", hop)]
    transport = httpx.ASGITransport(app=Starlette(routes=[*routes, Route("/more", echo)]))
    async with Browser(transport=transport, stop_at=["https://app.example.com/"]) as browser:
        yield browser


@pytest.mark.parametrize(("policy", "origin"), [("origin", "http://a.test"), ("no-referrer", "null")])
async def test_it_submits_what_a_browser_would(browser: Browser, policy: str, origin: str) -> None:
    await browser.open(f"http://a.test/home?policy={policy}")
    page = await browser.click("Disconnect Slack", fields={"note": "bye"})
    assert page.url == "http://a.test/sub/mit"
    form = {"csrf": 'a"b', "note": "bye", "on": "1", "go": "2"}
    sent = httpx.Response(200, text=page.body).json()
    assert sent == {"form": form, "cookies": {"session": "kept"}, "origin": origin, "method": "POST"}


async def test_it_follows_links(browser: Browser) -> None:
    await browser.open("http://a.test/home")
    assert (await browser.click("Read more")).url == "http://a.test/more?x=1&y=2"


@pytest.mark.parametrize("status", [302, 303, 307])
async def test_it_follows_redirects_and_stops_at_the_edge(browser: Browser, status: int) -> None:
    page = await browser.open(f"http://a.test/hop?status={status}&to=sub/mit")
    assert page.url == "http://a.test/sub/mit"
    page = await browser.open(f"http://a.test/hop?status={status}&to=https://app.example.com/done%3Fcode=1")
    assert (page.url, page.status) == ("https://app.example.com/done?code=1", 0)


async def test_it_says_what_it_cannot_find(browser: Browser) -> None:
    await browser.open("http://a.test/home")
    with pytest.raises(BrowserError, match="has no 'Allow', only"):
        await browser.click("Allow")
    with pytest.raises(BrowserError, match="Several things"):
        await browser.click("Disconnect it")
    with pytest.raises(BrowserError, match="without an end"):
        await browser.open("http://a.test/hop?status=303")
