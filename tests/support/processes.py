"""Vault processes as an operator starts them: `vaultd serve` on a file whose secrets are in the environment."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from vaultd.sandbox.servers import Listener, listen
from vaultd.sandbox.world import World

START_TIMEOUT = 60.0
STOP_TIMEOUT = 15.0
_LITERAL = re.compile(r'^((?:client_)?secret|database_url) = "([^"]+)"$', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Installation:
    """A configuration file and the environment that it refers to."""

    config: Path
    environ: Mapping[str, str]

    def command(self, port: int, workers: int = 1) -> list[str]:
        options = ["--config", str(self.config), "--port", str(port), "--workers", str(workers)]
        return [sys.executable, "-m", "vaultd.cli", "serve", *options]

    def start_in_vain(self, port: int = 0) -> subprocess.CompletedProcess[str]:
        """Run a server that must end by itself; gives what it said."""
        return subprocess.run(
            self.command(port), env=self.environ, capture_output=True, text=True, timeout=START_TIMEOUT, check=False
        )


def install(world: World, name: str, changed: Mapping[str, str] | None = None) -> Installation:
    """The sandbox's file under another name, its secrets moved out of it, and some texts in it replaced."""
    return install_text(world.folder, name, (world.folder / "vaultd.toml").read_text(encoding="utf-8"), changed)


def install_text(folder: Path, name: str, text: str, changed: Mapping[str, str] | None = None) -> Installation:
    """The same for any file's `text`."""
    for before, after in (changed or {}).items():
        if before not in text:
            raise ValueError(f"{before} does not stand in the file")
        text = text.replace(before, after)
    environ = dict(os.environ)

    def moved(found: re.Match[str]) -> str:
        variable = f"WIRE_SECRET_{len(environ)}"
        environ[variable] = found[2]
        return f'{found[1]} = "env:{variable}"'

    config = folder / f"{name}.toml"
    config.write_text(_LITERAL.sub(moved, text), encoding="utf-8")
    return Installation(config, environ)


@dataclass(frozen=True, slots=True)
class Running:
    """A serving process."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path


@contextmanager
def serving(installed: Installation, *, workers: int = 1, at: Listener | None = None) -> Iterator[Running]:
    """One server, on a free port by default, ready; stopped at the end of the block if it is still there."""
    listener = at or listen()
    url, port = listener.url, listener.port
    listener.socket.close()
    log = installed.config.with_suffix(f".{port}.log")
    with log.open("wb") as said:
        process = subprocess.Popen(installed.command(port, workers), env=installed.environ, stdout=said, stderr=said)
        try:
            _wait_until_ready(url, process, log)
            yield Running(url, process, log)
        finally:
            process.terminate()
            try:
                process.wait(STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    with httpx.Client(trust_env=False) as http:
        while time.monotonic() < deadline:
            if process.poll() is not None:
                break
            try:
                if http.get(f"{url}/health/ready").status_code == httpx.codes.OK:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.05)
    raise TimeoutError(f"the server did not get ready: {log.read_text(encoding='utf-8', errors='replace')[-2000:]}")
