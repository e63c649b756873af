"""The command: python -m bench --help."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from rich.console import Console

from bench.failed import BenchError
from bench.goals import judge, judge_growth
from bench.measure import Bench, Plan
from bench.profile import profiled
from bench.report import medians
from bench.setting import PARTS, Choice, Setting, with_rows
from bench.show import show, write
from vaultd.errors import VaultdError
from vaultd.terms import system_clock

OUT = Path(__file__).with_name("out")
WIDTH = 132


def _numbers(text: str) -> tuple[int, ...]:
    found = tuple(int(word) for word in text.split(","))
    if min(found) < 1:
        raise ValueError
    return found


def _parts(text: str) -> tuple[str, ...]:
    chosen = tuple(text.split(","))
    unknown = set(chosen) - set(PARTS)
    if unknown:
        raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: not one of {', '.join(PARTS)}")
    return chosen


def _arguments(given: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="What an exchange costs, beside its peers.")
    parser.add_argument("--only", type=_parts, help=f"of {','.join(PARTS)}; default: all of them")
    parser.add_argument("--connections", type=_numbers, default=(1, 16, 64), help="default: 1,16,64")
    parser.add_argument("--seconds", type=int, default=5, help="of one run; default: 5")
    parser.add_argument("--rounds", type=int, default=3, help="how often each run is made; default: 3")
    parser.add_argument("--users", type=int, default=1000, help="with one connected account each; default: 1000")
    parser.add_argument("--workers", type=_numbers, default=(), help="exchanges with so many workers, like 1,2,4")
    parser.add_argument(
        "--connections-rows", type=_numbers, default=(), help="exchanges with so many connections, like 1000,100000"
    )
    parser.add_argument("--profile", action="store_true", help="say where the vault's time goes, by py-spy")
    return parser.parse_args(given)


def _choice(options: argparse.Namespace) -> Choice:
    # A look at growth alone does not bring the other parts along.
    parts = options.only or (() if options.workers or options.connections_rows else PARTS)
    return Choice(parts=parts, users=options.users, workers=options.workers, rows=options.connections_rows)


def main(given: Sequence[str]) -> int:
    """Measure, print, write. Goals that are missed are reported and no failure; failed requests are one."""
    options = _arguments(given)
    choice = _choice(options)
    plan = Plan(connections=options.connections, rounds=options.rounds, seconds=options.seconds)
    # A pipe has no width; the tables need theirs.
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    progress = Console(stderr=True, highlight=False)
    at = system_clock()
    stem = OUT / at.strftime("%Y%m%dT%H%M%SZ")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vaultd-bench-")))
        try:
            setting = stack.enter_context(Setting(folder, choice, say=progress.print))
            if options.profile:
                # What happens once, like verifying each user's token, is not what is looked for.
                for part in setting.parts:
                    part.prepare(max(plan.connections), plan.seconds)
                stack.enter_context(
                    profiled(setting.vault, stem, say=partial(console.print, markup=False, highlight=False))
                )
            machine = setting.machine()
            runs = list(Bench(setting.postgres, say=progress.print)(setting.parts, plan))
        except (BenchError, VaultdError) as error:
            progress.print(f"The benchmark ended: {error}")
            return 1
    rows = medians(runs)
    verdicts = [*judge(rows), *judge_growth(rows, [with_rows(number) for number in sorted(choice.rows)])]
    show(console, machine, rows, verdicts)
    write(stem.with_suffix(".json"), at=at, machine=machine, plan=plan, runs=runs, rows=rows, verdicts=verdicts)
    console.print(f"Written to bench/out/{stem.name}.json", highlight=False)
    return 0


if __name__ == "__main__":
    # So that a `kill` ends the servers too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    sys.exit(main(sys.argv[1:]))
