"""The shape of a small chart of uses a day: bars on a grid of whole numbers, for an inline SVG without styles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

HEIGHT = 36
_STEP, _BAR = 8, 6
_LEAST = 3
"""A day with a single use is seen beside one with thousands."""
_FULL = 5
"""A day with a single use is no peak either."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One day: `x`, `y` and `height` within the chart; a day without a use is a mark on the base line."""

    day: date
    count: int
    x: int
    y: int
    height: int


@dataclass(frozen=True, slots=True)
class Chart:
    """A window of days. `most` are the uses of its busiest day."""

    bars: tuple[Bar, ...]
    total: int
    most: int

    width = property(lambda self: len(self.bars) * _STEP)
    height = HEIGHT
    bar = _BAR

    @property
    def used_days(self) -> list[Bar]:
        """Those with uses, newest first."""
        return [bar for bar in reversed(self.bars) if bar.count]


def chart_of(counts: Mapping[date, int], *, today: date, days: int) -> Chart:
    """The chart of the `days` that end today."""
    window = [today - timedelta(days=back) for back in reversed(range(days))]
    most = max((counts.get(day, 0) for day in window), default=0)
    bars = []
    for at, day in enumerate(window):
        count = counts.get(day, 0)
        height = max(_LEAST, round(HEIGHT * count / max(most, _FULL))) if count else 1
        bars.append(Bar(day, count, at * _STEP, HEIGHT - height, height))
    return Chart(tuple(bars), sum(bar.count for bar in bars), most)
