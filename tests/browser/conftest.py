from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Protocol
from uuid import uuid4

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page

from tests.browser.hosted import Hosted, hosted_vault
from tests.conftest import DatabaseUrls, own_database
from tests.support.chromium import HOSTS, chromium
from tests.support.tls import Certificate, make_certificate
from vaultd.sandbox.postgres import RunningPostgres

PATIENCE = 15_000
"""Milliseconds that anything in a page may take."""


class OpenPage(Protocol):
    """Opens a page in a browser profile that is new: nothing is kept from one call to the next."""

    async def __call__(
        self,
        *,
        dark: bool = False,
        width: int = 1280,
        scripts: bool = True,
        locale: str = "en-GB",
        still: bool = False,
    ) -> Page:
        """`still` is the person's wish for reduced motion; without `scripts` JavaScript is off."""


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("tls"), f"*.{HOSTS}")


@pytest_asyncio.fixture(scope="session")
async def browser(certificate: Certificate) -> AsyncIterator[Browser]:
    """One for the whole run."""
    async with chromium(trusted_key=certificate.spki) as running:
        yield running


@pytest_asyncio.fixture
async def open_page(browser: Browser) -> AsyncIterator[OpenPage]:
    contexts: list[BrowserContext] = []

    async def opened(
        *, dark: bool = False, width: int = 1280, scripts: bool = True, locale: str = "en-GB", still: bool = False
    ) -> Page:
        context = await browser.new_context(
            color_scheme="dark" if dark else "light",
            viewport={"width": width, "height": 800},
            java_script_enabled=scripts,
            locale=locale,
            reduced_motion="reduce" if still else "no-preference",
        )
        contexts.append(context)
        context.set_default_timeout(PATIENCE)
        return await context.new_page()

    yield opened
    for context in contexts:
        await context.close()


@pytest.fixture(scope="session")
def shared_database(postgres: RunningPostgres, template: str) -> Iterator[DatabaseUrls]:
    with own_database(postgres, template) as urls:
        yield urls


@pytest_asyncio.fixture(scope="session")
async def hosted(shared_database: DatabaseUrls, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Hosted]:
    """A vault for the whole run. Tests do not meet in it, because each has users of its own."""
    folder = tmp_path_factory.mktemp("hosted")
    async with hosted_vault(database_url=shared_database.service, folder=folder) as running:
        yield running


@pytest.fixture
def somebody() -> str:
    """A user whom no other test knows."""
    return f"user-{uuid4().hex[:12]}"
