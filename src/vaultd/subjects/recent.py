"""What was found out about tokens a while ago, so that one presented again need not be verified again."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, TypeVar

T = TypeVar("T")

KEEP = timedelta(seconds=60)
CAPACITY = 10_000


@dataclass(frozen=True, slots=True)
class _Entry(Generic[T]):
    value: T
    until: datetime
    version: int


class Recent(Generic[T]):
    """Keeps at most `capacity` values, each until its own end but never longer than `keep`; the oldest goes first.

    The key is a digest: the token itself is never kept.
    """

    def __init__(self, *, capacity: int = CAPACITY, keep: timedelta = KEEP) -> None:
        self._capacity = capacity
        self._keep = keep
        self._entries: OrderedDict[tuple[bytes, str], _Entry[T]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: tuple[bytes, str], *, now: datetime) -> tuple[T, int] | None:
        """The value and the version of the keys it was verified under, while it lasts."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if now >= entry.until:
            del self._entries[key]
            return None
        return entry.value, entry.version

    def put(self, key: tuple[bytes, str], value: T, *, version: int, now: datetime, expires_at: datetime) -> None:
        """Keep a value; one that has ended already is not kept."""
        until = min(expires_at, now + self._keep)
        if until <= now:
            return
        self._entries[key] = _Entry(value, until, version)
        self._entries.move_to_end(key)
        if len(self._entries) > self._capacity:
            self._entries.popitem(last=False)

    def drop(self, key: tuple[bytes, str]) -> None:
        """Forget a value, if it is here."""
        self._entries.pop(key, None)
