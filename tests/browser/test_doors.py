"""The way to a connection in a real browser, and who might stand in it (security B1 to B6)."""

from __future__ import annotations

from urllib.parse import quote

import httpx
import pytest
from playwright.async_api import Page, Request, Route, expect

from tests.browser.conftest import OpenPage
from tests.browser.hosted import Hosted, allow_at_provider, go_on, sign_in_at_issuer
from tests.support.redirects import elsewhere, like, own_paths


async def callback_of(page: Page, provider: str) -> str:
    """Allow at the provider, and stop just before its answer reaches vaultd."""
    found: list[str] = []

    async def stop(route: Route) -> None:
        if route.request.method != "POST":
            await route.continue_()
            return
        answer = await route.fetch(max_redirects=0)
        found.append(answer.headers["location"])
        await route.fulfill(status=200, body="stopped here")

    await page.route("**/consent", stop)
    await allow_at_provider(page)
    await expect(page.get_by_text("stopped here")).to_be_visible()
    await page.unroute("**/consent")
    (url,) = found
    assert f"/auth/callback/{provider}?" in url
    return url


async def connected(page: Page, hosted: Hosted) -> list[str]:
    """What the person's page says is connected."""
    await page.goto(f"{hosted.url}/connections")
    return [await link.inner_text() for link in await page.get_by_role("link", name="Disconnect").all()]


async def test_b3_a_forwarded_answer_connects_nothing(hosted: Hosted, open_page: OpenPage, somebody: str) -> None:
    """Connect CSRF: the attacker's own account is not planted in the vault of whoever opens their link."""
    attacker, victim = await open_page(), await open_page()
    await hosted.enter(attacker, f"attacker-{somebody}")
    await hosted.enter(victim, somebody)
    await attacker.goto(f"{hosted.url}/auth/connect/github")
    await go_on(attacker)
    forwarded = await callback_of(attacker, "github")
    before = hosted.providers["github"].calls["redeem"]
    await victim.goto(f"{hosted.url}/auth/connect/slack")  # so that it has a flow of its own, and its cookie
    answer = await victim.goto(forwarded)
    assert answer is not None
    assert answer.status == httpx.codes.BAD_REQUEST
    assert await connected(victim, hosted) == []
    assert hosted.providers["github"].calls["redeem"] == before
    # It was not used up: in the browser that began, it does what it should.
    await attacker.goto(forwarded)
    await expect(attacker).to_have_url(f"{hosted.url}/connections?connection=github&status=connected")


async def test_b3_a_forwarded_link_connects_the_account_of_whoever_follows_it(
    hosted: Hosted, open_page: OpenPage, somebody: str
) -> None:
    page = await open_page()
    await page.goto(f"{hosted.url}/auth/connect/github?return_to={quote(hosted.back, safe='')}")
    await sign_in_at_issuer(page, somebody)
    await expect(page.get_by_text(somebody).first).to_be_visible()
    await go_on(page)
    await allow_at_provider(page, "Bob")
    await expect(page).to_have_url(f"{hosted.back}?connection=github&status=connected")
    assert (await hosted.exchange(somebody, "github")).json()["account"] == "bob@example.com"


async def test_b3_another_page_can_lead_here_but_not_on(hosted: Hosted, open_page: OpenPage, somebody: str) -> None:
    """Connect CSRF once more: a page of somebody else's gets no further than the question."""
    page = await open_page()
    await hosted.enter(page, somebody)
    hosted.app.pages["/lure"] = f"<script>location = '{hosted.url}/auth/connect/github'</script>"
    before = hosted.providers["github"].calls["authorize"]
    await page.goto(f"{hosted.places.agent}/lure")
    await expect(page.get_by_role("link", name="Continue to GitHub")).to_be_visible()
    hosted.app.pages["/quiet"] = (
        f"<img src='{hosted.url}/auth/connect/github'><script>"
        f"fetch('{hosted.url}/auth/connect/github', {{mode: 'no-cors', credentials: 'include'}})"
        ".catch(() => null).then(() => document.title = 'tried')</script>"
    )
    await page.goto(f"{hosted.places.agent}/quiet")
    await expect(page).to_have_title("tried")
    assert hosted.providers["github"].calls["authorize"] == before


async def test_b3_another_page_can_lead_to_a_ticket_but_not_use_it_up(
    hosted: Hosted, open_page: OpenPage, somebody: str
) -> None:
    """A link of an app's, sent to somebody else: they see whose it is, and nothing has happened yet."""
    page = await open_page(scripts=False)
    ticket = await hosted.ticket(somebody)
    hosted.app.pages["/quiet"] = (
        f"<img src='{ticket}'><link rel=prefetch href='{ticket}'><iframe src='{ticket}'></iframe>"
    )
    before = hosted.providers["github"].calls["authorize"]
    await page.goto(f"{hosted.places.agent}/quiet")
    hosted.app.pages["/lure"] = f"<meta http-equiv=refresh content='0;url={ticket}'>"
    await page.goto(f"{hosted.places.agent}/lure")
    await expect(page.get_by_text("Only continue if you started this in sample-agent.")).to_be_visible()
    await expect(page.get_by_text(somebody)).to_be_visible()
    assert hosted.providers["github"].calls["authorize"] == before
    await go_on(page)
    await expect(page.get_by_role("button", name="Alice")).to_be_visible()


async def test_b2_an_answer_taken_to_another_providers_door(hosted: Hosted, open_page: OpenPage, somebody: str) -> None:
    """Mix-up (RFC 9700 §4.4)."""
    page = await open_page()
    await hosted.enter(page, somebody)
    await page.goto(f"{hosted.url}/auth/connect/github")
    await go_on(page)
    url = await callback_of(page, "github")
    before = [provider.calls["redeem"] for provider in hosted.providers.values()]
    answer = await page.goto(url.replace("/callback/github", "/callback/slack"))
    assert answer is not None
    assert answer.status == httpx.codes.BAD_REQUEST
    assert [provider.calls["redeem"] for provider in hosted.providers.values()] == before


