"""Everything that a run needs, started together and stopped together."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack
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
_OF_THE_VAULT = frozenset({"exchange", "first-seen", "live", "echo"})
_ROOT = Path(__file__).parents[1]


class Setting:
    """A context manager: the database, the chosen parts and what they need."""

    postgres: RunningPostgres
    parts: list[Part]

    def __init__(
        self, folder: Path, *, only: Collection[str], users: int, workers: int = 1, say: Callable[[str], None]
    ) -> None:
        self._folder = folder
        self._only = only
        self._users = users
        self._workers = workers
        self._say = say
        self._stack = ExitStack()
        self._vault: Vault | None = None
        self._node: str | None = None

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.postgres = stack.enter_context(start_postgres())
            if _OF_THE_VAULT.intersection(self._only):
                self._say(f"Making {self._users:,} users and their connections.")
                self._vault = stack.enter_context(
                    start_vault(self._folder, self.postgres, users=self._users, workers=self._workers)
                )
            self.parts = self._start_parts(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    @property
    def vault(self) -> Vault:
        """Raises `BenchError` when no chosen part needs one."""
        if self._vault is None:
            raise BenchError(f"This needs a vault; choose one of {', '.join(sorted(_OF_THE_VAULT))}.")
        return self._vault

    def machine(self) -> Mapping[str, str]:
        """What it all runs on."""
        return machine.describe(self.postgres, self._node)

    def _start_parts(self, stack: ExitStack) -> list[Part]:
        parts: list[Part] = []
        if _OF_THE_VAULT.intersection(self._only):
            parts += self._vault_parts(stack)
        if "issuer" in self._only:
            parts.append(self._issuer(stack))
        if "commit" in self._only:
            parts.append(Commit(self.postgres.create_database("bench")))
        return sorted((part for part in parts if part.name in self._only), key=lambda part: PARTS.index(part.name))

    def _vault_parts(self, stack: ExitStack) -> list[Part]:
        vault, sessions = self.vault, self._folder / "sessions"
        write_requests(sessions, map(vault.exchange, vault.sessions()))
        warmth = Warmth(vault, sessions, workers=self._workers)
        live = self._folder / "live"
        write_requests(live, [http_request("GET", "/health/live", vault.url.removeprefix("http://"))])
        parts: list[Part] = [
            Exchange(vault, sessions, warmth),
            FirstSeen(vault, self._folder / "first-seen", warmth),
            Server("live", vault.pid, vault.url, live),
        ]
        if "echo" in self._only:
            # The same requests as the exchange has.
            parts.append(self._echo(stack, sessions))
        return parts

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
        command = [self._node, str(_ROOT / "bench" / "peers" / "issuer.mjs"), str(port), CLIENT, secret.reveal()]
        environ = {**os.environ, "NODE_ENV": "production"}
        ready = f"{url}/.well-known/openid-configuration"
        pid = stack.enter_context(started(command, environ=environ, ready=ready, log=self._folder / "issuer.log"))
        form = {"grant_type": "client_credentials", "scope": "read write"}
        write_requests(requests, [token_request(url, CLIENT, secret, "/token", form)])
        return Server("issuer", pid, url, requests)


def _find_node() -> str:
    found = subprocess.run([_ROOT / "scripts" / "find-node"], capture_output=True, text=True, check=False)
    if found.returncode != 0:
        raise BenchError(found.stderr.strip())
    if not (_ROOT / "tests" / "node" / "node_modules" / "oidc-provider").is_dir():
        raise BenchError("The npm packages are missing. Run `make bench`, or scripts/setup-node.")
    return found.stdout.strip()
