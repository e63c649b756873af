"""The report on a terminal, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.goals import Verdict
from bench.measure import Plan, Run
from bench.report import Key, Row


def show(console: Console, machine: Mapping[str, str], rows: Mapping[Key, Row], verdicts: Sequence[Verdict]) -> None:
    """Print machine, medians and goals."""
    console.print(", ".join(f"{name} {value}" for name, value in machine.items()), highlight=False)
    console.print(_medians(rows))
    if verdicts:
        console.print(_goals(verdicts))


def _medians(rows: Mapping[Key, Row]) -> Table:
    table = Table(title="Medians over the rounds")
    for heading in ("connections", "what"):
        table.add_column(heading, no_wrap=True)
    for heading in (
        "requests/s",
        "of rounds",
        "p50 ms",
        "p99 ms",
        "CPU µs",
        "Postgres µs",
        "commits",
        "MiB",
        "/ exchange",
    ):
        table.add_column(heading, justify="right")
    for (part, connections), row in rows.items():
        ours = rows.get(("exchange", connections))
        table.add_row(
            str(connections),
            part,
            f"{row.rate:,.0f}",
            f"{row.slowest:,.0f}-{row.fastest:,.0f}",
            f"{row.p50_ms:.2f}",
            f"{row.p99_ms:.2f}",
            f"{row.cpu_us:.0f}",
            f"{row.postgres_cpu_us:.0f}",
            "" if row.commits is None else f"{row.commits:.3f}",
            "" if row.memory_mib is None else f"{row.memory_mib:.0f}",
            "" if ours is None else f"{row.rate / ours.rate:.2f}",
        )
    return table


def _goals(verdicts: Sequence[Verdict]) -> Table:
    table = Table(title="Goals for the exchange")
    for heading in ("connections", "goal"):
        table.add_column(heading)
    for heading in ("bound", "measured", "verdict"):
        table.add_column(heading, justify="right")
    for one in verdicts:
        met = f"met by {one.margin:.0%}" if one.met else f"missed by {-one.margin:.0%}"
        table.add_row(str(one.connections or ""), one.goal, f"{one.bound:.2f}", f"{one.measured:.2f}", met)
    return table


def write(
    path: Path,
    *,
    at: datetime,
    machine: Mapping[str, str],
    plan: Plan,
    runs: Sequence[Run],
    rows: Mapping[Key, Row],
    verdicts: Sequence[Verdict],
) -> None:
    """Write everything that was measured."""
    document = {
        "at": at.isoformat(timespec="seconds"),
        "machine": dict(machine),
        "plan": asdict(plan),
        "medians": [asdict(row) for row in rows.values()],
        "goals": [{**asdict(verdict), "met": verdict.met} for verdict in verdicts],
        "runs": [asdict(run) for run in runs],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