async def test_two_tabs_of_one_browser_both_finish(hosted: Hosted, open_page: OpenPage, somebody: str) -> None:
    """B1: each flow has its own state; the browser's cookie is one, and the later does not replace the earlier."""
    first = await open_page()
    await hosted.enter(first, somebody)
    second = await first.context.new_page()
    await first.goto(f"{hosted.url}/auth/connect/github")
    await second.goto(f"{hosted.url}/auth/connect/slack")
    await go_on(first)
    await go_on(second)
    await allow_at_provider(second, "Bob")
    await expect(second).to_have_url(f"{hosted.url}/connections?connection=slack&status=connected")
    await allow_at_provider(first)
    await expect(first).to_have_url(f"{hosted.url}/connections?connection=github&status=connected")
    assert len(await connected(second, hosted)) == 2


async def test_two_tabs_that_sign_in_at_once_both_arrive(hosted: Hosted, open_page: OpenPage, somebody: str) -> None:
    first = await open_page()
    second = await first.context.new_page()
    await first.goto(f"{hosted.url}/connections")
    await second.goto(f"{hosted.url}/connections/activity")
    await sign_in_at_issuer(first, somebody)
    await expect(first).to_have_url(f"{hosted.url}/connections")
    # The issuer's page in the other tab is of the sign-in before it; begun anew, the issuer knows the person.
    await second.goto(f"{hosted.url}/auth/login")
    await expect(second).to_have_url(f"{hosted.url}/connections")
    await first.reload()
    await expect(first.get_by_text(somebody).first).to_be_visible()


async def test_b1_back_to_the_provider_and_allow_again(hosted: Hosted, open_page: OpenPage, somebody: str) -> None:
    """What a person does who is in doubt: the second answer is refused in words, and changes nothing."""
    page = await open_page()
    await hosted.enter(page, somebody)
    await page.goto(f"{hosted.url}/auth/connect/github")
    await go_on(page)
    url = await callback_of(page, "github")
    await page.goto(url)
    await expect(page).to_have_url(f"{hosted.url}/connections?connection=github&status=connected")
    answer = await page.goto(url)
    assert answer is not None
    assert answer.status == httpx.codes.BAD_REQUEST
    await expect(page.get_by_role("alert")).to_be_visible()
    assert len(await connected(page, hosted)) == 1


async def test_b4_where_a_browser_really_lands(hosted: Hosted, open_page: OpenPage, somebody: str) -> None:
    """A browser reads addresses in its own way, so that some of the corpus is followed by one."""
    page = await open_page()
    await hosted.enter(page, somebody)
    left: list[str] = []

    async def note(route: Route, request: Request) -> None:
        if request.is_navigation_request() and not request.url.startswith((hosted.url, hosted.issuer.issuer)):
            left.append(request.url)
            await route.abort()
            return
        await route.continue_()

    await page.route("**/*", note)
    for variant in [*elsewhere()[::4], *like(hosted.back)[::6]]:
        await page.goto(f"{hosted.url}/auth/connect/github?return_to={quote(variant, safe='')}")
        assert page.url.startswith(f"{hosted.url}/auth/connect/github?"), variant
        await expect(page.get_by_role("alert")).to_be_visible()
    await page.goto(f"{hosted.url}/auth/login")
    await sign_in_at_issuer(page, somebody)  # from here on the issuer answers at once
    await expect(page).to_have_url(f"{hosted.url}/connections")
    for variant in [*elsewhere()[1::5], *like(f"{hosted.url}/connections")[::9], *own_paths()[::4]]:
        await page.goto(f"{hosted.url}/auth/login?continue={quote(variant, safe='')}")
        assert page.url == f"{hosted.url}/connections", variant
    assert left == []


@pytest.mark.parametrize("decision", ["Allow", "Deny"])
async def test_b7_no_referrer_tells_anybody_anything(
    hosted: Hosted, open_page: OpenPage, somebody: str, decision: str
) -> None:
    """Neither the provider, nor the issuer, nor the app sees where the browser came from."""
    page = await open_page()
    seen: list[Request] = []
    page.on("request", lambda request: seen.append(request))  # noqa: PLW0108 - Playwright marks what it is given
    hosted.app.pages["/settings"] = (
        f"<a href='{hosted.url}/auth/connect/github?return_to={quote(hosted.back, safe='')}'>Connect GitHub</a>"
    )
    await page.goto(f"{hosted.places.agent}/settings?user={somebody}")
    await page.get_by_role("link", name="Connect GitHub").click()
    await sign_in_at_issuer(page, somebody)
    await go_on(page)
    await allow_at_provider(page, decision=decision)
    await page.wait_for_url(f"{hosted.back}?**")
    told: dict[str, set[str | None]] = {}
    for request in seen:
        if request.is_navigation_request():
            origin = request.url[: request.url.index("/", 8)]
            told.setdefault(origin, set()).add((await request.all_headers()).get("referer"))
    github = hosted.places.providers["github"]
    assert set(told) == {hosted.places.agent, hosted.url, hosted.issuer.issuer, github}
    assert told[hosted.places.agent] == told[github] == {None}
    # The others' own pages name themselves to themselves, and their origins to us, as browsers do.
    assert not [each for referrers in told.values() for each in referrers if each and each.startswith(hosted.url)]
    assert not [each for each in told[hosted.issuer.issuer] if each and not each.startswith(hosted.issuer.issuer)]
