"""What a campaign found, as a line to read and as JSON."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Found:
    """The figures of a run, and the bounds that they break."""

    name: str
    figures: Mapping[str, object]
    broken: Sequence[str] = field(default_factory=tuple)

    def line(self) -> str:
        """One line for people."""
        shown = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in self.figures.items())
        return f"{self.name}: {shown}: {'; '.join(self.broken) or 'all bounds hold'}"

    def tell(self) -> int:
        """Print both; gives the exit status."""
        print(self.line())  # noqa: T201 - a command's answer
        document = {"campaign": self.name, "figures": dict(self.figures), "broken": list(self.broken)}
        print(json.dumps(document))  # noqa: T201 - the same
        return 1 if self.broken else 0


def p99(samples: Sequence[float]) -> float:
    """The value that one in a hundred exceeds."""
    return statistics.quantiles(samples, n=100, method="inclusive")[-1]


def milliseconds(seconds: float) -> float:
    """For a figure."""
    return round(seconds * 1000, 2)
