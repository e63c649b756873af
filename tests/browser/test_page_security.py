"""B7 in a real browser: frames, forms of others, and what somebody else's text does in a page."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import count
from urllib.parse import urljoin, urlsplit
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import APIRequestContext, Page, expect
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.browser.conftest import OpenPage
from tests.browser.hosted import Hosted, hosted_vault
from tests.browser.lived import MAY_ACT, NIGHT_AGENT
from tests.conftest import DatabaseUrls
from tests.support.signing import Signer
from vaultd.sandbox.servers import LoopbackServers

HOSTILE = [
    "<script>document.title = 'owned'</script>",
    '"><img src=x onerror="document.title=\'owned\'">',
    "' onmouseover='document.title=1' autofocus onfocus='document.title=1",
    "</strong></h2><form action=https://evil.example><button>Sign out</button></form>",
    "{{ 7 * 7 }}{% raw %}${7*7}#{7*7}",
    "javascript:document.title='owned'//",
    "&lt;b&gt;&amp;quot;",
    "\u05d0\u05d1\u05d2 evil.example/\u05d3\u05d4",
    "A" * 200,
    "<svg/onload=document.title='owned'><style>*{display:none}</style>",
]
STEERED = "moc.live\u202e\u200b\u0000\r\ngood"
"""With characters that turn the text around, hide in it, or break its line."""


class Naming:
    """Where the provider says whose an account is: each time another one's, called what `label` says."""

    def __init__(self) -> None:
        self.label = ""
        self._numbers = count(1)
        self.app = Starlette(routes=[Route("/userinfo", self._userinfo)])

    async def _userinfo(self, _: Request) -> Response:
        return JSONResponse({"id": next(self._numbers), "sub": "x", "email": self.label})


@dataclass(frozen=True, slots=True)
class Stage:
    """A vault, and who names the accounts in it."""

    hosted: Hosted
    naming: Naming


