"""The statistic of security A8: it sees what is there, and seldom what is not."""

from __future__ import annotations

from random import Random

import pytest

from bench.difference import MOST_ROUNDS, Difference, compare, told_apart, undecided

TRIES = 400


def _times(random: Random, slower: float = 0.0) -> list[float]:
    """Like those of requests: most around 800 µs, some far above."""
    return [700 + random.lognormvariate(4.6, 0.6) + slower for _ in range(TRIES)]


def _arms(random: Random, slower: float = 0.0) -> tuple[list[float], list[float], list[float]]:
    return _times(random), _times(random), _times(random, slower)


def _round(side: int) -> Difference:
    return Difference(tries=1, median_a=0, median_a_again=0, median_b=10.0 * side, low=-5, high=5)


@pytest.fixture
def random() -> Random:
    return Random(8)  # noqa: S311 - figures to judge, the same in every run


def test_arms_alike_seldom_fall_outside(random: Random) -> None:
    sides = [compare(*_arms(random), random=random, draws=80).side for _ in range(100)]
    # 5 of 100 are due to chance; 15 would be a mistake of ours.
    assert sides.count(0) > 85


@pytest.mark.parametrize(("slower", "side"), [(40, 1), (-40, -1)])
def test_a_difference_of_a_few_percent_is_found(random: Random, slower: float, side: int) -> None:
    found = compare(*_arms(random, slower), random=random)
    assert found.side == side
    assert found.measured == pytest.approx(slower, abs=25)


def test_one_round_outside_is_not_believed_and_not_forgotten() -> None:
    assert undecided([])
    assert not undecided([_round(0)])
    assert undecided([_round(1)])
    assert undecided([_round(1), _round(0)])
    assert not undecided([_round(1), _round(0), _round(0)])
    assert not told_apart([_round(1), _round(0), _round(-1)])


@pytest.mark.parametrize("side", [1, -1])
def test_two_rounds_on_one_side_are(side: int) -> None:
    for rounds in ([_round(side), _round(side)], [_round(side), _round(0), _round(side)]):
        assert told_apart(rounds)
        assert not undecided(rounds)
        assert len(rounds) <= MOST_ROUNDS
