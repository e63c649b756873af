"""Processes under measurement: started, awaited, stopped; their CPU time and memory (from /proc, so Linux only)."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

from bench.failed import BenchError

START_TIMEOUT = 60.0
STOP_TIMEOUT = 15.0
_PROC = Path("/proc")
_TICK = 1 / os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
# Positions in /proc/<pid>/stat behind the program's name, which may itself hold spaces and brackets (proc(5)).
_PPID = 1
_TIMES = slice(11, 15)  # utime, stime, and those of children that have ended and were waited for
_RSS = 21


@contextmanager
def started(command: Sequence[str], *, environ: Mapping[str, str], ready: str, log: Path) -> Iterator[int]:
    """Start a server, wait until the URL `ready` answers 200, give its process id; stopped at the end of the block.

    Raises:
        BenchError: it ended, or was not ready in time; with the end of what it said.
    """
    with log.open("wb") as said:
        process = subprocess.Popen(command, env=dict(environ), stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        try:
            if not _is_ready(process, ready):
                raise BenchError(f"{' '.join(command[:4])} did not get ready: {tail(log)}")
            yield process.pid
        finally:
            process.terminate()
            try:
                process.wait(STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _is_ready(process: subprocess.Popen[bytes], ready: str) -> bool:
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(ready, trust_env=False).status_code == httpx.codes.OK:
                return True
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    return False


def tail(log: Path, characters: int = 2000) -> str:
    """The end of what a process said."""
    return log.read_text(encoding="utf-8", errors="replace")[-characters:].strip()


def cpu_seconds(pid: int) -> float:
    """CPU time, user and system, of a process and of all below it, those that have ended included."""
    return sum(int(ticks) for stat in _tree(pid).values() for ticks in stat[_TIMES]) * _TICK


def memory_mib(pid: int) -> float:
    """Resident memory of the largest process among this one and those below it."""
    return max((int(stat[_RSS]) for stat in _tree(pid).values()), default=0) * _PAGE / 2**20


def _tree(pid: int) -> dict[int, list[str]]:
    """What /proc tells of a process and of all below it."""
    stats: dict[int, list[str]] = {}
    for folder in _PROC.iterdir():
        if folder.name.isdigit():
            try:
                stats[int(folder.name)] = (folder / "stat").read_text().rpartition(") ")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
    below = {pid}
    # A child is not always behind its parent in the listing, so until nothing is added.
    while added := {child for child, stat in stats.items() if int(stat[_PPID]) in below} - below:
        below |= added
    return {process: stat for process, stat in stats.items() if process in below}
