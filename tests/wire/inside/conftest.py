"""A vault for each file, and people in it whom no other test has."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from tests.conftest import DatabaseUrls
from tests.wire.beside import Log
from tests.wire.inside.within import Inside, inside_of
from tests.wire.vault import App
from vaultd.sandbox.browser import Browser
from vaultd.sandbox.world import World


@pytest.fixture(scope="module")
def inside(world: World, module_database: DatabaseUrls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inside]:
    with inside_of(world, module_database, tmp_path_factory.mktemp("inside")) as running:
        yield running


@pytest_asyncio.fixture
async def log(inside: Inside) -> AsyncIterator[Log]:
    async with Log(inside.world, inside.clock) as speaking:
        yield speaking


@pytest_asyncio.fixture
async def victim(inside: Inside) -> AsyncIterator[App]:
    async with App(inside.world) as speaking:
        yield speaking


@pytest_asyncio.fixture
async def attacker(inside: Inside) -> AsyncIterator[App]:
    async with App(inside.world) as speaking:
        yield speaking


@pytest_asyncio.fixture
async def carol(inside: Inside) -> AsyncIterator[Browser]:
    """Signed in; she stops just before a provider's answer reaches vaultd."""
    async with Browser(stop_at=[f"{inside.world.places.vault}/auth/callback/"]) as opened:
        await opened.open(f"{inside.world.places.vault}/connections")
        await opened.click("Carol")
        yield opened
