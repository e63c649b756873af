"""One vault with its issuers on loopback, for each test of this folder."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.unit.loopback_issuer import LoopbackIssuer, SetClock
from tests.unit.subjects.world import RSA, World
from vaultd.outbound import Outbound


@pytest_asyncio.fixture
async def world() -> AsyncIterator[World]:
    outbound = Outbound()
    async with LoopbackIssuer() as issuer:
        issuer.published.append(RSA.as_dict())
        yield World(issuer, SetClock(), outbound)
    await outbound.aclose()
