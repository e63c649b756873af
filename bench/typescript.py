"""python -m bench.typescript: what `@vaultd/client` adds to an exchange made by hand, and what three cost at once.

One caller in a process of its own, the ways taking turns. The figures are the machine's; the ratios travel.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.failed import BenchError
from vaultd.errors import VaultdError
from vaultd.sandbox.dev_config import BRIEFING_AGENT, PROVIDER_SCOPES
from vaultd.sandbox.people import PEOPLE
from vaultd.sandbox.person import AppUser
from vaultd.sandbox.world import World, start_world

ROOT = Path(__file__).parents[1]
CLIENT = ROOT / "clients" / "typescript"
WAYS = {
    "byHand": "an exchange by hand, with fetch",
    "byClient": "the same by the client",
    "fromMemory": "a token that the client still has",
    "threeAtOnce": "three exchanges at once, by the client",
    "threeInTurn": "three exchanges, one after the other",
}


def main(given: Sequence[str] | None = None) -> int:
    """Measure and print. Ends with 1 when something does not run."""
    parser = argparse.ArgumentParser(prog="python -m bench.typescript", description="What the TypeScript client adds.")
    parser.add_argument("--rounds", type=int, default=300, help="how often each way is taken; default: 300")
    rounds = parser.parse_args(given).rounds
    try:
        node = _run("scripts/find-node")
        _run(node, str(CLIENT / "node_modules" / "typescript" / "bin" / "tsc"), "--build", str(CLIENT))
        with start_world() as world:
            asyncio.run(_connect(world))
            medians = json.loads(_run(node, str(CLIENT / "bench" / "overhead.mjs"), told=_told(world, rounds)))
    except (BenchError, VaultdError) as error:
        Console(stderr=True, markup=False).print(str(error))
        return 1
    _show(medians)
    return 0


async def _connect(world: World) -> None:
    async with AppUser(world, PEOPLE["alice"]) as alice:
        for name in PROVIDER_SCOPES:
            await alice.connect(name)


def _told(world: World, rounds: int) -> str:
    return json.dumps(
        {
            "url": world.places.vault,
            "clientId": BRIEFING_AGENT,
            "clientSecret": world.secrets.briefing_agent.reveal(),
            "subjectToken": world.issuer.mint("alice", azp=BRIEFING_AGENT),
            "rounds": rounds,
        }
    )


def _run(*command: str, told: str = "") -> str:
    done = subprocess.run(command, cwd=ROOT, input=told, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BenchError(f"{command[0]} failed: {done.stdout}{done.stderr}")
    return done.stdout.strip()


def _show(medians: dict[str, float]) -> None:
    table = Table("", "median ms", "beside one by hand", title="@vaultd/client, one caller on loopback")
    for name, words in WAYS.items():
        table.add_row(words, f"{medians[name]:.3f}", f"{medians[name] / medians['byHand']:.2f}")
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
