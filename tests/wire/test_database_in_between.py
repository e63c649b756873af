"""Whoever stands between vaultd and its database says "no TLS", and asks for the password in the clear."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.least import LEAST_FILE
from tests.support.tls import make_certificate
from vaultd.db import Database
from vaultd.errors import TemporarilyUnavailable
from vaultd.keys.local import generate_keyring_file
from vaultd.terms import Secret, system_clock

PASSWORD = "the-serving-password"
SSL_REQUEST = struct.pack("!ii", 8, 80877103)
CLEAR_TEXT = b"R" + struct.pack("!ii", 8, 3)
COMMANDS = [["serve", "--port", "0"], ["check"], ["migrate"], ["audit", "verify"], ["keys", "status"]]


class InBetween:
    """Answers connections one after the other, and keeps all that it is sent. Its address is none of loopback's."""

    def __init__(self) -> None:
        self.heard = b""
        self._listening = socket.create_server(("0.0.0.0", 0))  # noqa: S104 - so that its address is no loopback one
        self.port: int = self._listening.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def url(self, query: str = "") -> str:
        return f"postgresql://vaultd_serve:{PASSWORD}@0.0.0.0:{self.port}/vaultd{query}"

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                talking, _ = self._listening.accept()
            except OSError:
                return
            with talking:
                self._talk(talking)

    def _talk(self, talking: socket.socket) -> None:
        while heard := self._hear(talking):
            if heard == SSL_REQUEST:
                talking.sendall(b"N")
            elif heard[:1] != b"p":
                talking.sendall(CLEAR_TEXT)

    def _hear(self, talking: socket.socket) -> bytes:
        try:
            heard = talking.recv(65536)
        except OSError:
            return b""
        self.heard += heard
        return heard


@pytest.fixture
def between() -> Iterator[InBetween]:
    with closing(InBetween()) as listening:
        yield listening


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "vaultd.toml").write_text(LEAST_FILE, encoding="utf-8")
    generate_keyring_file(tmp_path / "keyring.json", now=system_clock())
    return tmp_path


def run(folder: Path, words: list[str], url: str, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "vaultd.cli", *words]
    environment = os.environ | {"SERVICE_URL": url, "PGSSLMODE": "disable"} | environ
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=120
    )


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_no_command_even_calls_a_server_that_need_not_prove_itself(
    between: InBetween, folder: Path, words: list[str]
) -> None:
    for query in ("", "?sslmode=prefer", "?sslmode=disable"):
        done = run(folder, words, between.url(query))
        assert done.returncode == 1
        assert "database_url: leads over a network to '0.0.0.0'" in done.stderr
        assert PASSWORD not in done.stdout + done.stderr
    assert between.heard == b""


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_one_that_must_and_says_no_gets_no_password(
    between: InBetween, folder: Path, tmp_path: Path, words: list[str]
) -> None:
    authority = make_certificate(tmp_path, "somebody.example.com").file
    done = run(folder, words, between.url(f"?sslmode=verify-full&sslrootcert={authority}"))
    assert done.returncode == 1
    assert {between.heard[place : place + 8] for place in range(0, len(between.heard), 8)} == {SSL_REQUEST}
    assert PASSWORD not in done.stdout + done.stderr


@pytest.mark.parametrize("authorities", ["system", "a file"])
async def test_nor_does_one_that_the_program_opens_itself(between: InBetween, tmp_path: Path, authorities: str) -> None:
    root = "system" if authorities == "system" else make_certificate(tmp_path, "somebody.example.com").file
    database = Database(Secret(between.url(f"?sslmode=verify-full&sslrootcert={root}")))
    with pytest.raises(TemporarilyUnavailable):
        await database.ping()
    await database.aclose()
    assert between.heard == SSL_REQUEST


def test_only_an_operator_who_says_so_gives_it_away(between: InBetween, folder: Path) -> None:
    """And `check` tells them what they have said."""
    done = run(folder, ["check"], between.url(), VAULTD_DATABASE_TLS="unverified")
    assert PASSWORD.encode() in between.heard
    assert "warning  database tls" in done.stdout
    assert "the server need not prove itself" in done.stdout
    assert PASSWORD not in done.stdout + done.stderr
