"""Behind TLS, at a name of its own beside a hostile one: cookies as the browser really keeps them (security B7)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import httpx
import pytest_asyncio
from playwright.async_api import Page, expect

from tests.browser.conftest import OpenPage
from tests.browser.hosted import App, Hosted, hosted_vault
from tests.conftest import DatabaseUrls
from tests.support.chromium import HOSTS
from tests.support.tls import Certificate, tls_before
from vaultd.sandbox.servers import LoopbackServers, listen

SESSION = "__Host-vaultd_session"


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The vault, and a page of somebody else's under the same domain, whose cookies reach up to it."""

    hosted: Hosted
    evil: str
    app: App


@pytest_asyncio.fixture(scope="module")
async def neighbours(
    module_database: DatabaseUrls, certificate: Certificate, tmp_path_factory: Any
) -> AsyncIterator[Neighbours]:
    app, outer = App(), listen()
    async with AsyncExitStack() as stack:
        servers = stack.enter_context(LoopbackServers())
        plain = listen()
        servers.serve(app.app, plain)
        await stack.enter_async_context(tls_before(plain.port, outer, certificate))
        hosted = await stack.enter_async_context(
            hosted_vault(
                database_url=module_database.service,
                folder=tmp_path_factory.mktemp("https"),
                certificate=certificate,
            )
        )
        yield Neighbours(hosted, f"https://evil.{HOSTS}:{outer.port}", app)


async def cookies_of(page: Page, name: str) -> list[dict[str, Any]]:
    return [dict(each) for each in await page.context.cookies() if each["name"] == name]


async def toss(page: Page, neighbours: Neighbours, cookies: list[str]) -> None:
    """The neighbour tries to write cookies."""
    await page.goto(f"{neighbours.evil}/toss")
    await page.evaluate("all => all.forEach(each => document.cookie = each)", cookies)


async def test_b7_cookies_as_the_browser_keeps_them(neighbours: Neighbours, open_page: OpenPage, somebody: str) -> None:
    page = await open_page()
    await neighbours.hosted.sign_in(page, somebody)
    await page.goto(f"{neighbours.hosted.url}/connections?lang=de")
    kept = {each["name"]: each for each in await page.context.cookies(neighbours.hosted.url)}
    assert set(kept) == {SESSION, "__Host-vaultd_browser", "__Host-vaultd_lang"}
    for cookie in kept.values():
        assert (cookie["secure"], cookie["httpOnly"], cookie["sameSite"]) == (True, True, "Lax"), cookie["name"]
        # Without a dot before it: for this host alone.
        assert (cookie["domain"], cookie["path"]) == (f"vault.{HOSTS}", "/"), cookie["name"]
    assert kept[SESSION]["expires"] == -1, "gone with the browser"
    assert await page.evaluate("document.cookie") == ""


async def test_b7_a_neighbour_neither_reads_nor_replaces_the_session(
    neighbours: Neighbours, open_page: OpenPage, somebody: str
) -> None:
    """Cookie theft and tossing between subdomains: `__Host-` is for one host, whoever else writes for the domain."""
    page = await open_page()
    await neighbours.hosted.sign_in(page, somebody)
    (before,) = await cookies_of(page, SESSION)
    await toss(
        page,
        neighbours,
        [
            f"{SESSION}=tossed; Domain={HOSTS}; Path=/; Secure",
            f"{SESSION}=tossed; Domain={HOSTS}; Path=/connections; Secure",
            f"__host-vaultd_session=tossed; Domain={HOSTS}; Path=/; Secure",
            f"={SESSION}=tossed; Domain={HOSTS}; Path=/; Secure",
            f"vaultd_session=tossed; Domain={HOSTS}; Path=/; Secure",
            f"vaultd_browser=tossed; Domain={HOSTS}; Path=/; Secure",
        ],
    )
    assert len(await cookies_of(page, "vaultd_session")) == 1, "it may write for the whole domain"
    request = next(each for each in reversed(neighbours.app.seen) if each.url.path == "/toss")
    assert "vaultd" not in request.headers.get("cookie", ""), "the neighbour was sent nothing"
    assert [each["value"] for each in await cookies_of(page, SESSION)] == [before["value"]]
    await page.goto(f"{neighbours.hosted.url}/connections")
    await expect(page.get_by_text(somebody).first).to_be_visible()


async def test_b1_a_tossed_cookie_signs_nobody_in(neighbours: Neighbours, open_page: OpenPage, somebody: str) -> None:
    """Login CSRF by a neighbour: it may write what it likes, and vaultd reads the names that it cannot write."""
    page = await open_page()
    await toss(
        page,
        neighbours,
        [f"vaultd_session=x; Domain={HOSTS}; Secure", f"vaultd_browser={'x' * 43}; Domain={HOSTS}; Secure"],
    )
    await neighbours.hosted.sign_in(page, somebody)
    (browser,) = await cookies_of(page, "__Host-vaultd_browser")
    assert browser["value"] != "x" * 43
    await expect(page.get_by_text(somebody).first).to_be_visible()


async def test_b7_a_form_of_a_neighbour_changes_nothing(
    neighbours: Neighbours, open_page: OpenPage, somebody: str
) -> None:
    """The neighbour is of the same site, and so the browser sends the session with its forms."""
    page = await open_page()
    await neighbours.hosted.sign_in(page, somebody)
    neighbours.app.pages["/forger"] = (
        f"<form method=post action='{neighbours.hosted.url}/auth/logout'><button>Win</button></form>"
    )
    await page.goto(f"{neighbours.evil}/forger")
    async with page.expect_request(lambda request: request.method == "POST") as asked:
        await page.get_by_role("button", name="Win").click()
    request = await asked.value
    answer = await request.response()
    assert SESSION in (await request.all_headers()).get("cookie", ""), "or the test would prove nothing"
    assert answer is not None
    assert answer.status == httpx.codes.BAD_REQUEST
    await page.goto(f"{neighbours.hosted.url}/connections")
    await expect(page.get_by_text(somebody).first).to_be_visible()


async def test_b7_the_whole_way_behind_tls(neighbours: Neighbours, open_page: OpenPage, somebody: str) -> None:
    page = await open_page()
    await neighbours.hosted.sign_in(page, somebody)
    await neighbours.hosted.connect(page, "github")
    await expect(page).to_have_url(f"{neighbours.hosted.url}/connections?connection=github&status=connected")
    await page.get_by_role("button", name="Sign out").click()
    await expect(page).to_have_url(f"{neighbours.hosted.url}/auth/signed-out")
    assert await cookies_of(page, SESSION) == []


async def test_b7_hsts_the_browser_asks_for_https_by_itself(
    neighbours: Neighbours, open_page: OpenPage, somebody: str
) -> None:
    """RFC 6797 §8.3: after one visit, plain http to this host does not leave the browser."""
    page = await open_page()
    answer = await page.goto(f"{neighbours.hosted.url}/auth/signed-out")
    assert answer is not None
    assert answer.headers["strict-transport-security"] == "max-age=31536000; includeSubDomains"
    plain = neighbours.hosted.url.replace("https://", "http://")
    again = await page.goto(f"{plain}/auth/signed-out")
    assert again is not None
    assert again.url == f"{neighbours.hosted.url}/auth/signed-out"
    upgraded = again.request.redirected_from
    assert upgraded is not None
    answered = await upgraded.response()
    assert answered is not None
    assert (answered.status, answered.headers.get("non-authoritative-reason")) == (307, "HSTS")
