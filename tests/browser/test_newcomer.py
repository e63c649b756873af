"""Issue 6, "done when": a newcomer with `vaultd dev` and a browser, who has read nothing.

They go by what the pages say, and by no address but the two that the command prints.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
from playwright.async_api import expect

from tests.browser.conftest import OpenPage


@pytest.fixture
def said() -> Iterator[str]:
    """What `vaultd dev` says when it runs."""
    command = [sys.executable, "-m", "vaultd.cli", "dev", "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        text = ""
        while "/briefing" not in text and (line := process.stdout.readline()):
            text += line
        yield text
    finally:
        os.kill(process.pid, signal.SIGINT)
        process.communicate(timeout=30)


async def test_a_newcomer_connects_three_sees_three_uses_and_disconnects_one(said: str, open_page: OpenPage) -> None:
    connections, agent = (found[1] for found in re.finditer(r"^  (http://\S+/(?:connections)?)$", said, re.MULTILINE))
    page = await open_page(scripts=False)
    # 1. who am I, and what is connected: nothing
    await page.goto(connections)
    await page.get_by_role("button", name="Bob").click()
    await expect(page.locator("main")).to_contain_text("Nothing is connected. No agent can do anything in your name.")
    # 2. connect three
    for provider in ("GitHub", "Google Calendar", "Slack"):
        await page.get_by_role("link", name=f"Connect {provider}", exact=True).click()
        await page.get_by_role("link", name=f"Continue to {provider}").click()
        await page.get_by_role("button", name="Bob").click()
        await page.get_by_role("button", name="Allow").click()
        await expect(page.get_by_role("status")).to_have_text(f"{provider} is connected.")
    await expect(page.get_by_text("Not used in the last 30 days")).to_have_count(3)
    # 3. the agent works, and its three uses are seen
    await page.goto(agent)
    await page.get_by_role("button", name="A briefing for Bob").click()
    await expect(page.get_by_role("heading", level=2)).to_have_count(3)
    await page.get_by_role("link", name="What agents may do").click()
    await expect(page.get_by_text("1 use in the last 30 days", exact=True)).to_have_count(3)
    await expect(page.get_by_text("just now, by briefing-agent")).to_have_count(3)
    await expect(page.get_by_text("briefing-agent used Slack")).to_be_visible()
    # 4. stop one of them: told what stops, and it stops
    await page.get_by_role("link", name=re.compile("^Disconnect Slack")).click()
    await expect(page.locator("main")).to_contain_text("briefing-agent cannot use this account any more.")
    await page.get_by_role("button", name="Disconnect Slack").click()
    await expect(page.get_by_role("status")).to_contain_text("Slack is disconnected.")
    await page.goto(agent)
    await page.get_by_role("button", name="A briefing for Bob").click()
    await expect(page.locator("main")).to_contain_text("Slack access was revoked. Reconnect required.")
    await page.get_by_role("link", name="Reconnect slack").click()
    await expect(page.get_by_role("heading", level=1)).to_contain_text("use your Slack account?")
