from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
import pytest_asyncio

from tests.clients.python.speaking import Kind, Speaker, agent
from tests.wire.vault import App, Vault
from vaultd.sandbox.world import World, start_world

Open = Callable[..., Speaker]


@pytest.fixture(scope="session")
def world() -> Iterator[World]:
    """The whole sandbox on loopback ports, one for all tests of the client."""
    with start_world(synced=False) as running:
        yield running


@pytest_asyncio.fixture(scope="session")
async def vault(world: World) -> AsyncIterator[Vault]:
    """What an operator and a client of another make see."""
    async with Vault(world) as speaking:
        yield speaking


@pytest_asyncio.fixture
async def app(world: World) -> AsyncIterator[App]:
    """An app of a user whom nobody else has."""
    async with App(world) as speaking:
        yield speaking


@pytest.fixture(params=["threads", "asyncio"])
def kind(request: pytest.FixtureRequest) -> Kind:
    named: Kind = request.param
    return named


@pytest_asyncio.fixture
async def opened(world: World, kind: Kind) -> AsyncIterator[Open]:
    """Makes clients of the sandbox's vault, or of another, and closes them."""
    speakers: list[Speaker] = []

    def make(url: str | None = None, **options: Any) -> Speaker:
        speakers.append(Speaker(kind, url or world.places.vault, **{"auth": agent(world), **options}))
        return speakers[-1]

    yield make
    for speaker in speakers:
        await speaker.close()


@pytest.fixture
def speaker(opened: Open) -> Speaker:
    """The agent's backend."""
    return opened()
