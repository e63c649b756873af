"""The database schema: bringing it to head, and refusing to serve when it is not there.

The migrations stand in `migrations/` of the repository, and inside the wheel as `vaultd/_migrations`.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection

from vaultd.errors import SchemaError


def _config() -> Config:
    packaged = Path(__file__).parent / "_migrations"
    config = Config()
    # Alembic reads the value as a format string, so a per cent sign in a path is doubled.
    location = packaged if packaged.is_dir() else Path(__file__).parents[2] / "migrations"
    config.set_main_option("script_location", str(location).replace("%", "%%"))
    return config


@cache
def head() -> str:
    """The newest revision this version of vaultd knows."""
    revision = ScriptDirectory.from_config(_config()).get_current_head()
    if revision is None:
        raise SchemaError("The migrations are missing from this installation.")
    return revision


async def upgrade(connection: AsyncConnection) -> str:
    """Bring the schema to head in the caller's connection; gives the revision it was at before, or `none`."""
    # Two operators may run `vaultd migrate` at once: the second waits, then finds nothing to do.
    await connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('vaultd.migrate'))"))

    def run(sync_connection: Connection) -> str:
        before = MigrationContext.configure(sync_connection).get_current_revision()
        config = _config()
        config.attributes["connection"] = sync_connection
        command.upgrade(config, "head")
        return before or "none"

    return await connection.run_sync(run)


async def check(connection: AsyncConnection) -> None:
    """Raise `SchemaError` unless the schema is exactly at this version's head."""
    found = None
    # Looked up first: a failing query would end the caller's transaction.
    if (await connection.execute(text("SELECT to_regclass('alembic_version')"))).scalar_one() is not None:
        found = (await connection.execute(text("SELECT version_num FROM alembic_version"))).scalar_one_or_none()
    if found != head():
        raise SchemaError(
            f"The database is at revision {found or 'none'}, and this version needs {head()}. Run `vaultd migrate`."
        )


async def check_role(connection: AsyncConnection) -> None:
    """Raise `SchemaError` unless we serve as a member of `vaultd_app` that owns nothing (data.md, Roles)."""
    query = text(
        "SELECT current_user AS role, rolsuper,"
        " pg_has_role(current_user, 'vaultd_app', 'USAGE') AS serves,"
        " pg_has_role(current_user, 'vaultd_owner', 'USAGE') AS owns"
        " FROM pg_roles WHERE rolname = current_user"
    )
    row = (await connection.execute(query)).one()
    if row.rolsuper or row.owns:
        raise SchemaError(
            f"The serving role {row.role} owns the tables, so it could rewrite the audit log. "
            "Give `database_url` a role that is only a member of vaultd_app."
        )
    if not row.serves:
        raise SchemaError(f"The serving role {row.role} is not in vaultd_app: `GRANT vaultd_app TO {row.role}`.")