@pytest_asyncio.fixture(scope="module")
async def stage(module_database: DatabaseUrls, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    naming = Naming()
    with LoopbackServers() as servers:
        userinfo = f"{servers.serve(naming.app)}/userinfo"
        async with hosted_vault(
            database_url=module_database.service,
            folder=tmp_path_factory.mktemp("stage"),
            tables=Signer(NIGHT_AGENT, vault="nowhere").table(MAY_ACT),
            userinfo=userinfo,
        ) as hosted:
            yield Stage(hosted, naming)


async def connect_as(stage: Stage, page: Page, label: str) -> None:
    stage.naming.label = label
    await stage.hosted.connect(page, "github")
    await expect(page.get_by_role("status")).to_be_visible()


async def test_b7_stored_xss_what_others_wrote_is_text(stage: Stage, open_page: OpenPage) -> None:
    """Through the label of an account, which the provider gives, and the name of the user, which the issuer gives."""
    page = await open_page(width=320)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("dialog", lambda _: asked.append("a dialog"))
    user = f"<script>document.title='owned'</script>\"'&amp; {uuid4().hex}"
    await stage.hosted.enter(page, user)
    for label in (*HOSTILE, STEERED):
        await connect_as(stage, page, label)
    asked.clear()
    await page.goto(f"{stage.hosted.url}/connections")
    for text in (user, *HOSTILE, "moc.livegood"):
        await expect(page.get_by_text(text, exact=True).first).to_be_visible()
    for path in ("/connections", "/connections/activity"):
        await page.goto(stage.hosted.url + path)
        await is_harmless(stage, page)
    for link in await page.get_by_role("link", name="Disconnect").all():
        await page.goto(urljoin(stage.hosted.url, await link.get_attribute("href") or ""))
        await is_harmless(stage, page)
    assert {urlsplit(url).netloc for url in asked} == {urlsplit(stage.hosted.url).netloc}


async def is_harmless(stage: Stage, page: Page) -> None:
    """Nothing of it became an element, an attribute or a style, and nothing runs out of the page."""
    assert "owned" not in await page.title()
    assert (
        await page.locator("script, img:not([alt='']), iframe, object, main style, base, meta[http-equiv]").count() == 0
    )
    attributes = await page.evaluate(
        "() => [...document.querySelectorAll('*')].flatMap(each => [...each.attributes].map(a => a.name))"
    )
    assert not [name for name in attributes if name.startswith("on")]
    for form in await page.locator("form").all():
        action = await form.evaluate("form => form.action")
        assert action.startswith(f"{stage.hosted.url}/")
    for link in await page.locator("a[href]").all():
        assert (await link.evaluate("link => link.protocol")) in {"http:", "https:"}
    assert await page.evaluate("document.scrollingElement.scrollWidth") <= 320


async def test_b7_a_right_to_left_label_turns_nothing_around(stage: Stage, open_page: OpenPage) -> None:
    page = await open_page()
    await stage.hosted.enter(page, f"user-{uuid4().hex}")
    await connect_as(stage, page, HOSTILE[7])
    await page.goto(f"{stage.hosted.url}/connections")
    label = page.get_by_text(HOSTILE[7], exact=True).first
    assert await label.evaluate("each => getComputedStyle(each).unicodeBidi") == "isolate"


async def test_b7_clickjacking_no_page_is_shown_in_a_frame(hosted: Hosted, open_page: OpenPage, somebody: str) -> None:
    """The app is of the same site, so that the browser sends the session along: only the headers stand in the way."""
    page = await open_page()
    await hosted.enter(page, somebody)
    paths = ["/connections", "/connections/activity", "/auth/connect/github", "/auth/signed-out", "/docs", "/nowhere"]
    control = f"{hosted.places.agent}/may-be-framed"
    for element in ("iframe src", "embed src", "object data"):
        urls = [control, *(hosted.url + path for path in paths)]
        hosted.app.pages["/frames"] = "".join(f"<{element}='{url}'></{element.split()[0]}>" for url in urls)
        await page.goto(f"{hosted.places.agent}/frames")
        await page.wait_for_load_state("networkidle")
        shown = {frame.url for frame in page.frames[1:]}
        assert control in shown, element
        # What Chromium puts in the place of each that is refused.
        assert shown - {control} <= {"chrome-error://chromewebdata/"}, element


async def test_b7_a_window_that_others_opened_is_out_of_their_reach(
    hosted: Hosted, open_page: OpenPage, somebody: str
) -> None:
    """`Cross-Origin-Opener-Policy`: no handle is left, by which it could be led away under the person's eyes."""
    page = await open_page()
    await hosted.enter(page, somebody)
    hosted.app.pages["/opener"] = f"<a href='{hosted.url}/connections' target=_blank rel=opener>Open</a>"
    await page.goto(f"{hosted.places.agent}/opener")
    async with page.expect_popup() as opened:
        await page.get_by_role("link", name="Open").click()
    popup = await opened.value
    await expect(popup.get_by_text(somebody).first).to_be_visible()
    assert await popup.evaluate("window.opener === null")


async def test_b7_pages_of_others_read_nothing(hosted: Hosted, open_page: OpenPage, somebody: str) -> None:
    page = await open_page()
    await hosted.enter(page, somebody)
    await page.goto(f"{hosted.places.agent}/reader")
    for path in ("/connections", "/connections/activity", "/me/v1/connected-accounts/accounts", "/auth/connect/github"):
        got = await page.evaluate(
            "url => fetch(url, {credentials: 'include'}).then(answer => answer.text(), error => error.name)",
            hosted.url + path,
        )
        assert got == "TypeError", path


async def test_b7_forms_of_others_change_nothing(hosted: Hosted, open_page: OpenPage, somebody: str) -> None:
    """CSRF from a page of the same site, where `SameSite` does not help."""
    page = await open_page()
    await hosted.enter(page, somebody)
    hosted.app.pages["/forger"] = (
        f"<form method=post action='{hosted.url}/auth/logout'>"
        "<input name=csrf value=guessed><button>Win</button></form>"
    )
    await page.goto(f"{hosted.places.agent}/forger")
    async with page.expect_response(lambda answer: answer.request.method == "POST") as caught:
        await page.get_by_role("button", name="Win").click()
    assert (await caught.value).status == httpx.codes.BAD_REQUEST
    await page.goto(f"{hosted.url}/connections")
    await expect(page.get_by_text(somebody).first).to_be_visible()


async def test_b7_each_form_of_each_page_carries_its_token(stage: Stage, open_page: OpenPage) -> None:
    page = await open_page()
    user = f"user-{uuid4().hex}"
    await stage.hosted.enter(page, user)
    await connect_as(stage, page, "somebody")
    forms = await walk(stage.hosted, page)
    kinds = {"/".join(part for part in urlsplit(url).path.split("/") if len(part) != 36) for url in forms}
    assert kinds == {"/auth/logout", "/connections/disconnect", "/connections/away"}
    http = page.context.request
    for url, fields in forms.items():
        assert len(fields["csrf"]) == 64, url
        for forged in (None, "", "0" * 64, fields["csrf"].upper(), fields["csrf"] + "0"):
            await is_refused(http, url, fields, forged)
    await page.goto(f"{stage.hosted.url}/connections")
    await expect(page.get_by_text(user).first).to_be_visible()
    await expect(page.get_by_role("link", name="Disconnect GitHub")).to_be_visible()


async def is_refused(http: APIRequestContext, url: str, fields: dict[str, str], csrf: str | None) -> None:
    changed = {name: value for name, value in fields.items() if name != "csrf"}
    if csrf is not None:
        changed["csrf"] = csrf
    answer = await http.post(url, form=dict(changed), max_redirects=0)
    assert answer.status == httpx.codes.BAD_REQUEST, (url, csrf)
    # Nor is there a way round by a link: the token is read from the body alone.
    assert (await http.post(f"{url}?csrf={fields['csrf']}", max_redirects=0)).status == httpx.codes.BAD_REQUEST
    assert (await http.get(url, params=dict(fields), max_redirects=0)).status != httpx.codes.SEE_OTHER


async def walk(hosted: Hosted, page: Page) -> dict[str, dict[str, str]]:
    """Every page that links lead to, and every form that posts, with its fields."""
    waiting, seen, forms = ["/connections"], set[str](), dict[str, dict[str, str]]()
    while waiting:
        path = waiting.pop()
        seen.add(path)
        answer = await page.goto(hosted.url + path)
        assert answer is not None
        assert answer.headers["cache-control"] == "no-store", path
        for form in await page.locator("form[method=post]").all():
            fields = await form.evaluate("form => Object.fromEntries(new FormData(form))")
            button = await form.evaluate(
                "form => [...form.querySelectorAll('button[name]')].map(each => [each.name, each.value])"
            )
            forms[await form.evaluate("form => form.action")] = {**fields, **dict(button)}
        for href in await page.locator("a[href^='/']").evaluate_all("links => links.map(link => link.pathname)"):
            if href not in seen and href not in waiting and not href.startswith("/auth/login"):
                waiting.append(href)
    assert len(seen) >= 5, seen
    return forms
