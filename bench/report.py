"""From runs to medians, and from medians to ratios beside the goals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import median

from bench.measure import Run

NANGO = 200.0
"""Exchanges a second of Nango 0.71 reading a stored, fresh credential, 16 connections: quoted, not measured here."""

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
    failed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A goal and what was measured. `margin` is the distance to the bound as a part of it, below zero when missed."""

    goal: str
    connections: int
    bound: float
    measured: float
    margin: float

    @property
    def met(self) -> bool:
        """Whether the goal was reached."""
        return self.margin >= 0


def medians(runs: Iterable[Run]) -> dict[Key, Row]:
    """One row for each part and number of connections, in the order of the first runs."""
    grouped: dict[Key, list[Run]] = {}
    for run in runs:
        grouped.setdefault((run.part, run.connections), []).append(run)
    return {key: _row(key, group) for key, group in grouped.items()}


def _row(key: Key, runs: list[Run]) -> Row:
    rates = [run.rate for run in runs]
    commits = [run.commits for run in runs if run.commits is not None]
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
        failed=sum(run.failed for run in runs),
    )


def judge(rows: Mapping[Key, Row]) -> list[Verdict]:
    """The goals for which everything was measured."""
    verdicts: list[Verdict] = []

    def have(*keys: Key) -> bool:
        return all(key in rows for key in keys)

    def at_least(goal: str, connections: int, bound: float, measured: float) -> None:
        verdicts.append(_verdict(goal, connections, bound, measured, measured / bound - 1))

    def at_most(goal: str, connections: int, bound: float, measured: float) -> None:
        verdicts.append(_verdict(goal, connections, bound, measured, 1 - measured / bound))

    for connections, bound in ((64, 1.0), (16, 0.65)):
        ours, issuer = ("exchange", connections), ("issuer", connections)
        if have(ours, issuer):
            at_least("rate / oidc-provider's", connections, bound, rows[ours].rate / rows[issuer].rate)
    ours = ("exchange", 64)
    if have(ours, ("echo", 64)):
        at_least("rate / bare ASGI echo's", 64, 0.35, rows[ours].rate / rows["echo", 64].rate)
    if have(ours):
        at_most("p99 / p50", 64, 4.0, rows[ours].p99_ms / rows[ours].p50_ms)
        at_most("server CPU, µs a request", 64, 90.0, rows[ours].cpu_us)
    if have(("exchange", 16)):
        at_least("rate / Nango's (quoted)", 16, 30.0, rows["exchange", 16].rate / NANGO)
    if have(("exchange", 1), ("commit", 1)):
        at_most(
            "p50 in ms (1.5 times commit's + 0.5)", 1, 1.5 * rows["commit", 1].p50_ms + 0.5, rows["exchange", 1].p50_ms
        )
    return verdicts


def _verdict(goal: str, connections: int, bound: float, measured: float, margin: float) -> Verdict:
    return Verdict(goal=goal, connections=connections, bound=bound, measured=measured, margin=margin)
