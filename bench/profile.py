"""Where the vault's time goes: py-spy beside the serving process, and the functions that it saw most."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.failed import BenchError
from bench.vault import Vault

RATE = 200
"""Samples a second."""
SHOWN = 30
_STOP_TIMEOUT = 60.0
# `function (package/module.py:1)`, `function (module.py:1)` or `function (<frozen module>:1)`
_PACKAGE = re.compile(r"\((?:<frozen )?([^/():>.]+)[^()]*\)$")


@contextmanager
def profiled(vault: Vault, stem: Path, *, say: Callable[[str], None]) -> Iterator[None]:
    """Sample the vault during the block; write `stem`.raw (collapsed stacks) and say which functions it was in.

    Raises:
        BenchError: py-spy is missing, or may not look into the process.
    """
    spy = shutil.which("py-spy", path=str(Path(sys.executable).parent)) or shutil.which("py-spy")
    if spy is None:
        raise BenchError("There is no py-spy. Run `make bench`, or install it: pip install py-spy")
    stem.parent.mkdir(parents=True, exist_ok=True)
    stacks = stem.with_suffix(".raw")
    command = [spy, "record", "--pid", str(vault.pid), "--rate", str(RATE), "--format", "raw", "--output", str(stacks)]
    process = subprocess.Popen(
        [*command, "--subprocesses", "--function"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    time.sleep(1)
    if process.poll() is not None:
        raise BenchError(f"py-spy ended: {process.communicate()[0].strip()}")
    try:
        yield
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=_STOP_TIMEOUT)
    say(top(stacks.read_text(encoding="utf-8")))


def top(stacks: str) -> str:
    """Functions and packages by their own samples, vaultd's functions by those of what they called as well.

    `stacks` are collapsed: on each line the frames from the outermost, and the number of samples.
    """
    own, packages, total, samples = Counter[str](), Counter[str](), Counter[str](), 0
    for line in stacks.splitlines():
        stack, _, number = line.rpartition(" ")
        frames, count = [frame for frame in stack.split(";") if not frame.startswith("process ")], int(number)
        if not frames:
            continue
        samples += count
        own[frames[-1]] += count
        packages[_package(frames[-1])] += count
        # A function that called itself counts once in a sample.
        total.update(dict.fromkeys((frame for frame in frames if _package(frame) == "vaultd"), count))
    parts = (("functions", own), ("packages", packages), ("vaultd's functions with what they called", total))
    return "\n\n".join(f"{heading}, of {samples} samples\n{_lines(counted, samples)}" for heading, counted in parts)


def _package(frame: str) -> str:
    found = _PACKAGE.search(frame)
    return found[1] if found else frame


def _lines(counted: Counter[str], samples: int) -> str:
    return "\n".join(f"{count / samples:>7.1%}  {frame}" for frame, count in counted.most_common(SHOWN))
