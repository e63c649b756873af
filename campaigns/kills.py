"""SIGKILL at six points of a refresh: no connection is lost in silence, no lease outlasts its length (C5, C6, F2)."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta

import httpx

from campaigns.gate import Gate
from campaigns.points import POINTS, ROTATED_UNHEARD, Stage
from campaigns.report import Found
from campaigns.setting import Setting, User, ask, caller, connected, end_on_terminate, say, set_up
from tests.support.exchanging import events_of
from tests.support.processes import Installation, Running, install, serving
from vaultd.connections import lease

PROVIDER = "google"
GRACE = timedelta(minutes=30)
LATE = 2.5
"""Seconds beyond a lease within which somebody must have noticed its end and refreshed."""
FINE, ENDED = "token", "reconnect_required"


@dataclass(frozen=True, slots=True)
class _Relief:
    """How a connection fared after its process was killed."""

    point: str
    grace: bool
    outcome: str
    seconds: float

    @property
    def expected(self) -> str:
        return ENDED if self.point in ROTATED_UNHEARD and not self.grace else FINE


class Kills:
    """Kills one process after the other; another one relieves them."""

    def __init__(self, setting: Setting, http: httpx.AsyncClient, gate: Gate) -> None:
        self._setting = setting
        self._http = http
        self._gate = gate
        self._provider = setting.provider(PROVIDER)
        self._url = setting.world.settings.database_url.reveal().replace("vaultd_service@", "postgres@")
        places = setting.world.places
        self._victims = install(
            setting.world, "victim", {f"{places.providers[PROVIDER]}/token": f"{self._gate.url}/token"}
        )

    async def __call__(self, points: Sequence[str], *, times: int, grace: bool) -> list[_Relief]:
        """Kill at each of the points so often; gives how each of the connections fared."""
        self._provider.grants.reuse_grace = GRACE if grace else timedelta()
        names = [f"{'grace' if grace else 'strict'}-{number}" for number in range(times * len(points))]
        async with connected(self._setting.world, PROVIDER, names) as users:
            # The last tokens are over as well then.
            await asyncio.sleep(1.1)
        reliefs = []
        following = _start(self._victims)
        for number, (user, point) in enumerate(zip(users, list(points) * times, strict=True)):
            victim, stop = await following
            following = _start(self._victims)
            await self._kill(victim, user, point)
            stop.close()
            # Others are relieved while the next one is killed: most wait for the end of a lease.
            reliefs.append(asyncio.create_task(self._relieve(user, point, grace=grace)))
            if (number + 1) % len(points) == 0:
                say(f"{number + 1} of {len(users)} killed {'with' if grace else 'without'} a grace")
        (await following)[1].close()
        return await asyncio.gather(*reliefs)

    async def _kill(self, victim: Running, user: User, point: str) -> None:
        begun: list[asyncio.Task[httpx.Response]] = []

        def begin() -> None:
            begun.append(asyncio.create_task(ask(self._http, victim.url, user.session, PROVIDER)))

        stage = Stage(self._url, user.connection, self._gate, begin)
        async with POINTS[point](stage):
            victim.process.send_signal(signal.SIGKILL)
            victim.process.wait()
            self._gate.cut()
        self._gate.open()
        (lost,) = await asyncio.gather(*begun, return_exceptions=True)
        if not isinstance(lost, httpx.TransportError):
            raise RuntimeError(f"{point}: the exchange was answered, so nothing was killed in its middle: {lost}")  # noqa: TRY004

    async def _relieve(self, user: User, point: str, *, grace: bool) -> _Relief:
        begun = time.monotonic()
        while True:
            answer = await ask(self._http, self._setting.vaults[0].url, user.session, PROVIDER)
            outcome = self._outcome(answer)
            # "Try again" is no end; whoever asks does so.
            if outcome or time.monotonic() - begun > 3 * lease.LASTS.total_seconds():
                return _Relief(point, grace, outcome or "none", time.monotonic() - begun)
            await asyncio.sleep(0.2)

    def _outcome(self, answer: httpx.Response) -> str | None:
        if answer.status_code == httpx.codes.OK:
            good = self._provider.grants.access(answer.json()["access_token"])
            return FINE if good is not None else "a dead token"
        if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
            return None
        return str(answer.json().get("reason", answer.json()["error"]))


async def _start(victims: Installation) -> tuple[Running, ExitStack]:
    stack = ExitStack()
    running = await asyncio.to_thread(stack.enter_context, serving(victims))
    return running, stack


async def run(
    setting: Setting, *, times: int, points: Sequence[str] = tuple(POINTS), graces: Sequence[bool] = (True, False)
) -> Found:
    """Kill so often at each point, at a provider with a grace for rotated tokens and at one without."""
    reliefs: list[_Relief] = []
    target = setting.world.places.providers[PROVIDER]
    async with caller() as http, Gate.before(target) as gate:
        kills = Kills(setting, http, gate)
        for grace in graces:
            reliefs += await kills(points, times=times, grace=grace)
    evented = Counter(event["reason"] for event in await events_of(setting.world, "connection.broken", PROVIDER))
    return _found(reliefs, evented)


def _found(reliefs: Sequence[_Relief], evented: Counter[str]) -> Found:
    ended = sum(relief.outcome == ENDED for relief in reliefs)
    lost = sum(relief.outcome != FINE for relief in reliefs if relief.grace)
    unexpected = [relief for relief in reliefs if relief.outcome != relief.expected]
    longest = max(relief.seconds for relief in reliefs)
    figures: dict[str, object] = {
        "kills": len(reliefs),
        "at_points": len({relief.point for relief in reliefs}),
        "lost_with_a_grace": lost,
        "reconnect_required_without": ended,
        "told_in_the_log": evented["rotation_lost"],
        "longest_until_relieved_s": round(longest, 2),
    }
    bounds = [
        *(f"{one.point}: {one.outcome} and not {one.expected}" for one in unexpected),
        *(["a lease lasted beyond its length"] if longest > lease.LASTS.total_seconds() + LATE else []),
        *(["a lost rotation is not in the log"] if evented["rotation_lost"] != ended else []),
    ]
    return Found("kills", figures, bounds)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m campaigns.kills", description=__doc__)
    parser.add_argument("--times", type=int, default=20, help="at each point, with a grace and without; default: 20")
    options = parser.parse_args()
    with set_up(1) as setting:
        return asyncio.run(run(setting, times=options.times)).tell()


if __name__ == "__main__":
    end_on_terminate()
    sys.exit(main())
