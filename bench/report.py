"""From runs to medians over the rounds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

from bench.measure import Run

Key = tuple[str, int]
"""A part and a number of connections."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Medians over the rounds; `slowest` and `fastest` are the rates of single rounds."""

    part: str
    connections: int
    rounds: int
    rate: float
    slowest: float
    fastest: float
    p50_ms: float
    p99_ms: float
    cpu_us: float
    postgres_cpu_us: float
    commits: float | None
    memory_mib: float | None
    failed: int


def medians(runs: Iterable[Run]) -> dict[Key, Row]:
    """One row for each part and number of connections, in the order of the first runs."""
    grouped: dict[Key, list[Run]] = {}
    for run in runs:
        grouped.setdefault((run.part, run.connections), []).append(run)
    return {key: _row(key, group) for key, group in grouped.items()}


def _row(key: Key, runs: list[Run]) -> Row:
    rates = [run.rate for run in runs]
    commits = [run.commits for run in runs if run.commits is not None]
    memory = [run.memory_mib for run in runs if run.memory_mib is not None]
    return Row(
        part=key[0],
        connections=key[1],
        rounds=len(runs),
        rate=median(rates),
        slowest=min(rates),
        fastest=max(rates),
        p50_ms=median(run.p50_ms for run in runs),
        p99_ms=median(run.p99_ms for run in runs),
        cpu_us=median(run.cpu_us for run in runs),
        postgres_cpu_us=median(run.postgres_cpu_us for run in runs),
        commits=median(commits) if commits else None,
        memory_mib=max(memory, default=None),
        failed=sum(run.failed for run in runs),
    )
