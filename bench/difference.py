"""Can two kinds of answers be told apart by their time? The statistic of security A8, pure.

Three arms are tried in turn: A, A again, and B. How far the medians of A and of A again lie apart by chance is found by
drawing two samples from both together, over and over. B is told apart when its median lies farther from A's than that
in 95 of 100 draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from statistics import median

DRAWS = 2_000
MOST_ROUNDS = 3
_TAIL = 0.025


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Of medians, in microseconds. `low` and `high` bound what chance makes of A against A in 95 of 100 draws."""

    tries: int
    median_a: float
    median_a_again: float
    median_b: float
    low: float
    high: float

    @property
    def measured(self) -> float:
        """How much longer B takes than A."""
        return self.median_b - self.median_a

    @property
    def side(self) -> int:
        """0 within the interval; 1 when B is slower than chance makes it, -1 when it is faster."""
        return (self.measured > self.high) - (self.measured < self.low)


def compare(
    a: Sequence[float], a_again: Sequence[float], b: Sequence[float], *, random: Random, draws: int = DRAWS
) -> Difference:
    """Compare as many tries of each arm, in microseconds."""
    both = [*a, *a_again]
    drawn = sorted(
        median(random.choices(both, k=len(a))) - median(random.choices(both, k=len(a))) for _ in range(draws)
    )
    cut = int(draws * _TAIL)
    return Difference(
        tries=len(a),
        median_a=median(a),
        median_a_again=median(a_again),
        median_b=median(b),
        low=drawn[cut],
        high=drawn[-cut - 1],
    )


def told_apart(rounds: Sequence[Difference]) -> bool:
    """Whether two rounds found B on the same side of the interval.

    One round alone finds a difference that is not there in 5 of 100 runs; two that agree, in fewer than 1 of 100.
    """
    sides = [each.side for each in rounds]
    return sides.count(1) > 1 or sides.count(-1) > 1


def undecided(rounds: Sequence[Difference]) -> bool:
    """Whether another round is needed: none so far, or one found a difference and no second one did."""
    return not rounds or (len(rounds) < MOST_ROUNDS and any(each.side for each in rounds) and not told_apart(rounds))
