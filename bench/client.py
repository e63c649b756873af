"""What the Python client costs beside raw requests of httpx, and what three tools at once cost: python -m bench.client.

The vault is a process of its own, as in the other benchmarks; the client and what it is held against are in this one,
and take turns. A figure is the median time of one call.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import TypeVar

import httpx
from rich.console import Console
from rich.table import Table

from bench import machine
from bench.failed import BenchError
from bench.processes import started
from bench.vault import CLIENT, PROVIDER, Vault, free_port, start_vault
from vaultd.errors import VaultdError
from vaultd.sandbox.postgres import start_postgres
from vaultd_client import AccessToken, AsyncVaultClient, ClientSecretBasic, Keep, VaultClient

FAR_MS = 20
"""A network between agent and vault, made up of waiting before each request."""
TOGETHER = 3
_TYPES = "urn:ietf:params:oauth:"

Call = TypeVar("Call")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One thing that was measured, beside the one it is held against."""

    what: str
    beside: str
    microseconds: float
    beside_microseconds: float

    @property
    def ratio(self) -> float:
        """How many times the other."""
        return self.microseconds / self.beside_microseconds


class Distant(httpx.AsyncHTTPTransport):
    """The same network, each request `seconds` later."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Wait, then send."""
        await asyncio.sleep(self._seconds)
        return await super().handle_async_request(request)


