"""The database schema: bringing it to head, and refusing to serve when it is not there.

The migrations stand in `migrations/` of the repository, and inside the wheel as `vaultd/_migrations`.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError, ProgrammingError
from sqlalchemy.ext.asyncio import AsyncConnection

from vaultd.errors import SchemaError

_REVISION = """CREATE TABLE alembic_version (
    version_num varchar(32) NOT NULL, CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"""


def location() -> Path:
    """Where the migrations are."""
    packaged = Path(__file__).parent / "_migrations"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "migrations"


@cache
def head() -> str:
    """The newest revision this version of vaultd knows. Every start asks for it, which need not load Alembic."""
    revisions = [path.name.partition("_")[0] for path in (location() / "versions").glob("[0-9]*_*.py")]
    if not revisions:
        raise SchemaError("The migrations are missing from this installation.")
    return max(revisions)


async def upgrade(connection: AsyncConnection) -> str:
    """Bring the schema to head in the caller's connection; gives the revision it was at before, or `none`."""
    # Two operators may run `vaultd migrate` at once: the second waits, then finds nothing to do.
    if not await _has_revision(connection):
        await _make_revision(connection)
    # Unlike an advisory lock it needs a right, so that nobody else can hold it against us; readers do not wait.
    await connection.execute(text("LOCK TABLE alembic_version IN SHARE ROW EXCLUSIVE MODE"))

    return await connection.run_sync(_upgrade)


def _upgrade(connection: Connection) -> str:
    from alembic import command  # noqa: PLC0415 - a quarter of a second, which only a migration has to spend
    from alembic.config import Config  # noqa: PLC0415 - so is this
    from alembic.runtime.migration import MigrationContext  # noqa: PLC0415 - and this

    before = MigrationContext.configure(connection).get_current_revision()
    config = Config()
    # Alembic reads the value as a format string, so a per cent sign in a path is doubled.
    config.set_main_option("script_location", str(location()).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    return before or "none"


async def check(connection: AsyncConnection) -> None:
    """Raise `SchemaError` unless the schema is exactly at this version's head."""
    found = None
    if await _has_revision(connection):
        found = (await connection.execute(text("SELECT version_num FROM alembic_version"))).scalar_one_or_none()
    if found != head():
        raise SchemaError(
            f"The database is at revision {found or 'none'}, and this version needs {head()}. Run `vaultd migrate`."
        )


async def _make_revision(connection: AsyncConnection) -> None:
    """Make Alembic's own table, as it would, so that there is something to lock in an empty database."""
    try:
        async with connection.begin_nested():
            await connection.execute(text(_REVISION))
    except (IntegrityError, ProgrammingError):
        # PostgreSQL lets the second wait for the first one's commit, and then says that the name is taken.
        if not await _has_revision(connection):
            raise


async def _has_revision(connection: AsyncConnection) -> bool:
    # Looked up first: a failing query would end the caller's transaction.
    return (await connection.execute(text("SELECT to_regclass('alembic_version')"))).scalar_one() is not None
