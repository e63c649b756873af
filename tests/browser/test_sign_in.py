"""Signing in and out in a real browser, at a certified issuer (issue 6, item 1; security B7, B8)."""

from __future__ import annotations

import httpx
from playwright.async_api import Page, expect

from tests.browser.conftest import OpenPage
from tests.browser.hosted import Hosted, allow_at_provider, go_on, sign_in_at_issuer
from vaultd.sandbox.browser import Browser as SmallBrowser
from vaultd.sandbox.loopback import loopback_http


async def sign_out_at_issuer(page: Page) -> None:
    """The issuer's own page asks once more."""
    await page.get_by_role("button", name="Yes, sign me out").click()
    await page.get_by_text("Sign-out Success").wait_for()


async def is_in(hosted: Hosted, page: Page) -> bool:
    """Whether the server still knows the browser's session, whatever the browser shows."""
    answer = await page.context.request.get(f"{hosted.url}/connections", max_redirects=0)
    return answer.status == httpx.codes.OK


async def session_of(page: Page) -> str:
    (value,) = [each["value"] for each in await page.context.cookies() if each["name"] == "vaultd_session"]
    return value


async def test_back_channel_logout_ends_the_session_of_that_browser_alone(
    hosted: Hosted, open_page: OpenPage, somebody: str
) -> None:
    """Back-Channel Logout 1.0 §2.5: the issuer names its own session (`sid`), and posts that to vaultd."""
    here, elsewhere = await open_page(), await open_page()
    await hosted.sign_in(here, somebody)
    await hosted.sign_in(elsewhere, somebody)
    await here.goto(hosted.issuer.endpoints["end_session_endpoint"])
    await sign_out_at_issuer(here)
    assert not await is_in(hosted, here)
    assert await is_in(hosted, elsewhere)
    await here.goto(f"{hosted.url}/connections")
    await sign_in_at_issuer(here, somebody)
    await expect(here).to_have_url(f"{hosted.url}/connections")


async def test_signing_out_is_not_undone_by_the_issuer_and_goes_on_there_by_a_link(
    hosted: Hosted, open_page: OpenPage, somebody: str
) -> None:
    page = await open_page()
    await hosted.sign_in(page, somebody)
    await page.get_by_role("button", name="Sign out").click()
    await expect(page).to_have_url(f"{hosted.url}/auth/signed-out")
    assert not await is_in(hosted, page)
    # RP-Initiated Logout 1.0 §2, and neither a token nor a name in the address.
    link = page.get_by_role("link", name="Sign out at")
    assert await link.get_attribute("href") == f"{hosted.issuer.endpoints['end_session_endpoint']}?client_id=vaultd"
    await link.click()
    await sign_out_at_issuer(page)
    await page.goto(f"{hosted.url}/connections")
    await expect(page.get_by_placeholder("Enter any login")).to_be_visible()


async def test_b7_back_after_signing_out_shows_nothing(hosted: Hosted, open_page: OpenPage, somebody: str) -> None:
    """Neither out of the browser's memory of whole pages, nor out of its cache."""
    page = await open_page()
    await hosted.enter(page, somebody)
    await hosted.connect(page, "github")
    await page.goto(f"{hosted.url}/connections/activity")
    await page.get_by_role("button", name="Sign out").click()
    await expect(page).to_have_url(f"{hosted.url}/auth/signed-out")
    for _ in range(2):
        await page.go_back()
        assert somebody not in await page.content()
        assert "alice@example.com" not in await page.content()
        assert not page.url.startswith(f"{hosted.url}/connections"), "it was asked again, and led away"


async def test_b7_session_fixation_what_was_planted_is_worth_nothing(
    hosted: Hosted, open_page: OpenPage, somebody: str
) -> None:
    page = await open_page()
    planted = "A" * 43
    await page.context.add_cookies([{"name": "vaultd_session", "value": planted, "url": hosted.url}])
    await hosted.sign_in(page, somebody)
    assert await session_of(page) != planted
    async with loopback_http() as attacker:
        answer = await attacker.get(f"{hosted.url}/connections", headers={"Cookie": f"vaultd_session={planted}"})
    assert answer.status_code == 303


async def test_b7_signing_in_anew_ends_the_session_before(hosted: Hosted, open_page: OpenPage, somebody: str) -> None:
    page = await open_page()
    await hosted.sign_in(page, somebody)
    before = await session_of(page)
    await page.goto(f"{hosted.url}/auth/login")
    await expect(page).to_have_url(f"{hosted.url}/connections")
    assert await session_of(page) != before
    async with loopback_http() as thief:
        answer = await thief.get(f"{hosted.url}/connections", headers={"Cookie": f"vaultd_session={before}"})
    assert answer.status_code == 303


async def test_b8_login_csrf_an_attackers_answer_signs_nobody_in(
    hosted: Hosted, open_page: OpenPage, somebody: str
) -> None:
    victim = await open_page()
    async with SmallBrowser(stop_at=[f"{hosted.url}/auth/login/callback"]) as attacker:
        await attacker.open(f"{hosted.url}/auth/login")
        await attacker.click("Sign-in", fields={"login": somebody, "password": "anything"})
        forwarded = (await attacker.click("Continue")).url
        assert "code=" in forwarded
        await victim.goto(f"{hosted.url}/auth/login")  # it has a cookie of its own, as the browser of any user
        answer = await victim.goto(forwarded)
        assert answer is not None
        assert answer.status == httpx.codes.BAD_REQUEST
        assert not await is_in(hosted, victim)
        # In the browser that began it was good still.
        assert (await attacker.http.get(forwarded)).status_code == httpx.codes.SEE_OTHER


async def test_two_tabs_signing_out_in_one_ends_what_the_other_began(
    hosted: Hosted, open_page: OpenPage, somebody: str
) -> None:
    """B3: the callback needs the session that began, and that is gone: nothing is redeemed."""
    first = await open_page()
    await hosted.enter(first, somebody)
    second = await first.context.new_page()
    await second.goto(f"{hosted.url}/auth/connect/slack")
    await go_on(second)
    await first.reload()
    await first.get_by_role("button", name="Sign out").click()
    await expect(first).to_have_url(f"{hosted.url}/auth/signed-out")
    before = hosted.providers["slack"].calls["redeem"]
    async with second.expect_response(lambda answer: "/auth/callback/slack" in answer.url) as caught:
        await allow_at_provider(second)
    assert (await caught.value).status == httpx.codes.FORBIDDEN
    assert hosted.providers["slack"].calls["redeem"] == before


async def test_two_tabs_a_form_of_the_session_before_changes_nothing(
    hosted: Hosted, open_page: OpenPage, somebody: str
) -> None:
    first = await open_page()
    await hosted.enter(first, somebody)
    await hosted.connect(first, "github")
    await first.get_by_role("link", name="Disconnect GitHub").click()
    second = await first.context.new_page()
    await hosted.enter(second, f"another-{somebody}")  # the cookie of both tabs is somebody else's now
    async with first.expect_response(lambda answer: answer.request.method == "POST") as caught:
        await first.get_by_role("button", name="Disconnect").click()
    assert (await caught.value).status == httpx.codes.BAD_REQUEST
    assert (await hosted.exchange(somebody, "github")).status_code == httpx.codes.OK