class Times:
    """What the arms took: they alternate, and the first tenth of the turns is to warm up."""

    def __init__(self, tries: int) -> None:
        self._turns = range(-(tries // 10), tries)
        self._taken: dict[str, list[float]] = {}

    def turns(self, arms: Mapping[str, Call]) -> Iterator[Call]:
        """Each arm's call in its turn. What happens until the next one is asked for is its time."""
        for turn in self._turns:
            for name, call in arms.items():
                begun = time.perf_counter_ns()
                yield call
                taken = (time.perf_counter_ns() - begun) / 1000
                if turn >= 0:
                    self._taken.setdefault(name, []).append(taken)

    def row(self, what: str, of: str, beside: str, other: str) -> Row:
        """The medians of two arms, each with words for it."""
        microseconds, beside_microseconds = median(self._taken[of]), median(self._taken[other])
        return Row(what=what, beside=beside, microseconds=microseconds, beside_microseconds=beside_microseconds)


def exchanges(vault: Vault, tries: int) -> list[Row]:
    """An exchange by the client, nothing kept, beside the same request by httpx; and one that is met from memory."""
    token = vault.sessions()[0]
    form = {
        "grant_type": f"{_TYPES}grant-type:token-exchange",
        "subject_token": token,
        "subject_token_type": f"{_TYPES}token-type:access_token",
        "requested_token_type": f"{_TYPES}token-type:access_token",
        "audience": PROVIDER,
    }
    credentials = _credentials(vault)
    with (
        httpx.Client(auth=(CLIENT, credentials.client_secret), trust_env=False) as raw,
        VaultClient(vault.url, auth=credentials, keep=Keep(size=0)) as forgetful,
        VaultClient(vault.url, auth=credentials) as keeping,
    ):
        arms: dict[str, Callable[[], object]] = {
            "raw": lambda: raw.post(f"{vault.url}/oauth/token", data=form).raise_for_status().json(),
            "client": lambda: forgetful.get_access_token(PROVIDER, subject_token=token),
            "kept": lambda: keeping.get_access_token(PROVIDER, subject_token=token),
        }
        times = Times(tries)
        for call in times.turns(arms):
            call()
    return [
        times.row("exchange by the client", "client", "by httpx alone", "raw"),
        times.row("token from memory", "kept", "exchange by httpx alone", "raw"),
    ]


def provider_calls(vault: Vault, api: str, tries: int) -> list[Row]:
    """A call to a provider with the client's `auth`, beside one with a header that is there already."""
    token = vault.sessions()[0]
    with VaultClient(vault.url, auth=_credentials(vault)) as client:
        header = {"Authorization": f"Bearer {client.get_access_token(PROVIDER, subject_token=token).access_token}"}
        auth = client.auth(PROVIDER, origins=[api], subject_token=token)
        times = Times(tries)
        with httpx.Client(headers=header, trust_env=False) as raw, httpx.Client(auth=auth, trust_env=False) as ours:
            arms: dict[str, Callable[[], object]] = {"raw": lambda: raw.get(api), "ours": lambda: ours.get(api)}
            for call in times.turns(arms):
                call()
    return [times.row("provider call with auth=vault.auth(…)", "ours", "with a fixed header", "raw")]


async def tools(vault: Vault, tries: int, *, far: bool) -> list[Row]:
    """Three tools that need a token each, at once and one after the other, beside one of them."""
    transport = Distant(FAR_MS / 1000) if far else httpx.AsyncHTTPTransport()
    async with AsyncVaultClient(vault.url, auth=_credentials(vault), keep=Keep(size=0), transport=transport) as client:
        # Three users have three tokens, as one user has at three providers.
        made = [_tool(client, session) for session in vault.sessions()[:TOGETHER]]

        async def one_by_one() -> None:
            for tool in made:
                await tool()

        arms: dict[str, Callable[[], Awaitable[object]]] = {
            "one": made[0],
            "at once": lambda: asyncio.gather(*(tool() for tool in made)),
            "one by one": one_by_one,
        }
        times = Times(tries)
        for call in times.turns(arms):
            await call()
    where = f"vault {FAR_MS} ms away" if far else "vault on this machine"
    return [times.row(f"three tools {how}, {where}", how, "one tool", "one") for how in ("at once", "one by one")]


def _tool(client: AsyncVaultClient, session: str) -> Callable[[], Awaitable[object]]:
    @client.tool(PROVIDER, subject_token=session)
    async def use(token: AccessToken) -> str:
        return token.connection

    return use


def measure(tries: int, say: Callable[[str], None]) -> tuple[Mapping[str, str], list[Row]]:
    """Start everything, measure, stop; gives what it ran on and the rows. Raises `BenchError`."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vaultd-bench-")))
        postgres = stack.enter_context(start_postgres())
        say("Starting a vault and an API.")
        vault = stack.enter_context(start_vault(folder / "vault", postgres, database="client", users=TOGETHER))
        api, port = free_port()
        command = [sys.executable, "-m", "bench.peers.echo", str(port)]
        stack.enter_context(started(command, environ=os.environ, ready=api, log=folder / "echo.log"))
        say(f"Measuring, {tries:,} calls of each.")
        rows = [*exchanges(vault, tries), *provider_calls(vault, api, tries)]
        for far in (False, True):
            rows += asyncio.run(tools(vault, max(tries // 10, 1), far=far))
        return machine.describe(postgres, None), rows


def show(console: Console, rows: Sequence[Row]) -> None:
    """Print a table, times in microseconds."""
    table = Table(title="The Python client (µs, medians)")
    for heading in ("what", "beside"):
        table.add_column(heading)
    for heading in ("µs", "µs beside", "ratio", "difference"):
        table.add_column(heading, justify="right")
    for row in rows:
        difference = row.microseconds - row.beside_microseconds
        figures = (
            f"{row.microseconds:,.0f}",
            f"{row.beside_microseconds:,.0f}",
            f"{row.ratio:.3g}",
            f"{difference:+,.0f}",
        )
        table.add_row(row.what, row.beside, *figures)
    console.print(table)


def _credentials(vault: Vault) -> ClientSecretBasic:
    return ClientSecretBasic(CLIENT, vault.client_secret.reveal())


def main(given: Sequence[str]) -> int:
    """Measure, print a table for people and JSON for programs."""
    parser = argparse.ArgumentParser(prog="python -m bench.client", description=(__doc__ or "").strip())
    parser.add_argument("--tries", type=int, default=2_000, help="calls of each; default: 2000")
    options = parser.parse_args(given)
    console = Console(stderr=True, highlight=False, width=None if sys.stderr.isatty() else 140)
    try:
        about, rows = measure(options.tries, console.print)
    except (BenchError, VaultdError, httpx.HTTPError) as error:
        console.print(f"The benchmark ended: {error}")
        return 1
    show(console, rows)
    told = [asdict(row) | {"ratio": row.ratio} for row in rows]
    print(json.dumps({"machine": dict(about), "rows": told}, indent=2, ensure_ascii=False))  # noqa: T201 - the result
    return 0


if __name__ == "__main__":
    # So that a `kill` ends the servers too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    sys.exit(main(sys.argv[1:]))
