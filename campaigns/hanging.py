"""One provider hangs: the others' slowest one in a hundred stays within twice what it was (security C8)."""

from __future__ import annotations

import argparse
import asyncio
import itertools
import random
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta

import httpx

from campaigns.report import Found, milliseconds, p99
from campaigns.setting import OVER, Setting, User, ask, caller, connected, end_on_terminate, say, set_up

HANGS, REFRESHES, SERVES = "google", "github", "slack"
"""The one that hangs; one whose tokens are refreshed at each exchange; one whose tokens are fresh."""
BOUND = 2.0
CALLERS = 4
"""At once, at each provider that works."""
COME_WITHIN = 3.0
"""Seconds within which the callers at the one that hangs begin."""
PAUSE = 0.02
"""Seconds between two requests of one caller, so that the machine is busy and not full."""
ALWAYS_STALE = timedelta(seconds=30)
LONG = timedelta(hours=1)


@dataclass(slots=True)
class _Samples:
    """Seconds that exchanges took, by provider, while all is well and while one hangs; each phase by itself."""

    calm: dict[str, list[list[float]]] = field(default_factory=lambda: {REFRESHES: [], SERVES: []})
    hanging: dict[str, list[list[float]]] = field(default_factory=lambda: {REFRESHES: [], SERVES: []})
    failed: int = 0


class Load:
    """Callers at each of the providers, at one vault."""

    def __init__(self, setting: Setting, http: httpx.AsyncClient, users: dict[str, list[User]]) -> None:
        self._vault = setting.vaults[0].url
        self._http = http
        self._users = users
        self.failed = 0

    async def __call__(self, seconds: float, *, hanging: bool) -> dict[str, list[float]]:
        """Ask for so long; gives how long the exchanges at the two that work have taken.

        Nobody asks at the third unless it hangs: what is compared with is a vault that is less busy.
        """
        taken: dict[str, list[float]] = {REFRESHES: [], SERVES: []}
        until = time.monotonic() + seconds
        work = [
            self._call(provider, share, until, taken.get(provider))
            for provider, users in self._users.items()
            if hanging or provider != HANGS
            # At the one that hangs all at once, so that many calls hang before it is left alone.
            for share in _shares(users, len(users) if provider == HANGS else CALLERS)
        ]
        hung = [asyncio.create_task(one) for one in work]
        # Those at the provider that hangs are still waiting; the time of the others is what counts.
        await asyncio.wait(hung, timeout=seconds + 15)
        return taken

    async def _call(self, provider: str, users: list[User], until: float, taken: list[float] | None) -> None:
        if provider == HANGS:
            # One after the other, as users come: what is looked for is what hanging costs, not what a crowd costs.
            await asyncio.sleep(random.uniform(0, COME_WITHIN))  # noqa: S311 - not a secret
        for user in itertools.cycle(users):
            begun = time.monotonic()
            if begun >= until:
                return
            answer = await ask(self._http, self._vault, user.session, provider)
            if taken is not None:
                taken.append(time.monotonic() - begun)
                self.failed += answer.status_code != httpx.codes.OK
            # Who is told when to come again comes then.
            await asyncio.sleep(float(answer.headers.get("retry-after", PAUSE)))


def _shares(users: list[User], callers: int) -> Iterator[list[User]]:
    for first in range(callers):
        yield users[first::callers]


async def run(setting: Setting, *, phases: int, seconds: float, users: int = 40) -> Found:
    """Calm and hanging in turn, so many phases of each."""
    hangs = setting.provider(HANGS)
    names = [f"caller-{number}" for number in range(users)]
    lives = {HANGS: OVER, REFRESHES: ALWAYS_STALE, SERVES: LONG}
    users_of = {}
    for name, life in lives.items():
        async with connected(setting.world, name, names, life=life) as users_of[name]:
            pass
    for name, life in lives.items():
        setting.world.providers[name].grants.ttl = life
    samples = _Samples()
    hangs.faults.token = "hang"  # noqa: S105 - the name of a switch
    async with caller() as http:
        load = Load(setting, http, users_of)
        await load(1.0, hanging=False)
        for number in range(phases):
            for place in (samples.calm, samples.hanging):
                for name, taken in (await load(seconds, hanging=place is samples.hanging)).items():
                    place[name].append(taken)
            say(f"phase {number + 1} of {phases}")
        hangs.faults.clear()
        samples.failed = load.failed
    return _found(samples, hangs.calls["refresh"])


def _found(samples: _Samples, calls: int) -> Found:
    figures: dict[str, object] = {"phases": len(samples.calm[SERVES]), "calls_that_hung": calls}
    broken = ["an exchange at a provider that works failed"] if samples.failed else []
    for name, told in ((SERVES, "fresh"), (REFRESHES, "refreshed")):
        calm, hanging = (list(itertools.chain(*place[name])) for place in (samples.calm, samples.hanging))
        ratio = p99(hanging) / p99(calm)
        figures |= {
            f"{told}_exchanges": len(calm) + len(hanging),
            f"{told}_p50_ms": [milliseconds(statistics.median(one)) for one in (calm, hanging)],
            f"{told}_p99_ms": [milliseconds(p99(one)) for one in (calm, hanging)],
            f"{told}_p99_ratio": round(ratio, 2),
        }
        if ratio > BOUND:
            broken.append(f"{told}: p99 is {ratio:.2f} times what it was")
    return Found("hanging", figures, broken)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m campaigns.hanging", description=__doc__)
    parser.add_argument("--phases", type=int, default=6, help="of each kind, in turn; default: 6")
    parser.add_argument("--seconds", type=float, default=8.0, help="of one phase; default: 8")
    options = parser.parse_args()
    with set_up(1) as setting:
        return asyncio.run(run(setting, phases=options.phases, seconds=options.seconds)).tell()


if __name__ == "__main__":
    end_on_terminate()
    sys.exit(main())
