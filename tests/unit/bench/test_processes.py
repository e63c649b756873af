from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.failed import BenchError
from bench.processes import cpu_seconds, memory_mib, started

BURN = "import time\nwhile time.process_time() < 0.3: pass"


def test_cpu_time_is_also_that_of_children_that_have_ended() -> None:
    before = cpu_seconds(os.getpid())

    subprocess.run([sys.executable, "-c", BURN], check=True)

    assert cpu_seconds(os.getpid()) - before >= 0.25


def test_cpu_time_and_memory_are_also_those_of_running_children() -> None:
    waits = f"{BURN}\nkept = bytearray(64 * 2**20)\nprint('ready', flush=True)\ninput()"
    before = cpu_seconds(os.getpid())
    child = subprocess.Popen([sys.executable, "-c", waits], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"

    used, memory = cpu_seconds(os.getpid()) - before, memory_mib(os.getpid())
    child.communicate("\n")

    assert used >= 0.25
    assert memory >= 64


def test_a_server_that_ends_at_once_is_told_with_its_words(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; sys.exit('no port')"]

    with (
        pytest.raises(BenchError, match="no port"),
        started(command, environ=os.environ, ready="http://127.0.0.1:9/", log=tmp_path / "log"),
    ):
        pass
