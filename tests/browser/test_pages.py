"""What people see: readable by everybody, at every width, in both colour schemes, without scripts (issue 6, 2 to 5)."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from itertools import product

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from tests.browser.axe import axe
from tests.browser.conftest import OpenPage
from tests.browser.hosted import allow_at_provider
from tests.browser.lived import BRANDING, LOGO, Lived, lived_in_vault
from tests.browser.scenes import NEWCOMERS, REGULARS, STRANGERS, Scene
from tests.conftest import DatabaseUrls

PHONE = 320
"""CSS pixels; WCAG 2.2, 1.4.10."""
TARGET = 24
"""CSS pixels; WCAG 2.2, 2.5.8."""
PEOPLE = ("regular", "newcomer", "stranger")
SCENES: Mapping[str, Mapping[str, Scene]] = {"regular": REGULARS, "newcomer": NEWCOMERS, "stranger": STRANGERS}


@pytest_asyncio.fixture(scope="module")
async def lived(
    browser: Browser, module_database: DatabaseUrls, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Lived]:
    context = await browser.new_context(locale="en-GB")
    page = await context.new_page()
    folder = tmp_path_factory.mktemp("lived")
    (folder / "logo.svg").write_text(LOGO, encoding="utf-8")
    async with lived_in_vault(
        database_url=module_database.service, folder=folder, page=page, tables=BRANDING
    ) as running:
        yield running
    await context.close()


async def as_person(lived: Lived, page: Page, person: str) -> None:
    if person != "stranger":
        await lived.hosted.enter(page, lived.regular if person == "regular" else lived.newcomer)


# Colours are a matter of the scheme and room one of the width, so two looks show all four.
@pytest.mark.parametrize(("dark", "width"), [(False, 1100), (True, PHONE)], ids=["light desktop", "dark phone"])
@pytest.mark.parametrize("person", PEOPLE)
async def test_axe_finds_nothing_on_any_page(
    lived: Lived, open_page: OpenPage, person: str, *, dark: bool, width: int
) -> None:
    """And nothing is wider than the screen, smaller than a finger, or told by a script."""
    page = await open_page(dark=dark, width=width)
    await as_person(lived, page, person)
    found: dict[str, object] = {}
    for name, go in SCENES[person].items():
        await go(lived, page)
        violations = await axe(page)
        if violations:
            found[name] = violations
        wide = await page.evaluate("document.scrollingElement.scrollWidth - document.documentElement.clientWidth")
        if wide > 0:
            found[f"{name}: scrolls sideways"] = wide
        small = await page.evaluate(SMALL_TARGETS, TARGET)
        if small:
            found[f"{name}: small targets"] = small
    assert found == {}


SMALL_TARGETS = """(least) => [...document.querySelectorAll('a, button, input:not([type=hidden]), summary')]
    .filter(each => !each.classList.contains('skip'))
    .map(each => [each.textContent.trim(), each.getBoundingClientRect()])
    .filter(([, box]) => box.height < least || box.width < least)
    .map(([text, box]) => `${text}: ${box.width} x ${box.height}`)"""


@pytest.mark.parametrize("person", PEOPLE)
async def test_no_page_has_a_script_or_an_inline_style(lived: Lived, open_page: OpenPage, person: str) -> None:
    """B7, and what the CSP would block is not there to begin with."""
    page = await open_page()
    blocked: list[str] = []
    page.on("console", lambda message: blocked.append(message.text) if "Content Security" in message.text else None)
    await as_person(lived, page, person)
    for name, go in SCENES[person].items():
        await go(lived, page)
        assert await page.locator("script, style, [style], iframe, object, embed").count() == 0, name
        assert not re.search(r"\son\w+=|javascript:|data:|https?://(?!127)", await _markup(page)), name
    assert blocked == []


async def _markup(page: Page) -> str:
    """The page without the attributes that name a namespace, and without the words in it."""
    tags = re.findall(r"<[^>]+>", await page.content())
    return "".join(tag for tag in tags if "value=" not in tag)


async def test_ten_seconds(lived: Lived, open_page: OpenPage) -> None:
    """Item 4: each provider, state, account, scopes in words, uses, last use, agents, and the ways on."""
    page = await open_page()
    await lived.hosted.enter(page, lived.regular)
    cards = page.get_by_role("article")
    assert await cards.locator("h3").all_text_contents() == ["Google Calendar", "GitHub", "Slack"]
    google, github = cards.nth(0), cards.nth(1)
    await expect(google).to_contain_text("Reconnect required")
    await expect(google).to_contain_text("Google Calendar does not accept the access any more")
    reconnect = google.get_by_role("link", name="Reconnect Google Calendar (alice@example.com)")
    href = await reconnect.get_attribute("href") or ""
    assert "login_hint=alice%40example.com" in href
    assert "scope=https%3A%2F%2Fwww.googleapis.com%2Fauth%2Fcalendar.readonly" in href
    alice = github.locator("li.account").first
    for words in ("Connected", "alice@example.com", "See your profile (read:user)", "uses in the last 30 days"):
        await expect(alice).to_contain_text(words)
    await expect(alice).to_contain_text(re.compile("2 hours ago, by briefing-agent"))
    await expect(github.get_by_role("link", name="Disconnect GitHub (bob@example.com)")).to_be_visible()
    await expect(page.get_by_role("link", name="Connect Corner Shop")).to_be_visible()


async def test_the_chart_says_the_same_to_everybody(lived: Lived, open_page: OpenPage) -> None:
    page = await open_page()
    await lived.hosted.enter(page, lived.regular)
    alice = page.get_by_role("article").nth(1).locator("li.account").first
    said = int((await alice.locator("figcaption").inner_text()).split()[0])
    chart = alice.get_by_role("img")
    await expect(chart).to_have_attribute("aria-label", re.compile(rf"^GitHub: {said} uses in the last 30 days\."))
    assert await chart.locator("rect").count() == 30
    cells = await alice.locator("table td").all_text_contents()
    assert sum(map(int, cells)) == said > 100
    box = await alice.locator("table").bounding_box()
    assert box is not None
    shown = await alice.locator(".unseen:has(table)").bounding_box()
    assert shown is not None
    assert (shown["width"], shown["height"]) == (1, 1)


async def test_everything_can_be_done_by_keyboard_and_seen(lived: Lived, open_page: OpenPage) -> None:
    """WCAG 2.2, 2.1.1, 2.4.1, 2.4.7, 2.4.11."""
    page = await open_page(width=PHONE)
    await lived.hosted.enter(page, lived.regular)
    reached: list[str] = []
    everything = page.locator("a, button, summary")
    for _ in range(await everything.count()):
        await page.keyboard.press("Tab")
        active = page.locator(":focus")
        reached.append((await active.text_content() or "").strip())
        assert await active.evaluate("each => getComputedStyle(each).outlineStyle") == "solid", reached
        assert await active.evaluate("each => parseFloat(getComputedStyle(each).outlineWidth) >= 2"), reached
        await expect(active).to_be_in_viewport()
    assert reached[0] == "Skip to the content"
    assert len(reached) == await everything.count()
    await page.keyboard.press("Tab")
    await page.goto(page.url)
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    assert await page.evaluate("document.activeElement.id") == "content"


async def test_nothing_moves_for_those_who_ask_for_it(lived: Lived, open_page: OpenPage) -> None:
    for still, expected in ((True, "0s"), (False, "0.12s, 0.12s")):
        page = await open_page(still=still)
        await lived.hosted.enter(page, lived.newcomer)
        button = page.get_by_role("link", name="Connect GitHub")
        assert await button.evaluate("each => getComputedStyle(each).transitionDuration") == expected


class TestLeaving:
    async def test_the_page_says_who_asks_for_which_account_and_what(self, lived: Lived, open_page: OpenPage) -> None:
        page = await open_page()
        await lived.hosted.enter(page, lived.regular)
        await REGULARS["confirm"](lived, page)
        await expect(page.get_by_role("heading", level=1)).to_have_text("Let sample-agent use your GitHub account?")
        card = page.locator(".card")
        for words in (
            "bob@example.com",
            lived.regular,
            "See your profile (read:user)",
            "briefing-agent",
            "Night watch",
        ):
            await expect(card).to_contain_text(words)
        await expect(card).to_contain_text(f"taken back to {lived.hosted.back.split('/')[2]}")

    async def test_one_click_and_no_script_leads_to_the_provider(self, lived: Lived, open_page: OpenPage) -> None:
        page = await open_page(scripts=False)
        await lived.hosted.enter(page, lived.newcomer)
        await page.get_by_role("link", name="Connect Slack").click()
        await page.get_by_role("link", name="Continue to Slack").click()
        assert page.url.startswith(lived.hosted.places.providers["slack"])
        await allow_at_provider(page)
        await expect(page.get_by_role("status")).to_have_text("Slack is connected.")
        await page.get_by_role("link", name="Disconnect Slack").click()
        await page.get_by_role("button", name="Disconnect Slack").click()
        await expect(page.get_by_role("status")).to_contain_text("Slack is disconnected.")

    async def test_turning_back_tells_the_app_in_words(self, lived: Lived, open_page: OpenPage) -> None:
        page = await open_page()
        await lived.hosted.enter(page, lived.regular)
        await REGULARS["confirm"](lived, page)
        await page.get_by_role("link", name="Cancel").click()
        assert page.url.startswith(f"{lived.hosted.back}?connection=github&status=error&error=access_denied&")
        assert "error_description=You+did+not+allow" in page.url

    async def test_nothing_begins_without_the_person(self, lived: Lived, open_page: OpenPage) -> None:
        """Connect CSRF: a page elsewhere leads a browser to the door, and no further than vaultd's page."""
        page = await open_page()
        await lived.hosted.enter(page, lived.regular)
        before = lived.hosted.providers["github"].calls["authorize"]
        door = f"{lived.hosted.url}/auth/connect/github"
        await page.goto(f"{lived.hosted.back}?elsewhere")
        for attempt in (
            f"location = '{door}'",
            f"fetch('{door}', {{mode: 'no-cors', credentials: 'include'}}).catch(() => 0)",
            f"document.body.append(Object.assign(new Image(), {{src: '{door}'}}))",
            f"document.body.append(Object.assign(document.createElement('iframe'), {{src: '{door}'}}))",
        ):
            await page.goto(f"{lived.hosted.back}?elsewhere")
            await page.evaluate(attempt)
            await page.wait_for_load_state("networkidle")
        assert lived.hosted.providers["github"].calls["authorize"] == before


