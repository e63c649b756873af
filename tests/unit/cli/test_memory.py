"""A crash leaves no file with keys in it, and nobody of the same user looks into a process that serves (Linux)."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

DUMPABLE = "ctypes.CDLL(None).prctl(3, 0, 0, 0, 0) if sys.platform == 'linux' else 0"
"""`PR_GET_DUMPABLE`, which only Linux has: elsewhere there is the core file alone."""
LOOK = f"""
import ctypes, resource, sys
from vaultd.cli.memory import keep_memory_private
keep_memory_private()
print(resource.getrlimit(resource.RLIMIT_CORE)[0], {DUMPABLE})
"""
COMMAND = f"""
import atexit, ctypes, resource, sys
atexit.register(lambda: print(resource.getrlimit(resource.RLIMIT_CORE)[0], {DUMPABLE}))
from vaultd.cli import main
sys.argv = ["vaultd", *sys.argv[1:]]
main()
"""


def said_by(script: str, *words: str, **environ: str) -> list[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("VAULTD_")} | environ
    command = [sys.executable, "-c", script, *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    return done.stdout.strip().splitlines()


def test_no_core_file_and_no_look_inside() -> None:
    assert said_by(LOOK) == ["0 0"]


def test_unless_the_operator_wants_one() -> None:
    now, before = (
        said_by(script, VAULTD_CORE_DUMPS="1")[0].split() for script in (LOOK, LOOK.replace("\nkeep_", "\n#"))
    )
    assert now == before


@pytest.mark.parametrize(
    "words",
    [["serve"], ["migrate"], ["check"], ["import", __file__], ["keys", "status"], ["audit", "verify"]],
    ids=" ".join,
)
def test_every_command_begins_with_it(words: list[str]) -> None:
    """Each ends at once, for want of a configuration."""
    assert said_by(COMMAND, *words, "--config", "/nowhere/vaultd.toml")[-1] == "0 0"
