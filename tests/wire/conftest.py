from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from tests.conftest import DatabaseUrls, own_database
from tests.doubles.provider import ProviderDouble
from tests.doubles.stage import Stage, whole_catalogue
from tests.support.clock import HandClock
from tests.wire.beside import More, vault_beside
from tests.wire.issuers import Issuers, issuers_of_every_kind
from tests.wire.vault import App, Vault
from tests.wire.words import Town, wordy_vault
from vaultd.sandbox.postgres import RunningPostgres
from vaultd.sandbox.world import World, start_world


@pytest.fixture(scope="session")
def world() -> Iterator[World]:
    """The whole sandbox on loopback ports, one for the whole run."""
    with start_world(synced=False) as running:
        yield running


@pytest.fixture(scope="module")
def town(world: World, module_database: DatabaseUrls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """A vault whose providers say what a test has them say."""
    folder = tmp_path_factory.mktemp("words")
    with wordy_vault(world, database_url=module_database.service, folder=folder) as running:
        yield running


@pytest_asyncio.fixture(scope="session")
async def vault(world: World) -> AsyncIterator[Vault]:
    async with Vault(world) as speaking:
        yield speaking


@pytest_asyncio.fixture
async def app(world: World) -> AsyncIterator[App]:
    """An app of a user whom nobody else has."""
    async with App(world) as speaking:
        yield speaking


@pytest_asyncio.fixture
async def other_app(world: World) -> AsyncIterator[App]:
    """The same app of another user."""
    async with App(world) as speaking:
        yield speaking


@pytest.fixture(scope="module")
def issuers(world: World, module_database: DatabaseUrls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Issuers]:
    """A vault that believes issuers of every kind, for all tests of a file."""
    folder = tmp_path_factory.mktemp("issuers")
    with issuers_of_every_kind(world, database_url=module_database.service, folder=folder) as running:
        yield running


@pytest_asyncio.fixture
async def believer(issuers: Issuers) -> AsyncIterator[Vault]:
    """That vault, as a client speaks to it."""
    issuers.asked.reset()
    async with Vault(issuers.world) as speaking:
        yield speaking


@pytest.fixture(scope="module")
def clock() -> HandClock:
    """The time of `timed`."""
    return HandClock()


@pytest.fixture(scope="module")
def more() -> More:
    """What is in the file of `timed` beside the sandbox's; a module that needs more has its own."""
    return More()


@pytest.fixture(scope="module")
def timed(
    world: World,
    module_database: DatabaseUrls,
    clock: HandClock,
    more: More,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[World]:
    """A vault with an issuer of its own for all tests of a file, whose time is the tests'."""
    with vault_beside(
        world,
        database_url=module_database.service,
        folder=tmp_path_factory.mktemp("timed"),
        tables=lambda _: more.tables,
        login=more.login,
        clock=clock,
    ) as beside:
        yield beside


@pytest.fixture(scope="session")
def stage(
    world: World, postgres: RunningPostgres, template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    """A vault that knows the whole catalogue, one for the whole run."""
    folder = tmp_path_factory.mktemp("catalogue")
    with (
        own_database(postgres, template) as urls,
        whole_catalogue(world, database_url=urls.service, folder=folder) as running,
    ):
        yield running


@pytest_asyncio.fixture
async def double(stage: Stage, name: str) -> ProviderDouble:
    """The double of the provider `name`, as if nothing had been asked of it; nobody is connected there."""
    stage.doubles[name].reset()
    await stage.empty(name)
    stage.doubles[name].reset()
    return stage.doubles[name]
