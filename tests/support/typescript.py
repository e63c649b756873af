"""Our TypeScript packages: built by their own compiler, tested by Node's own runner."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.support.node import ROOT, NodeError

CLIENT = ROOT / "clients" / "typescript"
DEVCONTEXT = ROOT / "examples" / "devcontext"
COMPILE_TIMEOUT = 120.0
TEST_TIMEOUT = 120.0
Done = subprocess.CompletedProcess[str]


class TypeScriptError(Exception):
    """The packages are missing, the types do not hold, or a test of Node's runner failed; the words say which."""


def node_of(version: int) -> str:
    """A Node.js of at least this version. Raises `NodeError`."""
    finder = [str(ROOT / "scripts" / "find-node"), str(version)]
    found: Done = subprocess.run(finder, capture_output=True, text=True, check=False)
    if found.returncode != 0:
        raise NodeError(found.stderr.strip())
    return found.stdout.strip()


def build(project: Path) -> None:
    """Check the types of a project and of those it refers to, and compile what is not up to date.

    Raises:
        TypeScriptError: with what the compiler says.
    """
    compiler = CLIENT / "node_modules" / "typescript" / "bin" / "tsc"
    if not compiler.is_file():
        raise TypeScriptError(
            "The npm packages of the client are missing. Run `make test`, or scripts/setup-node clients/typescript 22."
        )
    # Another worker of the run may want the same at the same time.
    with (CLIENT / "node_modules" / ".build-lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        command = [node_of(20), str(compiler), "--build", str(project)]
        done: Done = subprocess.run(command, capture_output=True, text=True, timeout=COMPILE_TIMEOUT, check=False)
    if done.returncode != 0:
        raise TypeScriptError(done.stdout + done.stderr)


def run_node_tests(*files: Path, node: int, world: Mapping[str, object]) -> str:
    """Run compiled test files, which find `world` as JSON in `VAULTD_TEST`; gives the runner's report.

    Raises:
        TypeScriptError: with the report, if a test failed or was skipped, or there was none.
    """
    missing = [str(file) for file in files if not file.is_file()]
    if missing or not files:
        raise TypeScriptError(f"There is nothing to run: {missing}")
    environment = {"PATH": os.environ["PATH"], "VAULTD_TEST": json.dumps(world)}
    command = [node_of(node), "--test", "--test-reporter=tap", *map(str, files)]
    done: Done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=TEST_TIMEOUT, check=False
    )
    counts = dict(line[2:].split(" ", 1) for line in done.stdout.splitlines() if line.startswith("# ") and " " in line)
    clean = all(counts.get(kind) == "0" for kind in ("fail", "cancelled", "skipped", "todo"))
    if done.returncode != 0 or not clean or int(counts.get("pass", 0)) < len(files):
        raise TypeScriptError(done.stdout + done.stderr)
    return done.stdout
