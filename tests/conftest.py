"""A PostgreSQL for the whole run, and for each test a database of its own, migrated and with keys."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.databases import SERVICE, DatabaseUrls, own_database
from tests.support.house import House
from vaultd.db import Database
from vaultd.keys.keyring import Keyring, make_keys_once, open_keyring
from vaultd.keys.local import LocalBackend, generate_keyring_file, open_keyring_file
from vaultd.sandbox.postgres import RunningPostgres, start_postgres
from vaultd.schema import upgrade
from vaultd.terms import Secret, system_clock

__all__ = ["SERVICE", "DatabaseUrls", "own_database"]

TEMPLATE = "vaultd_template"


@pytest.fixture(scope="session")
def postgres() -> Iterator[RunningPostgres]:
    with start_postgres(synced=False) as running:
        yield running


@pytest_asyncio.fixture(scope="session")
async def template(postgres: RunningPostgres) -> str:
    """A migrated database that is never opened again: those of the tests are copies of it."""
    owner = Database(Secret(postgres.create_database(TEMPLATE)))
    async with owner.transaction() as connection:
        await upgrade(connection)
    await owner.aclose()
    postgres.run(f"CREATE ROLE {SERVICE} LOGIN IN ROLE vaultd_app")
    return TEMPLATE


@pytest.fixture
def database_urls(postgres: RunningPostgres, template: str) -> Iterator[DatabaseUrls]:
    with own_database(postgres, template) as urls:
        yield urls


@pytest.fixture(scope="module")
def module_database(postgres: RunningPostgres, template: str) -> Iterator[DatabaseUrls]:
    """One for all tests of a file."""
    with own_database(postgres, template) as urls:
        yield urls


@pytest_asyncio.fixture
async def database(database_urls: DatabaseUrls) -> AsyncIterator[Database]:
    serving = Database(Secret(database_urls.service))
    yield serving
    await serving.aclose()


@pytest_asyncio.fixture
async def superuser(database_urls: DatabaseUrls) -> AsyncIterator[Database]:
    """The way in of somebody who may do everything to the database."""
    owner = Database(Secret(database_urls.owner))
    yield owner
    await owner.aclose()


@pytest.fixture(scope="session")
def backend(tmp_path_factory: pytest.TempPathFactory) -> LocalBackend:
    path: Path = tmp_path_factory.mktemp("keyring") / "keyring.json"
    generate_keyring_file(path, now=system_clock())
    return open_keyring_file(path)


@pytest_asyncio.fixture
async def keyring(database: Database, backend: LocalBackend) -> Keyring:
    async with database.transaction() as connection:
        await make_keys_once(connection, backend, now=system_clock())
        return await open_keyring(connection, backend)


@pytest.fixture
def house(database: Database, keyring: Keyring) -> House:
    return House(database, keyring)