class TestDisconnecting:
    async def test_it_says_first_what_will_stop_working(self, lived: Lived, open_page: OpenPage) -> None:
        page = await open_page()
        await lived.hosted.enter(page, lived.regular)
        await page.get_by_role("link", name="Disconnect GitHub (alice@example.com)").click()
        card = page.locator(".card")
        await expect(card).to_contain_text("alice@example.com at GitHub will not be connected any more.")
        await expect(card).to_contain_text(
            "briefing-agent cannot use this account any more. It last used it 2 hours ago."
        )
        await expect(card).to_contain_text("did not in the last 30 days: sample-agent and Night watch")
        await page.get_by_role("link", name="Keep it connected").click()
        await expect(page.get_by_role("link", name="Disconnect GitHub (alice@example.com)")).to_be_visible()

    async def test_another_person_s_is_not_there(self, lived: Lived, open_page: OpenPage) -> None:
        page = await open_page()
        await lived.hosted.enter(page, lived.newcomer)
        answer = await page.goto(f"{lived.hosted.url}/connections/{lived.github}/disconnect")
        assert answer is not None
        assert answer.status == 404
        await expect(page.get_by_role("alert")).to_contain_text("There is nothing here.")


async def test_an_agent_is_switched_off_and_on(lived: Lived, open_page: OpenPage) -> None:
    page = await open_page()
    await lived.hosted.enter(page, lived.regular)
    switch = page.get_by_role("switch", name="Night watch may act for you while you are away")
    for before, after in (("true", "false"), ("false", "true")):
        await expect(switch).to_have_attribute("aria-checked", before)
        await switch.focus()
        await page.keyboard.press("Space")
        await expect(switch).to_have_attribute("aria-checked", after)
        await expect(page.get_by_role("status")).to_contain_text("Night watch may")


