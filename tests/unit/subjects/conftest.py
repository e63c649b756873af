"""Issuers on loopback for the tests of this folder: some whose keys are fetched, and one that is asked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from tests.support.introspection import IntrospectingIssuer
from tests.unit.loopback_issuer import LoopbackIssuer, SetClock
from tests.unit.subjects.asked import Asked
from tests.unit.subjects.world import RSA, World
from vaultd.outbound import Outbound
from vaultd.sandbox.loopback import authorities
from vaultd.sandbox.servers import LoopbackServers, listen


@pytest_asyncio.fixture
async def world() -> AsyncIterator[World]:
    outbound = Outbound(ssl_context=authorities())
    async with LoopbackIssuer() as issuer:
        issuer.published.append(RSA.as_dict())
        yield World(issuer, SetClock(), outbound)
    await outbound.aclose()


@pytest.fixture(scope="session")
def served() -> Iterator[IntrospectingIssuer]:
    listener = listen()
    issuer = IntrospectingIssuer(listener.url)
    with LoopbackServers() as servers:
        servers.serve(issuer.app, listener)
        yield issuer


@pytest_asyncio.fixture
async def asked(served: IntrospectingIssuer) -> AsyncIterator[Asked]:
    outbound = Outbound(ssl_context=authorities())
    served.reset()
    yield Asked(served, SetClock(), outbound)
    await outbound.aclose()
