"""DevContext, played in a browser (issue 7, item 4)."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser as Chromium
from playwright.async_api import Locator, Page, async_playwright, expect

from tests.browser.axe import axe
from tests.support.chromium import find_chromium
from tests.support.devcontext import SDK_NODE, DevContext, devcontext
from tests.support.typescript import DEVCONTEXT, run_node_tests
from tests.wire.vault import Vault
from vaultd.sandbox.people import Person
from vaultd.sandbox.person import AppUser

PATIENCE = 20_000


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevContext]:
    with devcontext(tmp_path_factory.mktemp("devcontext")) as running:
        yield running


@pytest_asyncio.fixture(scope="module")
async def chromium() -> AsyncIterator[Chromium]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox"])
        yield browser
        await browser.close()


@asynccontextmanager
async def open_page(chromium: Chromium, *, dark: bool = False, scripts: bool = True) -> AsyncIterator[Page]:
    context = await chromium.new_context(color_scheme="dark" if dark else "light", java_script_enabled=scripts)
    context.set_default_timeout(PATIENCE)
    yield await context.new_page()
    await context.close()


@pytest_asyncio.fixture
async def page(chromium: Chromium) -> AsyncIterator[Page]:
    async with open_page(chromium) as opened:
        yield opened


async def sign_in(app: DevContext, page: Page, person: str = "Alice") -> None:
    await page.goto(app.url)
    await page.get_by_role("link", name="Sign in").click()
    await page.get_by_role("button", name=person).click()
    await expect(page.get_by_role("heading", name=f"Good morning, {person}")).to_be_visible()


async def walk(app: DevContext, page: Page, person: str = "Alice") -> None:
    """From the vault's door back to the app, through whatever pages stand between."""
    ways = [
        page.get_by_role("button", name=person, exact=True),
        page.get_by_role("button", name="Allow", exact=True),
        page.get_by_role("link", name=re.compile("^Continue")),
        page.get_by_role("button", name=re.compile("^Continue")),
    ]
    await page.wait_for_url(lambda url: not url.startswith(app.url))
    while not page.url.startswith(app.url):
        way = await one_of(ways)
        here = page.url
        await way.click()
        await page.wait_for_function("here => location.href !== here", arg=here)
        await page.wait_for_load_state()


async def one_of(ways: list[Locator]) -> Locator:
    either = ways[0]
    for way in ways[1:]:
        either = either.or_(way)
    await expect(either.first).to_be_visible(timeout=PATIENCE)
    return either.first


def row(page: Page, topic: str) -> Locator:
    return page.locator(f"#connections [data-topic={topic}]")


async def connect(app: DevContext, page: Page, topic: str) -> None:
    await row(page, topic).get_by_role("link", name=re.compile("onnect")).click()
    await walk(app, page)
    await expect(row(page, topic)).to_contain_text("Connected")


async def ask(page: Page) -> Locator:
    await page.get_by_role("button", name="Ask").click()
    await expect(page.get_by_role("button", name="Ask")).to_be_enabled()
    await expect(page.locator("#progress")).to_have_text("")
    return page.locator("#briefing")


async def disconnect_at_the_vault(page: Page, name: str) -> None:
    await page.get_by_role("link", name="your vault").click()
    named = re.compile(f"^Disconnect {name}")
    await page.get_by_role("button", name=named).or_(page.get_by_role("link", name=named)).first.click()
    await page.wait_for_load_state()
    # A page that asks once more, where there is one.
    sure = page.get_by_role("button", name=re.compile("^Disconnect"))
    gone = page.get_by_role("button", name=named).or_(page.get_by_role("link", name=named))
    if "/disconnect" in page.url:
        await sure.first.click()
        await page.wait_for_load_state()
    await expect(gone).to_have_count(0)


Happening = tuple[str, str | None, str, str | None]
"""Of an event: its type, connection, decision and reason."""


async def events(app: DevContext) -> list[Happening]:
    """What the audit log holds about Alice, oldest first."""
    async with Vault(app.world) as vault:
        found = await vault.audit(subject_issuer=app.world.places.issuer, subject="alice", limit=300)
    assert "next" not in found
    return [
        (event["type"], event.get("connection"), event["decision"], event.get("reason"))
        for event in reversed(found["events"])
    ]


def exchanged(*topics: str) -> set[Happening]:
    return {("token.exchanged", topic, "allowed", None) for topic in topics}


async def test_the_play(app: DevContext, page: Page) -> None:
    """Connect two of three, ask, connect the third, ask again, revoke one, ask again."""
    seen: list[str] = []
    page.on("request", lambda request: seen.append(request.url))
    await sign_in(app, page)
    for topic in ("github", "google", "slack"):
        await expect(row(page, topic)).to_contain_text("Not connected")
    await connect(app, page, "github")
    await connect(app, page, "google")

    briefing = await ask(page)
    await expect(briefing).to_contain_text("#42 Water the seedlings twice a day (acme/orchard, open)")
    await expect(briefing).to_contain_text("09:30 Morning round")
    await expect(briefing).to_contain_text("Slack is not connected. Connect it to include Slack data.")
    await expect(briefing).not_to_contain_text("Alice: Rows 3")
    assert await page.locator("#looked li").all_text_contents() == [
        "GitHub: 2 found",
        "Google Calendar: 2 found",
        "Slack: not connected",
    ]

    # The sentence's own link leads there and back.
    await briefing.get_by_role("link", name="Connect Slack").click()
    await walk(app, page)
    await expect(row(page, "slack")).to_contain_text("Connected")
    briefing = await ask(page)
    await expect(briefing).to_contain_text("alice: Rows 3 to 7 are watered, the timer works.")
    await expect(briefing).to_contain_text("14:00 Harvest planning")
    await expect(page.locator("#notes")).to_be_empty()

    await disconnect_at_the_vault(page, "GitHub")
    await page.goto(app.url)
    # Nothing has asked since, so the app does not look.
    await expect(row(page, "github")).to_contain_text("Connected")
    briefing = await ask(page)
    await expect(briefing).to_contain_text("GitHub access was revoked. Connect it again to include GitHub data.")
    await expect(briefing).to_contain_text("Morning round")
    await expect(briefing).not_to_contain_text("#42")
    await expect(row(page, "github")).not_to_contain_text("✓")
    await expect(row(page, "github").get_by_role("link")).to_be_visible()

    await check_audit(app)
    cookies = [str(cookie.get("value")) for cookie in await page.context.cookies()]
    check_no_token(app, [*seen, *cookies, await page.content()])
    assert [entry["shown"] for entry in app.entries("answered")] == [True, True, True]


