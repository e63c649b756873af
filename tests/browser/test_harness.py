"""The browser, the vault and what is around it, as the tests of this folder count on them."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.browser.axe import axe
from tests.browser.conftest import OpenPage
from tests.browser.hosted import Hosted, allow_at_provider, go_on, sign_in_at_issuer


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
async def test_a_person_signs_in_connects_and_an_agent_uses_it(
    hosted: Hosted, open_page: OpenPage, somebody: str, *, scripts: bool
) -> None:
    page = await open_page(scripts=scripts)
    await hosted.sign_in(page, somebody)
    assert page.url == f"{hosted.url}/connections"
    await hosted.connect(page, "github")
    await expect(page).to_have_url(f"{hosted.url}/connections?connection=github&status=connected")
    answer = await hosted.exchange(somebody, "github")
    assert answer.status_code == 200, answer.text


async def test_a_link_signs_in_on_its_way_and_comes_back_to_the_app(
    hosted: Hosted, open_page: OpenPage, somebody: str
) -> None:
    page = await open_page()
    await page.goto(f"{hosted.url}/auth/connect/slack?return_to={hosted.back}")
    await sign_in_at_issuer(page, somebody)
    await go_on(page)
    await allow_at_provider(page)
    await expect(page).to_have_url(f"{hosted.back}?connection=slack&status=connected")


async def test_axe_sees_what_is_wrong_in_spite_of_the_csp(hosted: Hosted, open_page: OpenPage, somebody: str) -> None:
    page = await open_page(dark=True, width=320)
    await hosted.enter(page, somebody)
    await page.locator("html").evaluate("root => root.removeAttribute('lang')")
    assert "html-has-lang" in {violation.rule for violation in await axe(page)}
    await page.locator("html").evaluate("root => root.setAttribute('lang', 'en')")
    assert "html-has-lang" not in {violation.rule for violation in await axe(page)}
