"""A server of its own, whose roles are those that `deploy/postgres-roles.sql` makes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.support.house import House
from tests.support.older import REVISION, Older, first_keys, migrate_to
from vaultd.db import Database
from vaultd.keys.keyring import open_keyring
from vaultd.keys.local import LocalBackend, generate_keyring_file, open_keyring_file
from vaultd.sandbox.postgres import RunningPostgres, start_postgres
from vaultd.terms import Secret, system_clock

ROLES = Path(__file__).parents[3] / "deploy/postgres-roles.sql"
ISSUER_SECRET = "a secret that the issuer and the vault share, long enough"
CONFIGURATION = """
public_url = "https://vault.example.com"
database_url = "env:SERVING"
migration_database_url = "env:MIGRATING"
[keys]
path = "keyring.json"
[issuers.login]
issuer = "https://login.example.com"
audience = ["https://vault.example.com"]
hs256_secret = "env:ISSUER_SECRET"
[clients.agent]
auth = "none"
implicit = true
ip_allowlist = ["127.0.0.0/8"]
redirect_uris = ["https://app.example.com/connected"]
[clients.agent.providers]
github = ["repo", "user"]
slack = ["repo", "user"]
[providers.github]
client_id = "vaultd"
token_endpoint_auth_method = "none"
authorization_endpoint = "https://provider.example/authorize"
token_endpoint = "https://provider.example/token"
[providers.slack]
client_id = "vaultd"
token_endpoint_auth_method = "none"
authorization_endpoint = "https://provider.example/authorize"
token_endpoint = "https://provider.example/token"
[refresh]
ahead = 0
"""
_numbers = count(1)


@dataclass(frozen=True, slots=True)
class Installed:
    """A database of the server with a folder in which vaultd's commands are run."""

    server: RunningPostgres
    name: str
    folder: Path

    @property
    def keyring(self) -> Path:
        return self.folder / "keyring.json"

    @property
    def environ(self) -> dict[str, str]:
        urls = {
            "SERVING": self.server.url(self.name, "vaultd_serve"),
            "MIGRATING": self.server.url(self.name, "vaultd_migrate"),
        }
        return os.environ | urls | {"ISSUER_SECRET": ISSUER_SECRET}

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "vaultd.cli", *words, "--config", str(self.folder / "vaultd.toml")]

    def run(self, *words: str) -> tuple[int, str]:
        """A command of vaultd's: its exit code and what it says."""
        done = subprocess.run(
            self.command(*words), env=self.environ, capture_output=True, text=True, check=False, timeout=120
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, done.stdout + done.stderr

    def told(self, *words: str) -> Any:
        """What a command writes with --json, whatever its exit code and whatever it says besides."""
        done = subprocess.run(
            self.command(*words, "--json"), env=self.environ, capture_output=True, text=True, check=False, timeout=120
        )
        return json.loads(done.stdout)

    def checks(self) -> dict[str, dict[str, str]]:
        """What `vaultd check` says, by what it is about."""
        return {one["what"]: one for one in self.told("check")["checks"]}

    def database(self, user: str) -> Database:
        return Database(Secret(self.server.url(self.name, user)))


def make_roles(server: RunningPostgres, database: str) -> str:
    """Run the file as its own first lines say. Its roles are the whole server's, so it goes once."""
    options = server.account.options(server.socket_folder)
    passwords = {"VAULTD_MIGRATE_PASSWORD": "made up", "VAULTD_SERVE_PASSWORD": "made up too"}
    done = subprocess.run(
        [str(server.binaries / "psql"), "-X", "--dbname", server.url(database)],
        input=ROLES.read_text(encoding="utf-8"),
        capture_output=True,
        text=True,
        check=True,
        **options | {"env": options["env"] | passwords},
    )
    return str(done.stderr)


@pytest.fixture(scope="module")
def server() -> Iterator[RunningPostgres]:
    with start_postgres(synced=False) as running:
        running.create_database("vaultd")
        assert make_roles(running, "vaultd") == ""
        yield running


@pytest.fixture
def installed(server: RunningPostgres, tmp_path: Path) -> Installed:
    """An empty database, which belongs to `vaultd_owner`."""
    name = f"vaultd_{next(_numbers)}"
    server.create_database(name)
    server.run(f"ALTER DATABASE {name} OWNER TO vaultd_owner")
    (tmp_path / "vaultd.toml").write_text(CONFIGURATION, encoding="utf-8")
    return Installed(server, name, tmp_path)


@dataclass(frozen=True, slots=True)
class Aged:
    """An installation at the older revision, and who fills it."""

    installed: Installed
    older: Older
    backend: LocalBackend

    @property
    def house(self) -> House:
        return self.older.house


@pytest_asyncio.fixture
async def aged(installed: Installed) -> AsyncIterator[Aged]:
    generate_keyring_file(installed.keyring, now=system_clock())
    backend = open_keyring_file(installed.keyring)
    migrating, serving, superuser = (
        installed.database(name) for name in ("vaultd_migrate", "vaultd_serve", "postgres")
    )
    async with migrating.transaction() as connection:
        await migrate_to(connection, REVISION)
    async with serving.transaction() as connection:
        await first_keys(connection, backend, now=system_clock())
        keyring = await open_keyring(connection, backend)
    yield Aged(installed, Older(House(serving, keyring), superuser), backend)
    for database in (migrating, serving, superuser):
        await database.aclose()
