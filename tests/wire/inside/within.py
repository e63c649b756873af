"""Somebody inside the database: with the serving role's password, or with every right there is; never with a key."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from tests.conftest import DatabaseUrls
from tests.support.clock import HandClock
from tests.support.processes import Installation, install
from tests.wire.beside import vault_beside
from tests.wire.vault import App
from vaultd.cli.database import verify_audit
from vaultd.sandbox.world import World

MEMORY = 61
"""Seconds after which no process remembers whose a subject's row was."""


@dataclass(frozen=True, slots=True)
class Inside:
    """The vault, and the two ways into its database."""

    world: World
    urls: DatabaseUrls
    clock: HandClock
    installed: Installation

    async def rows(self, sql: str, *values: object) -> list[dict[str, Any]]:
        """As the superuser, foreign keys and triggers aside."""
        connection = await asyncpg.connect(self.urls.owner)
        try:
            await connection.execute("SET session_replication_role = replica")
            return [dict(row) for row in await connection.fetch(sql, *values)]
        finally:
            await connection.close()

    async def one(self, sql: str, *values: object) -> Any:
        """The only value of the only row."""
        ((value,),) = [tuple(row.values()) for row in await self.rows(sql, *values)]
        return value

    async def change(self, sql: str, *values: object) -> None:
        """As the superuser; it must change something."""
        assert await self.rows(f"{sql} RETURNING 1", *values), sql

    async def refused(self, sql: str, *values: object) -> str:
        """What the database says to the serving role; empty where it does as it is told."""
        connection = await asyncpg.connect(self.urls.service)
        try:
            await connection.execute(sql, *values)
        except asyncpg.PostgresError as error:
            return str(error)
        finally:
            await connection.close()
        return ""

    async def serving(self, sql: str, *values: object) -> None:
        """As the serving role, which may do this."""
        refused = await self.refused(sql, *values)
        assert refused == "", (refused, sql)

    def forget(self) -> None:
        """Let so much time pass that nobody remembers a subject."""
        self.clock.forward(seconds=MEMORY)

    async def findings(self) -> set[str]:
        """What `vaultd audit verify` finds."""
        return set((await verify_audit(self.world.settings)).findings)

    async def command(self, *words: str) -> tuple[int, str]:
        """A command of vaultd's, beside the serving process: its exit code and what it says."""
        command = [sys.executable, "-m", "vaultd.cli", *words, "--config", str(self.installed.config)]
        done = await asyncio.to_thread(
            subprocess.run, command, env=self.installed.environ, capture_output=True, text=True, check=False, timeout=90
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, done.stdout + done.stderr

    def token(self, app: App) -> str:
        """A session token of the app's user that is good by now."""
        return self.world.issuer.mint(app.user, azp="sample-agent")

    async def subject_of(self, account: Mapping[str, Any]) -> Any:
        """The row of the user whose account this is, as it can be seen without a key."""
        return await self.one("SELECT subject_id FROM connections WHERE id = $1", account["id"])


@contextmanager
def inside_of(world: World, urls: DatabaseUrls, folder: Path, tables: str = "") -> Iterator[Inside]:
    """Start a vault of one's own."""
    clock = HandClock()
    with vault_beside(world, database_url=urls.service, folder=folder, tables=lambda _: tables, clock=clock) as beside:
        yield Inside(beside, urls, clock, install(beside, "command"))
