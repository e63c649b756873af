"""python -m bench.indistinguishable: whether answers that must be the same in bytes are the same in time (A8).

A real `vaultd serve` is asked by one caller, over one connection, with nothing else going on: the best place to measure
from. What is compared: a provider that does not exist with one that the client may not use, and a client that does not
exist with a wrong secret. A refusal of a client is in the audit log at once if it is the first of its kind in a minute
and is counted otherwise, so that both are compared. Ends with 1 when any two can be told apart.
"""

from __future__ import annotations

import argparse
import json
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from random import Random
from typing import Self
from urllib.parse import urlsplit

from rich.console import Console
from rich.table import Table

from bench.difference import Difference, compare, told_apart, undecided
from bench.failed import BenchError
from bench.vault import CLIENT, Vault, start_vault, token_request
from vaultd.errors import VaultdError
from vaultd.sandbox.postgres import start_postgres
from vaultd.terms import Secret

PER_ADDRESS = 8
"""Below the ten failures after which a client id is held back for an address."""
FORBIDDEN, UNKNOWN = "forbidden", "unknown-1"
_SECOND_PROVIDER = f"""
[providers.{FORBIDDEN}]
client_id = "vaultd"
client_secret = "env:BENCH_PROVIDER_SECRET"
authorization_endpoint = "https://other.example/authorize"
token_endpoint = "https://other.example/token"
"""
Requests = Iterator[bytes]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two kinds of requests whose answers must not differ. Each arm has requests of its own."""

    what: str
    status: int
    a: Callable[[], Requests]
    b: Callable[[], Requests]


class Caller:
    """One connection; each request waits for the answer to the one before."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._socket = socket.create_connection((parts.hostname or "", parts.port or 80))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def ask(self, request: bytes) -> tuple[float, bytes, bytes]:
        """The microseconds until the whole answer was here, its head and its body. Raises `BenchError`."""
        begun = time.perf_counter_ns()
        self._socket.sendall(request)
        head, _, body = self._more().partition(b"\r\n\r\n")
        _, _, length = head.lower().partition(b"content-length: ")
        wanted = int(length.partition(b"\r\n")[0] or 0)
        while len(body) < wanted:
            body += self._more()
        return (time.perf_counter_ns() - begun) / 1000, head, body

    def _more(self) -> bytes:
        received = self._socket.recv(65_536)
        if not received:
            raise BenchError("The vault hung up.")
        return received


def comparisons(vault: Vault) -> list[Comparison]:
    """What A8 names."""
    token = vault.sessions()[0]
    addresses = _addresses()
    wrong = Secret("w" * len(vault.client_secret.reveal()))
    nobody = CLIENT[:-1] + "q"

    def target(name: str) -> Callable[[], Requests]:
        request = vault.exchange(token, name)
        return lambda: iter(lambda: request, b"")

    def client(name: str, per_address: int) -> Callable[[], Requests]:
        plain = token_request(vault.url, name, wrong, "/oauth/token", {"grant_type": "client_credentials"})

        def requests() -> Requests:
            # An arm has its addresses to itself, so that as many of its tries as of another's are a first one.
            for address in addresses:
                yield from [plain.replace(b"\r\n", b"\r\nX-Forwarded-For: %b\r\n" % address, 1)] * per_address

        return requests

    return [
        Comparison("provider: unknown, forbidden", 400, target(UNKNOWN), target(FORBIDDEN)),
        Comparison("client, counted: unknown, wrong secret", 401, client(nobody, PER_ADDRESS), client(CLIENT, 8)),
        Comparison("client, written: unknown, wrong secret", 401, client(nobody, 1), client(CLIENT, 1)),
    ]


