"""The parts of a run: each is a server with requests for it, or a process that measures itself."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bench.failed import BenchError
from bench.load import Sample, run_wrk, write_requests
from bench.vault import Vault
from bench.warm import send_all

REMEMBERED_FOR = 60.0
"""Seconds that the vault keeps a verified token and its subject."""
MOST_A_SECOND = 10_000
"""Never-seen tokens that are minted for each second; an ES256 verification alone allows about 15,000 on one core."""
MOST_OF_ONE_CONNECTION = 3_000
"""The same where one connection waits for each of its answers."""


class Part(Protocol):
    """What is measured."""

    @property
    def name(self) -> str:
        """As it is chosen by."""

    @property
    def pid(self) -> int | None:
        """Its server's process, None where the sample brings its own CPU time."""

    @property
    def audited_in(self) -> str | None:
        """The database whose log must hold an event for each request, if there is one."""

    def takes(self, connections: int) -> bool:
        """Whether there is such a run."""

    def prepare(self, connections: int, seconds: int) -> None:
        """What comes before each run and is not measured."""

    def run(self, connections: int, seconds: int) -> Sample:
        """One measured run."""


@dataclass(slots=True)
class Server:
    """A server and one file of requests."""

    name: str
    pid: int | None
    url: str
    requests: Path
    audited_in: str | None = None

    def takes(self, connections: int) -> bool:
        """Any number."""
        return connections > 0

    def prepare(self, connections: int, seconds: int) -> None:
        """A second of the same load, for just-in-time compilers and allocators."""
        del seconds
        run_wrk(self.url, self.requests, connections=connections, seconds=1)

    def run(self, connections: int, seconds: int) -> Sample:
        """By wrk."""
        return run_wrk(self.url, self.requests, connections=connections, seconds=seconds)


class Warmth:
    """Keeps the vault's caches filled: within a run no user's entry is missing or ends."""

    def __init__(self, vault: Vault, requests: Sequence[bytes]) -> None:
        self._url = vault.url
        # With several workers the kernel deals out the connections, so that each sees some users only by chance.
        self._requests = [*requests] * (1 if vault.workers == 1 else 4 * vault.workers)
        self._filled = (float("-inf"), float("-inf"))

    def ensure(self, seconds: int) -> None:
        """Fill the caches unless they last for so long; the old entries have all ended before that."""
        began, ended = self._filled
        if time.monotonic() + seconds + 1 < began + REMEMBERED_FOR:
            return
        time.sleep(max(0.0, ended + REMEMBERED_FOR - time.monotonic()))
        began = time.monotonic()
        asyncio.run(send_all(self._url, self._requests))
        self._filled = (began, time.monotonic())


class Exchange(Server):
    """Exchanges of tokens that were verified a moment ago."""

    def __init__(self, name: str, vault: Vault, requests: Path, warmth: Warmth) -> None:
        super().__init__(name, vault.pid, vault.url, requests, vault.database)
        self._warmth = warmth

    def prepare(self, connections: int, seconds: int) -> None:
        """Warm the caches, then as for any server."""
        self._warmth.ensure(seconds + 1)
        super().prepare(connections, seconds)


class FirstSeen(Server):
    """Exchanges in which each token is presented for the first time."""

    def __init__(self, name: str, vault: Vault, requests: Path, warmth: Warmth) -> None:
        super().__init__(name, vault.pid, vault.url, requests, vault.database)
        self._vault = vault
        self._warmth = warmth
        self._minted = 0

    def prepare(self, connections: int, seconds: int) -> None:
        """Mint as many tokens as the run could use; the users themselves are known."""
        most = seconds * min(MOST_A_SECOND, connections * MOST_OF_ONE_CONNECTION)
        rounds = range(-(-most // self._vault.users))
        minted = (self._vault.exchange(token) for _ in rounds for token in self._vault.sessions())
        self._minted = write_requests(self.requests, minted)
        self._warmth.ensure(seconds)

    def run(self, connections: int, seconds: int) -> Sample:
        """Raises `BenchError` when there were not enough tokens."""
        sample = super().run(connections, seconds)
        if sample.requests >= self._minted:
            raise BenchError(f"{self.name}: {sample.requests} requests used up the {self._minted} tokens")
        return sample


@dataclass(frozen=True, slots=True)
class Commit:
    """`INSERT` and `COMMIT` of a single row, one connection."""

    url: str
    name: str
    pid: int | None = None
    audited_in: str | None = None

    def takes(self, connections: int) -> bool:
        """One only."""
        return connections == 1

    def prepare(self, connections: int, seconds: int) -> None:
        """Nothing: it warms up by itself."""

    def run(self, connections: int, seconds: int) -> Sample:
        """A process of its own."""
        del connections
        command = [sys.executable, "-m", "bench.peers.commit", self.url, str(seconds)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise BenchError(f"bench.peers.commit failed: {done.stderr.strip()}")
        return Sample.parse(done.stdout)
