"""Debian's Chromium, driven by Playwright. Nothing that it opens leaves this machine."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import Browser, async_playwright

HOSTS = "vaultd.test"
"""A name of RFC 6761 §6.2; everything below it is this machine."""
_RULES = f"MAP *.{HOSTS} 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"


class ChromiumError(Exception):
    """There is no Chromium; the words say how to get one."""


def find_chromium() -> Path:
    """Where it is. Raises `ChromiumError`: without it the pages are not tested, so a test that needs it fails."""
    found = shutil.which("chromium") or "/usr/bin/chromium"
    if not Path(found).exists():
        raise ChromiumError("The tests need chromium. Run `make test`, or scripts/setup-chromium.")
    return Path(found)


@asynccontextmanager
async def chromium(*, trusted_key: str) -> AsyncIterator[Browser]:
    """One browser process. `trusted_key` is the SHA-256 of the public key whose certificates it takes as good."""
    arguments = [
        "--no-sandbox",
        f"--host-resolver-rules={_RULES}",
        f"--ignore-certificate-errors-spki-list={trusted_key}",
    ]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=find_chromium(),
            args=arguments,
            # As people have it: going back may show a page out of memory.
            ignore_default_args=["--disable-back-forward-cache"],
        )
        try:
            yield browser
        finally:
            await browser.close()
