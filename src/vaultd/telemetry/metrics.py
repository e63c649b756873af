"""Metrics in plain numbers: counting costs a fraction of a microsecond, and Prometheus' own words come in when asked.

Each process counts for itself and shows its own numbers; Prometheus adds them up. Labels come from closed sets, and a
tally is bounded all the same: what goes beyond is counted together.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

MOST_SERIES = 1_000
OTHER = "other"
Labels = tuple[str, ...]


class Tally:
    """A counter with labels."""

    def __init__(self, name: str, about: str, labels: Sequence[str]) -> None:
        self._name = name
        self._about = about
        self._labels = labels
        self._counts: dict[Labels, int] = {}

    def add(self, labels: Labels, by: int = 1) -> None:
        """Count; one value for each label, as plain strings: an enum's hash costs more than all the rest."""
        counts = self._counts
        seen = counts.get(labels)
        if seen is None and len(counts) >= MOST_SERIES:
            labels = (OTHER,) * len(labels)
            seen = counts.get(labels)
        counts[labels] = by if seen is None else seen + by

    def count(self, *labels: str) -> int:
        """How often that was counted."""
        return self._counts.get(labels, 0)

    def collect(self) -> Iterable[Metric]:
        """As Prometheus has it. Another thread may ask: a copy of a dictionary is made in one go."""
        family = CounterMetricFamily(self._name, self._about, labels=self._labels)
        for labels, count in self._counts.copy().items():
            family.add_metric(labels, count)
        yield family


class Spread:
    """A histogram with at most one label. `bounds` are the buckets' upper ends."""

    def __init__(self, name: str, about: str, bounds: Sequence[float], label: str | None = None) -> None:
        self._name = name
        self._about = about
        self._bounds = tuple(bounds)
        self._label = label
        self._series: dict[str, tuple[list[int], list[float]]] = {}

    def add(self, value: float, label: str = "") -> None:
        """Count one value."""
        series = self._series.get(label)
        if series is None:
            series = self._series[label] = [0] * (len(self._bounds) + 1), [0.0]
        buckets, total = series
        buckets[bisect_left(self._bounds, value)] += 1
        total[0] += value

    def collect(self) -> Iterable[Metric]:
        """As Prometheus has it."""
        family = HistogramMetricFamily(self._name, self._about, labels=[self._label] if self._label else [])
        for label, (buckets, total) in self._series.copy().items():
            ends = [*(str(float(bound)) for bound in self._bounds), "+Inf"]
            below, cumulated = 0, []
            for end, count in zip(ends, buckets.copy(), strict=True):
                below += count
                cumulated.append((end, below))
            family.add_metric([label] if self._label else [], cumulated, total[0])
        yield family


class Reading:
    """A gauge that is read when it is asked for. `read` gives a value for each set of labels."""

    def __init__(
        self, name: str, about: str, labels: Sequence[str], read: Callable[[], Mapping[Labels, float]]
    ) -> None:
        self._name = name
        self._about = about
        self._labels = labels
        self._read = read

    def collect(self) -> Iterable[Metric]:
        """As Prometheus has it."""
        family = GaugeMetricFamily(self._name, self._about, labels=self._labels)
        for labels, value in self._read().items():
            family.add_metric(labels, value)
        yield family


class Exhibit(Collector):
    """What `/metrics` shows of a process."""

    def __init__(self) -> None:
        self._parts: list[Tally | Spread | Reading] = []

    def show(self, part: Tally | Spread | Reading) -> None:
        """Add a part."""
        self._parts.append(part)

    def collect(self) -> Iterable[Metric]:
        """Everything, in the order in which it was added."""
        for part in self._parts:
            yield from part.collect()
