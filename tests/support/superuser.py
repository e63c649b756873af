"""What somebody with all rights in the database does to it: honest ways to make a running vault fail."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from vaultd.sandbox.world import World


async def execute(world: World, sql: str, *arguments: object, database: str = "vaultd") -> None:
    """Run one statement as the superuser."""
    url = world.settings.database_url.reveal().replace("vaultd_service@/vaultd?", f"postgres@/{database}?")
    superuser = await asyncpg.connect(url)
    try:
        await superuser.execute(sql, *arguments)
    finally:
        await superuser.close()


@asynccontextmanager
async def database_away(world: World) -> AsyncIterator[None]:
    """Everybody is turned out of the database and kept out until the end of the block."""
    await execute(world, "ALTER DATABASE vaultd ALLOW_CONNECTIONS false", database="postgres")
    try:
        turn_out = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'vaultd'"
        await execute(world, turn_out, database="postgres")
        yield
    finally:
        await execute(world, "ALTER DATABASE vaultd ALLOW_CONNECTIONS true", database="postgres")


@asynccontextmanager
async def unwritable_log(world: World) -> AsyncIterator[None]:
    """Everything works but for new events, until the end of the block."""
    await execute(world, "REVOKE INSERT ON events FROM vaultd_app")
    try:
        yield
    finally:
        await execute(world, "GRANT INSERT ON events TO vaultd_app")
