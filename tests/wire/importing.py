"""`vaultd import` as an operator runs it, beside a running vault."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.processes import Installation
from vaultd.sandbox.dev_config import PROVIDER_SCOPES, VAULT_AT_PROVIDER
from vaultd.sandbox.world import World


@dataclass(frozen=True, slots=True)
class Done:
    """How a run ended."""

    code: int
    out: str
    err: str

    def document(self) -> dict[str, Any]:
        parsed: dict[str, Any] = json.loads(self.out)
        return parsed


def command(installed: Installation, *words: str) -> list[str]:
    return [sys.executable, "-m", "vaultd.cli", "import", "--config", str(installed.config), *words]


def run_import(installed: Installation, *words: str, stdin: bytes = b"") -> Done:
    done = subprocess.run(
        command(installed, *words),
        env=installed.environ,
        input=stdin,
        capture_output=True,
        check=False,
        timeout=280,
    )
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    return Done(done.returncode, done.stdout.decode(), done.stderr.decode())


def start_import(installed: Installation, *words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command(installed, *words), env=installed.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def peak_memory(installed: Installation, *words: str) -> int:
    """Run it well, and give the most memory that it held, in bytes."""
    with Path(os.devnull).open("wb") as nowhere:
        process = subprocess.Popen(command(installed, *words), env=installed.environ, stdout=nowhere)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def issued(world: World, provider: str = "google", person: str = "alice") -> dict[str, Any]:
    """A grant that an app has had from the provider, under the client id that the vault uses too.

    The app knew whose it was, so that the scopes for that are among the granted ones.
    """
    scopes = [*PROVIDER_SCOPES[provider], *world.settings.providers[provider].identity_scopes]
    return world.providers[provider].issue(user=person, client_id=VAULT_AT_PROVIDER, scopes=scopes)


def line(world: World, sub: str, grant: dict[str, Any], provider: str = "google", **more: Any) -> str:
    """A line as an app's export has it."""
    return json.dumps(
        {
            "issuer": world.places.issuer,
            "sub": sub,
            "provider": provider,
            "refresh_token": grant["refresh_token"],
            "scopes": grant["scope"],
            **more,
        }
    )


def write_lines(path: Path, *lines: str) -> str:
    path.write_text("".join(f"{one}\n" for one in lines), encoding="utf-8")
    return str(path)
