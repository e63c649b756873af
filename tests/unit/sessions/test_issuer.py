"""The `[login]` issuer is asked little, however many strangers want to sign in."""

from __future__ import annotations

import asyncio

import pytest

from tests.unit.loopback_issuer import DISCOVERY, HOST, LoopbackIssuer, SetClock
from vaultd.errors import SignInUnavailable
from vaultd.jose import KeyCache
from vaultd.outbound import Outbound
from vaultd.sandbox.loopback import authorities
from vaultd.sessions.config import LoginConfig
from vaultd.sessions.issuer import LoginIssuer


@pytest.mark.parametrize("status", [200, 500])
async def test_one_discovery_serves_all_who_wait_for_it(status: int) -> None:
    clock, outbound = SetClock(), Outbound(ssl_context=authorities())
    async with LoopbackIssuer() as at:
        at.status = status
        at.open.clear()
        issuer = LoginIssuer(
            config=LoginConfig(issuer="main", client_id="vault"),
            issuer=at.url,
            algorithms=("ES256",),
            allow_private=(HOST,),
            keys=KeyCache(outbound=outbound, clock=clock, issuer=at.url, allow_private=(HOST,)),
            outbound=outbound,
            clock=clock,
        )
        waiting = [asyncio.create_task(issuer.end_session_url()) for _ in range(50)]
        waiting += [asyncio.create_task(issuer.authorization_url({})) for _ in range(50)]
        async with asyncio.timeout(10):
            while not at.asked[DISCOVERY]:
                await asyncio.sleep(0.01)
        at.open.set()
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        assert at.asked[DISCOVERY] == 1
        assert outcomes[:50] == [None] * 50
        assert all(isinstance(outcome, SignInUnavailable) for outcome in outcomes[50:])
        await issuer.aclose()
    await outbound.aclose()
