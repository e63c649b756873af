"""Revoking against refreshing: no token after the revocation's answer, and no row comes back (security C7)."""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg
import httpx

from campaigns.gate import Gate
from campaigns.report import Found
from campaigns.setting import Setting, User, ask, caller, connected, end_on_terminate, say, started
from tests.support.exchanging import events_of
from vaultd.sandbox.provider import SandboxProvider
from vaultd.sandbox.world import World, start_world

PROVIDER = "google"
LATEST = 0.01
"""Seconds that a provider's part may take at most, in each direction: the race is somewhere in there."""
SPREAD = 1.5
"""Times what an exchange takes that has to refresh: within that the revocation comes."""
PRACTICE = 10
DRAINED = 60.0
"""Seconds within which everything must be revoked at the provider."""
_ROWS = """SELECT count(*) FROM connections WHERE id = ANY ($1::uuid[])
    AND NOT (status = 'revoked' AND access_token IS NULL AND refresh_token IS NULL AND data_key_id IS NULL)"""


@dataclass(frozen=True, slots=True)
class _Race:
    """How many tokens were given out to who asked before, and to who asked behind the revocation's answer."""

    before: int
    after: int


async def race(setting: Setting, http: httpx.AsyncClient, user: User, *, delay: float) -> _Race:
    """Ask at every process at once, revoke in the middle of it, and ask again."""
    first = [asyncio.create_task(ask(http, vault.url, user.session, PROVIDER)) for vault in setting.vaults]
    await asyncio.sleep(delay)
    await user.app.disconnect(user.connection)
    then = await asyncio.gather(*(ask(http, vault.url, user.session, PROVIDER) for vault in setting.vaults))
    before = await asyncio.gather(*first)
    # What was in flight is over now as well: whatever it did must not have brought anything back.
    last = await ask(http, setting.vaults[0].url, user.session, PROVIDER)
    return _Race(_tokens(before), _tokens([*then, last]))


def _tokens(answers: Sequence[httpx.Response]) -> int:
    return sum(answer.status_code == httpx.codes.OK for answer in answers)


async def run(world: World, *, processes: int, races: int, at_once: int = 5) -> Found:
    """So many races, some of them at a time, at processes whose provider takes its time."""
    target = world.places.providers[PROVIDER]
    async with Gate.before(target, latest=LATEST) as gate:
        with started(world, processes, changed={f"{target}/token": f"{gate.url}/token"}) as setting:
            return await _run(setting, races, at_once)


async def _run(setting: Setting, races: int, at_once: int) -> Found:
    provider = setting.provider(PROVIDER)
    places = asyncio.Semaphore(at_once)
    earlier = len(provider.grants.families)
    done: list[_Race] = []

    async def one(user: User, number: int) -> None:
        async with places:
            done.append(await race(setting, http, user, delay=random.uniform(0, within)))  # noqa: S311 - no secret
        if (number + 1) % 50 == 0:
            say(f"{len(done)} of {races} races")

    names = [f"racer-{number}" for number in range(races + PRACTICE)]
    async with connected(setting.world, PROVIDER, names) as connected_users, caller() as http:
        users, practising = connected_users[:races], connected_users[races:]
        await asyncio.sleep(1.1)
        within = SPREAD * statistics.median([await _practise(setting, http, user) for user in practising])
        refreshed = len(await events_of(setting.world, "token.refreshed", PROVIDER))
        await asyncio.gather(*(one(user, number) for number, user in enumerate(users)))
    refreshed = len(await events_of(setting.world, "token.refreshed", PROVIDER)) - refreshed
    back, alive = await _resurrected(setting, users), await _alive(provider, earlier)
    return _found(done, calls=provider.calls["refresh"], refreshed=refreshed, back=back, alive=alive)


async def _practise(setting: Setting, http: httpx.AsyncClient, user: User) -> float:
    """How many seconds an exchange takes that has to refresh; its connection is ended as well."""
    begun = time.monotonic()
    await ask(http, setting.vaults[0].url, user.session, PROVIDER)
    ended = time.monotonic()
    await user.app.disconnect(user.connection)
    return ended - begun


def _found(done: Sequence[_Race], *, calls: int, refreshed: int, back: int, alive: int) -> Found:
    after = sum(one.after for one in done)
    figures: dict[str, object] = {
        "races": len(done),
        "refresh_stored_first": refreshed,
        "revocation_first": len(done) - refreshed,
        "tokens_given_out_before": sum(one.before for one in done),
        "calls_to_the_provider": calls,
        "tokens_after_the_revocations_answer": after,
        "resurrected_rows": back,
        "grants_alive_at_the_provider": alive,
    }
    bounds = {
        "a token was given out behind a revocation": after > 0,
        "a row came back": back > 0,
        "a grant is still alive at the provider": alive > 0,
    }
    return Found("races", figures, [text for text, is_broken in bounds.items() if is_broken])


async def _resurrected(setting: Setting, users: Sequence[User]) -> int:
    url = setting.world.settings.database_url.reveal()
    connection = await asyncpg.connect(url)
    try:
        return int(await connection.fetchval(_ROWS, [user.connection for user in users]))
    finally:
        await connection.close()


async def _alive(provider: SandboxProvider, earlier: int) -> int:
    """Grants of these races that are still alive there once there has been time to revoke them."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + DRAINED
    while (alive := sum(family.alive for family in provider.grants.families[earlier:])) and loop.time() < deadline:
        await asyncio.sleep(0.1)
    return alive


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m campaigns.races", description=__doc__)
    parser.add_argument("--races", type=int, default=500)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    with start_world() as world:
        return asyncio.run(run(world, processes=options.processes, races=options.races)).tell()


if __name__ == "__main__":
    end_on_terminate()
    sys.exit(main())