async def test_the_activity_is_whole_and_paged(lived: Lived, open_page: OpenPage) -> None:
    """Who, what, when, refused ones too; page after page, newest first, nothing twice."""
    page = await open_page()
    await lived.hosted.enter(page, lived.regular)
    await page.get_by_role("link", name="See all activity").click()
    moments: list[str] = []
    refused = 0
    while True:
        moments += [await each.get_attribute("datetime") or "" for each in await page.locator("ol time").all()]
        refused += await page.locator(".badge.bad").count()
        older = page.get_by_role("link", name="Older")
        if not await older.count():
            break
        await older.click()
        await page.wait_for_load_state()
    assert len(moments) > 130
    assert moments == sorted(moments, reverse=True)
    assert refused >= 4
    await expect(page.get_by_role("link", name="Newest")).to_be_visible()


async def test_a_cursor_that_was_not_given_out_is_told_in_words(lived: Lived, open_page: OpenPage) -> None:
    page = await open_page()
    await lived.hosted.enter(page, lived.newcomer)
    answer = await page.goto(f"{lived.hosted.url}/connections/activity?cursor=nonsense")
    assert answer is not None
    assert answer.status == 400
    await expect(page.get_by_role("alert")).to_contain_text("This link is not complete")


class TestLanguages:
    async def test_the_browser_s_language_comes_first(self, lived: Lived, open_page: OpenPage) -> None:
        page = await open_page(locale="de-AT")
        await lived.hosted.enter(page, lived.regular)
        await expect(page.get_by_role("heading", level=1)).to_have_text("Ihre Verbindungen")
        assert await page.locator("html").get_attribute("lang") == "de"
        # The words of the provider's table stay as they are, and are marked so (WCAG 2.2, 3.1.2).
        await expect(page.get_by_text("See your profile").first).to_have_attribute("lang", "en")

    async def test_a_choice_is_kept(self, lived: Lived, open_page: OpenPage) -> None:
        page = await open_page()
        await lived.hosted.enter(page, lived.newcomer, "/connections?status=error&error=access_denied&connection=slack")
        await page.get_by_role("link", name="Deutsch").click()
        await expect(page.get_by_role("alert")).to_contain_text(
            "Slack wurde nicht verbunden. Sie haben es nicht erlaubt"
        )
        await page.goto(f"{lived.hosted.url}/auth/connect/slack")
        await expect(page.get_by_role("link", name="Weiter zu Slack")).to_be_visible()


