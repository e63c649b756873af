"""What every campaign runs on: a sandbox, vault processes beside it on the same database, and users with accounts."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import timedelta

import httpx

from tests.support.exchanging import exchange_form, make_healthy
from tests.support.processes import Running, install, serving
from vaultd.sandbox.people import PEOPLE, Person
from vaultd.sandbox.person import AppUser
from vaultd.sandbox.provider import SandboxProvider
from vaultd.sandbox.world import World, start_world
from vaultd.terms import Secret

OVER = timedelta(seconds=1)
"""A life of tokens that are over by the time they are asked for."""
FRESH = timedelta(seconds=300)
CONNECTS_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class User:
    """A user with one connected account."""

    app: AppUser
    connection: str

    @property
    def session(self) -> Secret:
        """What is exchanged."""
        return self.app.session_token


@dataclass(frozen=True, slots=True)
class Setting:
    """The sandbox, and vault processes that were started as an operator does."""

    world: World
    vaults: tuple[Running, ...]

    def provider(self, name: str) -> SandboxProvider:
        """One of the sandbox's providers, working well and counted from zero."""
        provider = self.world.providers[name]
        make_healthy(provider)
        return provider


@contextmanager
def set_up(processes: int) -> Iterator[Setting]:
    """Start everything, and stop it at the end of the block."""
    with start_world() as world, started(world, processes) as setting:
        yield setting


@contextmanager
def started(world: World, processes: int, *, changed: Mapping[str, str] | None = None) -> Iterator[Setting]:
    """Vault processes on a running sandbox. `changed` replaces texts in their file."""
    installed = install(world, "campaign", changed)
    with ExitStack() as stack:
        yield Setting(world, tuple(stack.enter_context(serving(installed)) for _ in range(processes)))


@asynccontextmanager
async def connected(
    world: World, provider: str, names: list[str], *, life: timedelta = OVER
) -> AsyncIterator[list[User]]:
    """A user for each name, with an account whose token lives that long; later ones live for `FRESH`."""
    grants = world.providers[provider].grants
    grants.ttl = life
    places = asyncio.Semaphore(CONNECTS_AT_ONCE)

    async def connect(name: str) -> User:
        # Another user of the app each time, who signs in at the provider as the same person.
        person = Person(name, PEOPLE["alice"].name, PEOPLE["alice"].number)
        async with places:
            app = await stack.enter_async_context(AppUser(world, person))
            return User(app, (await app.connect(provider))["id"])

    async with AsyncExitStack() as stack:
        users = await asyncio.gather(*(connect(name) for name in names))
        grants.ttl = FRESH
        yield users


def caller() -> httpx.AsyncClient:
    """A client that opens as many connections as there are requests, and is patient."""
    # None is kept: on a full machine, one would now and then be used just as the server closes it.
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    return httpx.AsyncClient(trust_env=False, timeout=90.0, limits=limits)


async def ask(http: httpx.AsyncClient, vault: str, session: Secret, provider: str) -> httpx.Response:
    """One exchange."""
    return await http.post(f"{vault}/oauth/token", data=exchange_form(session, provider))


def end_on_terminate() -> None:
    """Have a `kill` of a campaign end its servers too."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))


def say(text: str) -> None:
    """Progress, where somebody watches."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - a command's progress
