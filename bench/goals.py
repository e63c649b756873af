"""The goals of the exchange and what was measured. Each is a ratio of one run, or a figure of the server's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from bench.report import Key, Row

NANGO = 200.0
"""Exchanges a second of Nango 0.71 reading a stored, fresh credential, 16 connections: quoted, not measured here."""
MIN_SIZES = 2
"""Growth is seen between two."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A goal and what was measured. `margin` is the distance to the bound as a part of it, below zero when missed."""

    goal: str
    connections: int | None
    bound: float
    measured: float
    margin: float

    @property
    def met(self) -> bool:
        """Whether the goal was reached."""
        return self.margin >= 0


def judge(rows: Mapping[Key, Row]) -> list[Verdict]:
    """The goals for which everything was measured."""
    return [*_at_64(rows), *_at_16(rows), *_alone(rows)]


def judge_growth(rows: Mapping[Key, Row], smallest_first: Sequence[str]) -> list[Verdict]:
    """What the fullest database costs beside the emptiest, at each number of connections."""
    if len(smallest_first) < MIN_SIZES:
        return []
    small, large = smallest_first[0], smallest_first[-1]
    grown = {connections: row for (part, connections), row in rows.items() if part == large}
    verdicts = [
        at_most(f"p50 at {large} / at the fewest", connections, 1.2, row.p50_ms / rows[small, connections].p50_ms)
        for connections, row in grown.items()
    ]
    memory = [row.memory_mib for row in grown.values() if row.memory_mib is not None]
    return [*verdicts, at_most(f"MiB of memory at {large}", None, 200.0, max(memory))] if memory else verdicts


def _at_64(rows: Mapping[Key, Row]) -> Iterator[Verdict]:
    ours = rows.get(("exchange", 64))
    if ours is None:
        return
    if issuer := rows.get(("issuer", 64)):
        yield at_least("rate / oidc-provider's", 64, 1.0, ours.rate / issuer.rate)
    if echo := rows.get(("echo", 64)):
        yield at_least("rate / bare ASGI echo's", 64, 0.35, ours.rate / echo.rate)
    yield at_most("p99 / p50", 64, 4.0, ours.p99_ms / ours.p50_ms)
    yield at_most("server CPU, µs a request", 64, 90.0, ours.cpu_us)


def _at_16(rows: Mapping[Key, Row]) -> Iterator[Verdict]:
    ours = rows.get(("exchange", 16))
    if ours is None:
        return
    if issuer := rows.get(("issuer", 16)):
        yield at_least("rate / oidc-provider's", 16, 0.65, ours.rate / issuer.rate)
    yield at_least("rate / Nango's (quoted)", 16, 30.0, ours.rate / NANGO)


def _alone(rows: Mapping[Key, Row]) -> Iterator[Verdict]:
    ours, commit = rows.get(("exchange", 1)), rows.get(("commit", 1))
    if ours is not None and commit is not None:
        yield at_most("p50 in ms (1.5 times commit's + 0.5)", 1, 1.5 * commit.p50_ms + 0.5, ours.p50_ms)


def at_least(goal: str, connections: int | None, bound: float, measured: float) -> Verdict:
    """A goal that is better the higher the figure."""
    return Verdict(goal=goal, connections=connections, bound=bound, measured=measured, margin=measured / bound - 1)


def at_most(goal: str, connections: int | None, bound: float, measured: float) -> Verdict:
    """A goal that is better the lower the figure."""
    return Verdict(goal=goal, connections=connections, bound=bound, measured=measured, margin=1 - measured / bound)