class TestTold:
    @pytest.mark.parametrize(
        ("query", "words"),
        [
            ("status=error&error=access_denied&connection=slack", "You did not allow it, so nothing was changed."),
            ("status=error&error=temporarily_unavailable&connection=slack", "Slack cannot be reached right now."),
            ("status=error&error=%3Cb%3E&connection=slack", "This service and Slack are not set up rightly"),
            ("status=error&error=invalid_grant&connection=slack", "This took too long, or it was finished before."),
        ],
    )
    async def test_what_failed_and_what_to_do(self, lived: Lived, open_page: OpenPage, query: str, words: str) -> None:
        page = await open_page()
        await lived.hosted.enter(page, lived.newcomer, f"/connections?{query}&error_description=Call+0800")
        alert = page.get_by_role("alert")
        await expect(alert).to_contain_text(words)
        await expect(alert.get_by_role("link")).to_have_text(["Try again"])
        await expect(page.locator("body")).not_to_contain_text("0800")
        await alert.get_by_role("link").click()
        await expect(page.get_by_role("link", name="Continue to Slack")).to_be_visible()

    async def test_good_news_are_told_only_where_they_are_true(self, lived: Lived, open_page: OpenPage) -> None:
        page = await open_page()
        for query in ("status=connected&connection=slack", "status=away_off&agent=night-agent", "status=disconnected"):
            await lived.hosted.enter(page, lived.newcomer, f"/connections?{query}")
            await expect(page.get_by_role("status")).to_have_count(0)


async def test_the_operator_s_name_logo_and_accent(lived: Lived, open_page: OpenPage) -> None:
    """Item 5, under the same strict policy; axe has looked at all pages with this accent, which nobody can read."""
    for dark, fill in product((False, True), ("rgb(255, 204, 0)",)):
        page = await open_page(dark=dark)
        await lived.hosted.enter(page, lived.newcomer)
        await expect(page).to_have_title("Your connections · Example Company")
        assert await page.locator(".brand img").evaluate("each => each.naturalWidth > 0")
        await page.goto(f"{lived.hosted.url}/auth/connect/github")
        button = page.get_by_role("link", name="Continue to GitHub")
        assert await button.evaluate("each => getComputedStyle(each).backgroundColor") == fill
        assert await button.evaluate("each => getComputedStyle(each).color") == "rgb(0, 0, 0)"
