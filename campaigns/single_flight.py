"""Many exchanges of one stale connection over several processes: exactly one refresh a round (security C5)."""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import httpx

from campaigns.report import Found, milliseconds
from campaigns.setting import FRESH, Setting, ask, caller, connected, end_on_terminate, say, set_up
from vaultd.sandbox.dev_config import VAULT_AT_PROVIDER
from vaultd.sandbox.provider import SandboxProvider
from vaultd.terms import Secret

PROVIDER = "google"
CROWD = 10
"""Exchanges of one client at each process."""


@dataclass(slots=True)
class _Counted:
    refreshes: list[int] = field(default_factory=list)
    failed: int = 0
    several_tokens: int = 0
    seconds: list[float] = field(default_factory=list)


async def run(setting: Setting, *, concurrent: int, rounds: int, alone: int = 0) -> Found:
    """`concurrent` exchanges at each process, all at once, `rounds` times; then `alone` single ones, timed."""
    provider = setting.provider(PROVIDER)
    counted = _Counted()
    async with AsyncExitStack() as stack:
        # Several clients, since the time that one takes grows with the square of its connections.
        crowds = [await stack.enter_async_context(caller()) for _ in range(-(-concurrent // CROWD))]
        for number in range(rounds):
            await _round(setting, provider, crowds, concurrent, counted)
            if (number + 1) % 10 == 0:
                say(f"round {number + 1} of {rounds}: {sum(counted.refreshes)} refreshes")
        added = [await _added(setting, provider, crowds[0]) for _ in range(alone)]
    reused = sum(family.reuse_detected for family in provider.grants.families)
    figures: dict[str, object] = {
        "processes": len(setting.vaults),
        "exchanges_a_round": concurrent * len(setting.vaults),
        "rounds": rounds,
        "rounds_with_one_refresh": counted.refreshes.count(1),
        "most_refreshes_a_round": max(counted.refreshes),
        "failed_exchanges": counted.failed,
        "refresh_tokens_used_twice": reused,
        "median_round_ms": milliseconds(statistics.median(counted.seconds)),
    }
    if added:
        figures["added_to_the_providers_time_ms"] = milliseconds(statistics.median(added))
    bounds = {
        "a round had not exactly one refresh": counted.refreshes.count(1) != rounds,
        "an exchange failed": counted.failed > 0,
        "a round gave out several tokens": counted.several_tokens > 0,
        "a refresh token was used twice": reused > 0,
    }
    return Found("single flight", figures, [text for text, is_broken in bounds.items() if is_broken])


async def _round(
    setting: Setting,
    provider: SandboxProvider,
    crowds: Sequence[httpx.AsyncClient],
    concurrent: int,
    counted: _Counted,
) -> None:
    # Connected anew each time: its first token is over, the next one is good for long.
    async with connected(setting.world, PROVIDER, ["crowd"]) as (user,):
        provider.calls.clear()
        begun = time.monotonic()
        asks = [
            ask(crowds[number // CROWD], vault.url, user.session, PROVIDER)
            for number in range(concurrent)
            for vault in setting.vaults
        ]
        answers = await asyncio.gather(*asks)
    counted.seconds.append(time.monotonic() - begun)
    good = [answer for answer in answers if answer.status_code == httpx.codes.OK]
    counted.refreshes.append(provider.calls["refresh"])
    counted.failed += len(answers) - len(good)
    counted.several_tokens += len({answer.json()["access_token"] for answer in good}) > 1


async def _added(setting: Setting, provider: SandboxProvider, http: httpx.AsyncClient) -> float:
    """What an exchange that has to refresh takes beyond the same refresh asked for directly, in seconds."""
    async with connected(setting.world, PROVIDER, ["alone"]) as (user,):
        session = user.session
    issued = provider.issue(user="alice", client_id=VAULT_AT_PROVIDER, scopes=())
    form = {"grant_type": "refresh_token", "refresh_token": issued["refresh_token"]}
    secret: Secret = setting.world.secrets.provider
    at = f"{setting.world.places.providers[PROVIDER]}/token"
    begun = time.monotonic()
    direct = await http.post(at, data=form, auth=(VAULT_AT_PROVIDER, secret.reveal()))
    between = time.monotonic()
    answer = await ask(http, setting.vaults[0].url, session, PROVIDER)
    ended = time.monotonic()
    if {direct.status_code, answer.status_code} != {httpx.codes.OK}:
        raise RuntimeError(f"a timed refresh failed: {direct.status_code}, {answer.status_code}")
    if not 0 < answer.json()["expires_in"] <= FRESH.total_seconds():
        raise RuntimeError("a timed refresh brought no token")
    return (ended - between) - (between - begun)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m campaigns.single_flight", description=__doc__)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--concurrent", type=int, default=200, help="exchanges at each process; default: 200")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--alone", type=int, default=50, help="single exchanges that are timed; default: 50")
    options = parser.parse_args()
    with set_up(options.processes) as setting:
        work = run(setting, concurrent=options.concurrent, rounds=options.rounds, alone=options.alone)
        return asyncio.run(work).tell()


if __name__ == "__main__":
    end_on_terminate()
    sys.exit(main())
