"""What a run was made on, as far as it bears on the figures; no names of hosts or people."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import vaultd
from vaultd.sandbox.postgres import RunningPostgres

_PACKAGES = ("uvicorn", "uvloop", "httptools", "fastapi", "asyncpg", "cryptography")


def describe(postgres: RunningPostgres, node: Path | None) -> Mapping[str, str]:
    """Hardware, kernel, and versions of everything that takes part."""
    about = {
        "cores": str(len(os.sched_getaffinity(0))),
        "cpu": _cpu_model(),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "load before": f"{os.getloadavg()[0]:.2f}",
        "python": platform.python_version(),
        "postgres": postgres.run("SHOW server_version").strip(),
        "fsync": postgres.run("SHOW fsync").strip(),
        "synchronous_commit": postgres.run("SHOW synchronous_commit").strip(),
        "vaultd": vaultd.__version__,
        **{name: version(name) for name in _PACKAGES},
    }
    if node is not None:
        about["node"] = _said([str(node), "--version"]).removeprefix("v")
    wrk = shutil.which("wrk")
    if wrk is not None:
        found = re.search(r"wrk \S*?(\d+\.\d+\.\d+)", _said([wrk, "-v"]))
        about["wrk"] = found[1] if found else "unknown"
    return about


def _cpu_model() -> str:
    found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    return found[1] if found else platform.processor() or platform.machine()


def _said(command: list[str]) -> str:
    # wrk prints its version and then ends with 1, since it was given no URL.
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
