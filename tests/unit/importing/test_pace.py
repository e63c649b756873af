from __future__ import annotations

import asyncio

from vaultd.importing.pace import Pace


async def test_callers_go_through_one_by_one_at_the_rate_however_many_wait() -> None:
    """`vaultd import --rate`: a bound for the provider's sake."""
    loop, pace, passed = asyncio.get_running_loop(), Pace(100), []

    async def call() -> None:
        await pace.wait()
        passed.append(loop.time())

    begun = loop.time()
    await asyncio.gather(*(call() for _ in range(20)))
    # The twentieth begins nineteen hundredths after the first, and never sooner.
    assert passed[-1] - begun >= 0.189
    assert passed == sorted(passed)
