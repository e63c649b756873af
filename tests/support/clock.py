"""A clock that moves when told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


class HandClock:
    """Starts at the present moment, since partitions are made around it, with microseconds as PostgreSQL keeps them."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **by: float) -> None:
        """Move by a `timedelta`'s arguments."""
        self.now += timedelta(**by)
