"""The load generator: wrk, sending requests that were written down before."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from bench.failed import BenchError

SCRIPT = Path(__file__).with_name("load.lua")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One measured run. `cpu_seconds` is set by peers that measure themselves."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    failed: int
    cpu_seconds: float | None = None

    @classmethod
    def parse(cls, printed: str) -> Self:
        """From the last line that a load generator printed."""
        said: dict[str, Any] = json.loads(printed.strip().rpartition("\n")[2])
        return cls(**said)


def http_request(method: str, path: str, host: str, headers: Iterable[tuple[str, str]] = (), body: str = "") -> bytes:
    """A whole HTTP/1.1 request."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", *(f"{name}: {value}" for name, value in headers)]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode("ascii")


def write_requests(path: Path, requests: Iterable[bytes]) -> int:
    """Write requests as load.lua reads them; gives how many there were."""
    written = 0
    with path.open("wb") as file:
        for request in requests:
            file.write(b"%d\n%b" % (len(request), request))
            written += 1
    return written


def run_wrk(url: str, requests: Path, *, connections: int, seconds: int) -> Sample:
    """Send the requests for so long, over so many connections, from one thread.

    Raises:
        BenchError: wrk is missing or did not run. Requests that failed are counted, not raised.
    """
    wrk = shutil.which("wrk")
    if wrk is None:
        raise BenchError("There is no wrk on PATH. Run `make bench`, or install it: apt-get install wrk")
    command = [wrk, "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", str(SCRIPT), url]
    done = subprocess.run([*command, "--", str(requests)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BenchError(f"wrk failed: {done.stderr.strip() or done.stdout.strip()}")
    return Sample.parse(done.stdout)
