"""PostgreSQL: the engine, transactions, and the one metadata object that every room's tables hang on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from sqlalchemy import MetaData, Table, insert, text
from sqlalchemy.exc import DBAPIError, InterfaceError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from vaultd.database_url import DatabaseTls, check_transport, last_value
from vaultd.errors import ConfigurationError, TemporarilyUnavailable, VaultdError
from vaultd.terms import Secret

metadata = MetaData()

CONNECT_TIMEOUT = 5.0
"""Seconds to wait for PostgreSQL to accept a connection."""
STATEMENT_TIMEOUT = 30.0
"""Seconds that one statement may take before the driver gives it up."""
MANY = 20
"""Rows from which on COPY is worth its preparation."""


class Database:
    """A pool over one `postgresql://` URL. The URL is handed to the driver as it is, so all libpq forms work.

    Raises:
        ConfigurationError: the server is elsewhere and need not prove itself, and `tls` is not `unverified`.
    """

    def __init__(
        self,
        url: Secret,
        *,
        tls: DatabaseTls = "verified",
        pool_size: int = 8,
        application_name: str = "vaultd serve",
        statement_timeout: float | None = STATEMENT_TIMEOUT,
    ) -> None:
        if tls == "verified":
            _check_transport(url)
        # libpq's word for the machine's own authorities, which this driver takes for a file.
        own_authorities = last_value(url.reveal(), "sslrootcert") == "system"

        async def connect() -> Any:
            return await asyncpg.connect(
                url.reveal(),
                ssl=True if own_authorities else None,
                timeout=CONNECT_TIMEOUT,
                command_timeout=statement_timeout,
                server_settings={"application_name": application_name, "timezone": "UTC"},
            )

        # Pre-ping, because Postgres may have been restarted between two requests.
        self.engine = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=connect,
            pool_size=pool_size,
            max_overflow=pool_size,
            pool_timeout=CONNECT_TIMEOUT,
            pool_pre_ping=True,
        )
        self._connect = connect
        self._idle: list[asyncpg.Connection] = []

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """One transaction, committed when the block ends well.

        Raises:
            TemporarilyUnavailable: the database is away or did not take the statements.
        """
        try:
            async with self.engine.begin() as connection:
                yield connection
        except VaultdError:
            raise
        except DATABASE_AWAY as error:
            raise unavailable(error) from error

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[AsyncConnection]:
        """One transaction that sees everything as it was at its beginning, for comparing rows with each other.

        Raises:
            TemporarilyUnavailable: the database is away or did not take the statements.
        """
        try:
            async with self.engine.connect() as connection:
                await connection.execution_options(isolation_level="REPEATABLE READ")
                yield connection
        except VaultdError:
            raise
        except DATABASE_AWAY as error:
            raise unavailable(error) from error

    @asynccontextmanager
    async def direct(self) -> AsyncIterator[asyncpg.Connection]:
        """A connection of the driver's own, for the one path whose cost is counted in microseconds.

        As many are kept as were ever used at once; there is no limit here, the caller has its own. A connection that
        died while it was idle is not used again, and one that was left in a transaction is closed.
        """
        while self._idle and self._idle[-1].is_closed():
            self._idle.pop()
        connection = self._idle.pop() if self._idle else await self._connect()
        try:
            yield connection
        finally:
            if connection.is_in_transaction():
                connection.terminate()
            elif not connection.is_closed():
                self._idle.append(connection)

    @asynccontextmanager
    async def dedicated(self) -> AsyncIterator[asyncpg.Connection]:
        """A connection outside the pool, for the caller alone, closed at the end of the block.

        Raises:
            TemporarilyUnavailable: the database is away, or went while the block ran.
        """
        try:
            connection = await self._connect()
            try:
                yield connection
            finally:
                connection.terminate()
        except DATABASE_AWAY as error:
            raise unavailable(error) from error

    async def ping(self) -> None:
        """Raise `TemporarilyUnavailable` when the database does not answer."""
        async with self.transaction() as connection:
            await connection.execute(text("SELECT 1"))

    async def aclose(self) -> None:
        """Close every connection."""
        while self._idle:
            self._idle.pop().terminate()
        await self.engine.dispose()


def _check_transport(url: Secret) -> None:
    try:
        check_transport(url.reveal())
    except ValueError as error:
        raise ConfigurationError(f"The database's URL {error}.") from None


async def add_rows(connection: AsyncConnection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows, all with the same columns, in the caller's transaction.

    Many go by COPY: it takes any number of them in one go, and costs least on both sides.
    """
    if len(rows) < MANY:
        if rows:
            await connection.execute(insert(table), rows)
        return
    driver: asyncpg.Connection = (await connection.get_raw_connection()).driver_connection
    if not driver.is_in_transaction():
        # SQLAlchemy begins one with its own first statement, and of the driver's it knows nothing.
        await connection.execute(text("SELECT 1"))
    keys = tuple(rows[0])
    records = [tuple(row[key] for key in keys) for row in rows]
    await driver.copy_records_to_table(table.name, records=records, columns=[table.c[key].name for key in keys])


# asyncpg raises its own and the operating system's errors while connecting, SQLAlchemy wraps the later ones.
DATABASE_AWAY = (DBAPIError, InterfaceError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)

# What the driver or the database says of one statement and its values, while the connection goes on.
STATEMENT_REFUSED = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.TransactionRollbackError,
    asyncpg.exceptions.InternalClientError,
)


def unavailable(error: BaseException) -> TemporarilyUnavailable:
    """The domain's word for a database that is away; the driver's own words go to the log only."""
    return TemporarilyUnavailable(reason="database_unavailable", detail=type(error).__name__)
