"""What ends a run of the benchmark."""

from __future__ import annotations


class BenchError(Exception):
    """The measurement cannot be made, or would not mean anything; the words say why."""
