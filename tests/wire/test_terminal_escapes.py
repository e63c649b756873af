"""Nothing that a command shows steers the terminal: not what the database holds, nor what another server answers."""

from __future__ import annotations

import json
import os
import re
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest
import pytest_asyncio
from sqlalchemy import text

import vaultd.cli
from tests.conftest import DatabaseUrls
from tests.support.least import LEAST_FILE
from vaultd.db import Database
from vaultd.keys.keyring import make_keys_once
from vaultd.keys.local import generate_keyring_file, open_keyring_file
from vaultd.terms import system_clock

EVIL = "\x1b]0;PWNED\x07\x1b[2J\x9b31m\u202e\nok       database keys        all is well"
SPELLED = "\\x1b]0;PWNED\\x07\\x1b[2J\\x9b31m\\u202e\\nok"
STEERING = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@pytest_asyncio.fixture
async def folder(tmp_path: Path, database: Database) -> Path:
    """A configuration, and a database whose keys say that they are another keyring's."""
    (tmp_path / "vaultd.toml").write_text(LEAST_FILE, encoding="utf-8")
    generate_keyring_file(tmp_path / "keyring.json", now=system_clock())
    async with database.transaction() as connection:
        await make_keys_once(connection, open_keyring_file(tmp_path / "keyring.json"), now=system_clock())
    return tmp_path


def shown_by(folder: Path, words: Sequence[str], url: str) -> str:
    command = [sys.executable, "-m", "vaultd.cli", *words]
    environ = os.environ | {"SERVICE_URL": url}
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 1, done.stderr
    written = done.stdout + done.stderr
    assert STEERING.search(written) is None
    assert not [line for line in written.split("\n") if line.startswith("ok       database keys")]
    return written


@pytest.mark.parametrize(
    "words",
    [["check"], ["check", "--json"], ["serve", "--port", "0"], ["keys", "status"], ["audit", "verify"]],
    ids=" ".join,
)
async def test_the_root_that_a_key_says_it_was_wrapped_by(
    folder: Path, database_urls: DatabaseUrls, superuser: Database, words: list[str]
) -> None:
    async with superuser.transaction() as connection:
        await connection.execute(text("UPDATE keyring SET root = :root"), {"root": f"local:{EVIL}"})
    written = shown_by(folder, words, database_urls.service)
    assert (json.dumps(SPELLED)[1:-1] if "--json" in words else SPELLED) in written


@pytest.mark.parametrize("words", [["check"], ["serve", "--port", "0"]], ids=" ".join)
async def test_the_revision_of_the_schema(
    folder: Path, database_urls: DatabaseUrls, superuser: Database, words: list[str]
) -> None:
    async with superuser.transaction() as connection:
        await connection.execute(text("ALTER TABLE alembic_version ALTER version_num TYPE text"))
        await connection.execute(text("UPDATE alembic_version SET version_num = :told"), {"told": EVIL})
    assert SPELLED in shown_by(folder, words, database_urls.service)


class Rude:
    """A server that answers every start of a session with an error of its own words."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"postgresql://u:p@127.0.0.1:{self._listening.getsockname()[1]}/vaultd"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join()

    def _serve(self) -> None:
        fields = b"".join(
            kind + said.encode() + b"\0" for kind, said in ((b"S", "FATAL"), (b"C", "28000"), (b"M", EVIL))
        )
        error = b"E" + struct.pack("!i", 4 + len(fields) + 1) + fields + b"\0"
        while True:
            try:
                talking, _ = self._listening.accept()
            except OSError:
                return
            with talking:
                heard = talking.recv(65536)
                if heard[4:8] == struct.pack("!i", 80877103):
                    talking.sendall(b"N")
                    heard = talking.recv(65536)
                talking.sendall(error)


@pytest.fixture
def rude() -> Iterator[Rude]:
    with closing(Rude()) as serving:
        yield serving


@pytest.mark.parametrize("words", [["check"], ["migrate"], ["serve", "--port", "0"]], ids=" ".join)
def test_what_a_database_server_says(tmp_path: Path, rude: Rude, words: list[str]) -> None:
    (tmp_path / "vaultd.toml").write_text(LEAST_FILE, encoding="utf-8")
    generate_keyring_file(tmp_path / "keyring.json", now=system_clock())
    assert SPELLED in shown_by(tmp_path, words, rude.url)


def test_what_stands_in_the_configuration(tmp_path: Path) -> None:
    evil = json.dumps(f"a{EVIL}")
    (tmp_path / "vaultd.toml").write_text(f"{LEAST_FILE}[issuers.{evil}]\nissuer = {evil}\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "vaultd.cli", "check"],
        cwd=tmp_path,
        env=os.environ | {"SERVICE_URL": "postgresql://u@127.0.0.1:1/v"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert STEERING.search(done.stdout + done.stderr) is None


def test_no_command_writes_in_another_way() -> None:
    folder = Path(vaultd.cli.__file__).parent
    writing = re.compile(r"\btyper\.echo\(|\bprint\(|\bstd(out|err)\.write\(")
    found = {path.name: writing.findall(path.read_text(encoding="utf-8")) for path in folder.glob("*.py")}
    # The story of the sandbox goes through rich, and is escaped before.
    assert {name for name, ways in found.items() if ways} <= {"output.py", "sandboxed.py"}
