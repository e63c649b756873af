"""What commands do in the database: migrate, open the keys, verify the log."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from vaultd import schema
from vaultd.audit import verify as audit_verify
from vaultd.cli.output import outside
from vaultd.db import Database
from vaultd.errors import ConfigurationError, TemporarilyUnavailable
from vaultd.keys.keyring import RingKey, keyring_table, open_keyring
from vaultd.keys.local import open_keyring_file
from vaultd.settings import Settings
from vaultd.terms import Secret


@asynccontextmanager
async def transaction(settings: Settings, url: Secret | None = None) -> AsyncIterator[AsyncConnection]:
    """One transaction on a pool of its own, as the serving role unless `url` says otherwise.

    Raises:
        ConfigurationError: the database is away or refuses the work; it says why, without the URL.
    """
    database = Database(
        url or settings.database_url, tls=settings.database.tls, pool_size=1, application_name="vaultd-cli"
    )
    try:
        async with database.transaction() as connection:
            yield connection
    except TemporarilyUnavailable as error:
        raise ConfigurationError(_told(error)) from error
    finally:
        await database.aclose()


def _told(error: TemporarilyUnavailable) -> str:
    cause = error.__cause__
    # The driver's own words, which quote the server's: whoever that was.
    why = outside(f"{type(cause).__name__}: {cause}" if cause is not None else error.detail)
    return f"The database does not answer or refused the work. {why}".strip()


async def migrate(settings: Settings) -> tuple[str, str]:
    """Bring the schema to head; gives the revisions before and after. Raises `VaultdError`."""
    async with transaction(settings, settings.migration_database_url) as connection:
        return await schema.upgrade(connection), schema.head()


async def open_keys(settings: Settings) -> list[RingKey]:
    """Every key of the database, opened. Raises `VaultdError`."""
    backend = open_keyring_file(settings.keys.path)
    async with transaction(settings) as connection:
        await schema.check(connection)
        return (await open_keyring(connection, backend)).entries()


async def verify_audit(settings: Settings) -> audit_verify.Report:
    """Check the whole audit log. Raises `VaultdError`."""
    backend = open_keyring_file(settings.keys.path)
    async with transaction(settings) as connection:
        await schema.check(connection)
        return await audit_verify.verify(connection, await open_keyring(connection, backend))


async def preflight(settings: Settings) -> None:
    """What must be so before a process serves; the keys themselves may still have to be made.

    Raises:
        VaultdError: the keyring, the database, its schema, the role or a key is not as it must be.
    """
    backend = open_keyring_file(settings.keys.path)
    async with transaction(settings) as connection:
        await schema.check(connection)
        await schema.check_role(connection)
        if (await connection.execute(select(keyring_table.c.id).limit(1))).first() is not None:
            await open_keyring(connection, backend)
