"""What commands do in the database: migrate, open the keys, verify the log."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from vaultd import schema
from vaultd.app.resealing import reseal
from vaultd.app.verifying import verification_of
from vaultd.cli.output import outside
from vaultd.db import Database
from vaultd.errors import ConfigurationError, TemporarilyUnavailable
from vaultd.keys.keyring import RingKey, keyring_table, open_keyring
from vaultd.keys.local import open_keyring_file
from vaultd.resealing import Tell
from vaultd.serving_role import check_role
from vaultd.settings import Settings
from vaultd.terms import Secret
from vaultd.verification import Report


@asynccontextmanager
async def transaction(settings: Settings, url: Secret | None = None) -> AsyncIterator[AsyncConnection]:
    """One transaction on a pool of its own. Raises `ConfigurationError` as `database_of` does."""
    async with database_of(settings, url) as database, database.transaction() as connection:
        yield connection


@asynccontextmanager
async def database_of(settings: Settings, url: Secret | None = None) -> AsyncIterator[Database]:
    """A pool of its own, as the serving role unless `url` says otherwise.

    Raises:
        ConfigurationError: the database is away or refuses the work; it says why, without the URL.
    """
    database = Database(
        url or settings.database_url,
        tls=settings.database.tls,
        pool_size=1,
        application_name="vaultd-cli",
        # Migrating or verifying a large database takes as long as it takes; who waits for it can end it.
        statement_timeout=None,
    )
    try:
        yield database
    except TemporarilyUnavailable as error:
        raise ConfigurationError(_told(error)) from error
    finally:
        await database.aclose()


def _told(error: TemporarilyUnavailable) -> str:
    cause = error.__cause__
    # The driver's own words, which quote the server's: whoever that was.
    why = outside(f"{type(cause).__name__}: {cause}" if cause is not None else error.detail)
    return f"The database does not answer or refused the work. {why}".strip()


@dataclass(frozen=True, slots=True)
class Migrated:
    """The revisions before and after, and how many connections were sealed anew."""

    before: str
    after: str
    sealed_anew: int


async def migrate(settings: Settings, *, tell: Tell) -> Migrated:
    """Bring the schema to head, and what is sealed to its newest format. Raises `VaultdError`."""
    async with transaction(settings, settings.migration_database_url) as connection:
        before = await schema.upgrade(connection)
    async with database_of(settings, settings.migration_database_url) as database:
        sealed_anew = await reseal(settings, database, tell=tell)
    return Migrated(before, schema.head(), sealed_anew)


async def open_keys(settings: Settings) -> list[RingKey]:
    """Every key of the database, opened. Raises `VaultdError`."""
    backend = open_keyring_file(settings.keys.path)
    async with transaction(settings) as connection:
        await schema.check(connection)
        return (await open_keyring(connection, backend)).entries()


async def verify_audit(settings: Settings) -> Report:
    """Check the whole audit log, and every row against it. Raises `VaultdError`."""
    backend = open_keyring_file(settings.keys.path)
    async with database_of(settings) as database:
        async with database.transaction() as connection:
            await schema.check(connection)
            keyring = await open_keyring(connection, backend)
        return await verification_of(database, keyring)()


async def preflight(settings: Settings) -> None:
    """What must be so before a process serves; the keys themselves may still have to be made.

    Raises:
        VaultdError: the keyring, the database, its schema, the role or a key is not as it must be.
    """
    backend = open_keyring_file(settings.keys.path)
    async with transaction(settings) as connection:
        await schema.check(connection)
        await check_role(connection)
        if (await connection.execute(select(keyring_table.c.id).limit(1))).first() is not None:
            await open_keyring(connection, backend)