async def check_audit(app: DevContext) -> None:
    """The log holds what happened in the play, and nothing else."""
    signed_in, *log = await events(app)
    assert signed_in[0] == "session.opened"
    connected = [("connection.connected", topic, "allowed", None) for topic in ("github", "google", "slack")]
    assert log[:2] == connected[:2]
    # Three tools ask at once: an answer's events come in any order among themselves.
    assert set(log[2:5]) == exchanged("github", "google") | {("token.refused", "slack", "refused", "not_connected")}
    assert log[5] == connected[2]
    assert set(log[6:9]) == exchanged("github", "google", "slack")
    assert log[9][:2] == ("connection.revoked", "github")
    # GitHub's own revocation is under way meanwhile.
    at_github = [event for event in log[10:] if event[0] == "provider.revoked"]
    assert [event[:3] for event in at_github] in ([], [("provider.revoked", "github", "allowed")])
    answered = [event for event in log[10:] if event not in at_github]
    refused = ("token.refused", "github", "refused", "reconnect_required")
    assert len(answered) == 3
    assert set(answered) == exchanged("google", "slack") | {refused}


def check_no_token(app: DevContext, seen: list[str]) -> None:
    """No token that was ever issued lies in what the app keeps, writes or shows, nor its last part alone."""
    database, log = app.database.read_bytes(), app.log.read_bytes()
    assert b"Morning round" in database
    assert b"POST /ask" in log
    assert "Morning round" in seen[-1]
    # At the least: an access and a refresh token of each provider, the app's session token, the vault's ID token.
    assert len(app.tokens) >= 8
    for token in app.tokens:
        for kept in (database, log, "\n".join(seen).encode()):
            assert token.encode() not in kept
            assert token.rpartition(".")[2].encode() not in kept


async def test_nobody_else_sees_it(app: DevContext, page: Page) -> None:
    """Another person has their own accounts and their own briefing; a foreign page cannot ask."""
    await sign_in(app, page, "Bob")
    await expect(page.locator("#briefing")).to_be_hidden()
    briefing = await ask(page)
    await expect(page.locator("#answer")).to_have_text("There is nothing that I could look at.")
    for name in ("GitHub", "Google Calendar", "Slack"):
        await expect(briefing).to_contain_text(f"{name} is not connected.")
    foreign: dict[str, Any] = {"form": {"question": "Anything?"}, "headers": {"Origin": "http://localhost:1"}}
    assert (await page.request.post(f"{app.url}/ask", **foreign)).status == 403
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_text("You are signed out.")).to_be_visible()
    own: dict[str, Any] = {"form": {"question": "Anything?"}, "headers": {"Origin": app.url}}
    assert (await page.request.post(f"{app.url}/ask", **own)).status == 401


async def test_it_works_without_scripts(app: DevContext, chromium: Chromium) -> None:
    async with open_page(chromium, scripts=False) as page:
        await sign_in(app, page, "Carol")
        await page.get_by_role("button", name="Ask").click()
        await expect(page.locator("#answer")).to_have_text("There is nothing that I could look at.")
        await expect(page.locator("#notes").get_by_role("link", name="Connect Slack")).to_be_visible()


@pytest.mark.parametrize("dark", [False, True])
async def test_everybody_can_use_it(app: DevContext, chromium: Chromium, *, dark: bool) -> None:
    """Nothing that axe-core finds wrong, in light and in dark, before and after an answer."""
    async with open_page(chromium, dark=dark) as page:
        await page.goto(app.url)
        found = [await axe(page)]
        await sign_in(app, page, "Carol")
        await ask(page)
        found.append(await axe(page))
    assert found == [[], []]


async def test_its_own_tests(app: DevContext) -> None:
    """What is shown before the tools have run, the real model's way, and the cookies: by Node's own runner."""
    # A user of whom the play knows nothing, with Alice's accounts.
    async with AppUser(app.world, Person("dora", "Alice", 0)) as dora:
        for topic in ("github", "google", "slack"):
            await dora.connect(topic)
    compiled = sorted((DEVCONTEXT / "build" / "test").glob("*.test.js"))
    assert len(compiled) == len(list((DEVCONTEXT / "test").glob("*.test.ts")))
    who = {"nothing": "emil", "everything": "dora"}
    tokens = {name: app.world.issuer.mint(user, azp="devcontext") for name, user in who.items()}
    run_node_tests(*compiled, node=SDK_NODE, world={"environment": app.environment, "tokens": tokens})
