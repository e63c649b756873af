"""Every page in every state, by name: what the screenshots show, and what axe looks at."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias
from urllib.parse import urlencode

from playwright.async_api import Page

from tests.browser.lived import Lived
from vaultd.sandbox.dev_config import SAMPLE_AGENT

Scene: TypeAlias = Callable[[Lived, Page], Awaitable[None]]


def _at(path: str) -> Scene:
    async def go(lived: Lived, page: Page) -> None:
        await page.goto(lived.hosted.url + path.format(github=lived.github))

    return go


async def _asked_by_an_app(lived: Lived, page: Page) -> None:
    query = {"client_id": SAMPLE_AGENT, "return_to": lived.hosted.back, "login_hint": "bob@example.com"}
    await page.goto(f"{lived.hosted.url}/auth/connect/github?{urlencode(query)}")


def _with_a_ticket(language: str) -> Scene:
    async def go(lived: Lived, page: Page) -> None:
        await page.goto(f"{await lived.hosted.ticket(lived.newcomer)}&lang={language}")

    return go


async def _older(lived: Lived, page: Page) -> None:
    await page.goto(f"{lived.hosted.url}/connections/activity")
    await page.get_by_role("link", name="Older").click()
    await page.get_by_role("link", name="Newest").wait_for()


REGULARS: Mapping[str, Scene] = MappingProxyType(
    {
        "connections": _at("/connections"),
        "connections-connected": _at("/connections?status=connected&connection=slack"),
        "connections-declined": _at("/connections?status=error&error=access_denied&connection=google"),
        "connections-german": _at("/connections?lang=de"),
        "activity": _at("/connections/activity?lang=en"),
        "activity-older": _older,
        "disconnect": _at("/connections/{github}/disconnect"),
        "confirm": _asked_by_an_app,
        "confirm-undescribed": _at("/auth/connect/shop?shop=my-shop"),
        "confirm-german": _at("/auth/connect/google?lang=de"),
        "confirm-ticket-of-another": _with_a_ticket("de"),
        "ask": _at("/auth/connect/shop?lang=en"),
        "ask-wrong": _at("/auth/connect/shop?shop=Not+a+shop"),
        "error-bad-link": _at("/auth/connect/github?return_to=https://elsewhere.example/"),
        "error-too-late": _at("/auth/callback/github?state=gone&code=gone"),
        "error-unknown": _at("/connections/00000000-0000-4000-8000-000000000000/disconnect"),
    }
)
"""For the person who has everything."""

NEWCOMERS: Mapping[str, Scene] = MappingProxyType(
    {"connections-empty": _at("/connections"), "activity-empty": _at("/connections/activity")}
)
"""For the person who has nothing yet."""

STRANGERS: Mapping[str, Scene] = MappingProxyType(
    {
        "confirm-ticket": _with_a_ticket("en"),
        "signed-out": _at("/auth/signed-out"),
        "error-used-ticket": _at("/auth/connect?ticket=used"),
        "error-not-signed-in": _at("/auth/login/callback?error=no"),
    }
)
"""For nobody that is known."""