def _addresses() -> Iterator[bytes]:
    """Addresses of equal length that no try had before."""
    for number in count():
        yield b"10.%d.%d.%d" % (100 + number // 10_000 % 100, 100 + number // 100 % 100, 100 + number % 100)


def timed(
    caller: Caller, comparison: Comparison, tries: int, random: Random
) -> tuple[list[float], list[float], list[float]]:
    """The times of A, A again and B: in each turn one try of each, in an order of its own. Raises `BenchError`."""
    times: tuple[list[float], list[float], list[float]] = ([], [], [])
    arms = tuple(zip((comparison.a(), comparison.a(), comparison.b()), times, strict=True))
    bodies = set()
    for turn in range(-(tries // 10), tries):  # the first tenth is to warm up
        for requests, kept in random.sample(arms, len(arms)):
            took, head, body = caller.ask(next(requests))
            if not head.startswith(b"HTTP/1.1 %d " % comparison.status):
                raise BenchError(f"{comparison.what}: {body!r} is not the answer that was to be timed.")
            bodies.add(body)
            if turn >= 0:
                kept.append(took)
    if len(bodies) != 1:
        raise BenchError(f"{comparison.what}: the answers differ in their bytes already: {bodies}")
    return times


def run(tries: int, random: Random, say: Callable[[str], None]) -> dict[str, list[Difference]]:
    """Measure everything, each comparison for as many rounds as its verdict needs. Raises `BenchError`."""
    found: dict[str, list[Difference]] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vaultd-bench-")))
        postgres = stack.enter_context(start_postgres())
        # Addresses are told by a header, as behind a proxy, since a loopback caller has only one.
        proxy = {"FORWARDED_ALLOW_IPS": "127.0.0.1"}
        vault = stack.enter_context(
            start_vault(
                folder / "vault", postgres, database="timing", users=1, more_config=_SECOND_PROVIDER, more_environ=proxy
            )
        )
        for comparison in comparisons(vault):
            rounds = found.setdefault(comparison.what, [])
            while undecided(rounds):
                say(f"{comparison.what}, round {len(rounds) + 1}")
                with Caller(vault.url) as caller:
                    arms = timed(caller, comparison, tries, random)
                rounds.append(compare(*arms, random=random))
    return found


def show(console: Console, found: dict[str, list[Difference]]) -> None:
    """Print a table, times in microseconds."""
    table = Table(title="Can they be told apart? (µs)")
    table.add_column("what")
    for heading in ("tries", "A", "A again", "B", "B - A", "95 % of A - A", "verdict"):
        table.add_column(heading, justify="right")
    for what, rounds in found.items():
        for each in rounds:
            table.add_row(
                what,
                f"{each.tries:,}",
                *(f"{value:.1f}" for value in (each.median_a, each.median_a_again, each.median_b)),
                f"{each.measured:+.1f}",
                f"{each.low:+.1f} … {each.high:+.1f}",
                ("told apart" if told_apart(rounds) else "as one") if each is rounds[-1] else "again",
            )
    console.print(table)


def main(given: Sequence[str]) -> int:
    """Measure, print a table for people and JSON for programs; 1 when any two can be told apart."""
    parser = argparse.ArgumentParser(prog="python -m bench.indistinguishable", description=(__doc__ or "").strip())
    parser.add_argument("--tries", type=int, default=2_000, help="of each arm in a round; default: 2000")
    parser.add_argument("--seed", type=int, default=8, help="of the order of tries and of the draws; default: 8")
    options = parser.parse_args(given)
    console = Console(stderr=True, highlight=False, width=None if sys.stderr.isatty() else 140)
    try:
        found = run(options.tries, Random(options.seed), console.print)  # noqa: S311 - an order, no secret
    except (BenchError, VaultdError) as error:
        console.print(f"The benchmark ended: {error}")
        return 1
    show(console, found)
    apart = {what: told_apart(rounds) for what, rounds in found.items()}
    told = {what: [asdict(each) | {"difference": each.measured} for each in rounds] for what, rounds in found.items()}
    print(json.dumps({"rounds": told, "told_apart": apart}, indent=2, ensure_ascii=False))  # noqa: T201 - the result
    return int(any(apart.values()))


if __name__ == "__main__":
    # So that a `kill` ends the servers too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    sys.exit(main(sys.argv[1:]))
