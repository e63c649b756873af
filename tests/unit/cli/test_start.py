"""What a command need not load, it does not: an operator waits for each of them."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {"fastapi", "uvicorn", "alembic"}


@pytest.mark.parametrize("module", ["commands", "database", "checks", "files", "operations", "clients", "providers"])
def test_a_command_that_serves_and_migrates_nothing_loads_neither(module: str) -> None:
    script = f"import sys, vaultd.cli.{module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert HEAVY & set(done.stdout.split()) == set()
