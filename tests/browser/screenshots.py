"""`make screenshots`: every page in every state, light, dark and at phone width, into `build/screenshots`."""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from itertools import product
from pathlib import Path

from playwright.async_api import Browser, Page

from tests.browser.lived import BRANDING, LOGO, Lived, lived_in_vault
from tests.browser.scenes import NEWCOMERS, REGULARS, STRANGERS, Scene
from tests.conftest import SERVICE
from tests.support.chromium import HOSTS, chromium
from tests.support.tls import make_certificate
from vaultd import schema
from vaultd.db import Database
from vaultd.sandbox.postgres import RunningPostgres, start_postgres
from vaultd.terms import Secret

FOLDER = Path(__file__).resolve().parents[2] / "build" / "screenshots"
WIDTHS = {"desktop": 1100, "phone": 360}
SCHEMES = ("light", "dark")


async def main() -> None:
    """Take all of them."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        certificate = make_certificate(folder, f"*.{HOSTS}")
        with start_postgres() as postgres:
            async with chromium(trusted_key=certificate.spki) as browser:
                for name, tables in (("plain", ""), ("branded", BRANDING)):
                    home = folder / name
                    home.mkdir()
                    (home / "logo.svg").write_text(LOGO, encoding="utf-8")
                    url = await _database(postgres, name)
                    async with (
                        _page(browser) as page,
                        lived_in_vault(database_url=url, folder=home, page=page, tables=tables) as lived,
                    ):
                        await _shoot(browser, lived, name)
    sys.stdout.write(f"{len(list(FOLDER.glob('*.png')))} pictures in {FOLDER}\n")


async def _database(postgres: RunningPostgres, name: str) -> str:
    owner = Database(Secret(postgres.create_database(name)))
    async with owner.transaction() as connection:
        await schema.upgrade(connection)
    await owner.aclose()
    if SERVICE not in postgres.run("SELECT rolname FROM pg_roles").split():
        postgres.run(f"CREATE ROLE {SERVICE} LOGIN IN ROLE vaultd_app")
    return postgres.url(name, SERVICE)


async def _shoot(browser: Browser, lived: Lived, name: str) -> None:
    people: list[tuple[str | None, Mapping[str, Scene]]] = [(lived.regular, REGULARS)]
    if name == "plain":
        people += [(lived.newcomer, NEWCOMERS), (None, STRANGERS)]
    else:
        people = [(lived.regular, {each: REGULARS[each] for each in ("connections", "confirm")})]
    for (width, pixels), scheme in product(WIDTHS.items(), SCHEMES):
        for person, scenes in people:
            async with _page(browser, dark=scheme == "dark", width=pixels) as page:
                if person is not None:
                    await lived.hosted.enter(page, person)
                for scene, go in scenes.items():
                    await go(lived, page)
                    await page.screenshot(path=FOLDER / f"{name}-{scene}-{width}-{scheme}.png", full_page=True)


@asynccontextmanager
async def _page(browser: Browser, *, dark: bool = False, width: int = 1100) -> AsyncIterator[Page]:
    context = await browser.new_context(
        color_scheme="dark" if dark else "light", viewport={"width": width, "height": 800}, locale="en-GB"
    )
    context.set_default_timeout(15_000)
    yield await context.new_page()
    await context.close()


if __name__ == "__main__":
    asyncio.run(main())
