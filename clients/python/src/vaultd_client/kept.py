"""What a client remembers, in memory only and bounded: tokens, and which accounts a user has connected."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from vaultd_client.values import AccessToken, Account

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """How tokens are kept: at most `size` of them (0: none), the least recently used go first.

    Each until `margin` seconds before its end, or a tenth of its life if that is less; never beyond the end of the
    session token it was got with; and at most `longest` seconds, where that is set. What is handed out from here
    leaves no audit event: `longest` bounds for how long.
    """

    size: int = 1024
    margin: float = 30.0
    longest: float | None = None

    def until(self, token: AccessToken, *, now: datetime, subject_end: datetime | None) -> datetime:
        """The moment from which the token is asked for anew."""
        life = token.expires_at - now
        ends = [token.expires_at - min(timedelta(seconds=self.margin), life / 10)]
        if self.longest is not None:
            ends.append(now + timedelta(seconds=self.longest))
        if subject_end is not None:
            # Who comes with a session token that has ended gets what the vault would give them: nothing.
            ends.append(subject_end)
        return min(ends)


@dataclass(slots=True)
class _Entry(Generic[T]):
    value: T
    until: datetime | None


class Bounded(Generic[T]):
    """At most `size` values, each until its moment. Threads may share it."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._entries: OrderedDict[bytes, _Entry[T]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: bytes, *, now: datetime) -> T | None:
        """The value, unless its time is over."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            if entry.until is not None and entry.until <= now:
                del self._entries[key]
                return None
            self._entries.move_to_end(key)
            return entry.value

    def put(self, key: bytes, value: T, *, until: datetime | None) -> None:
        """Keep it; the one that was used longest ago makes room."""
        with self._lock:
            self._entries[key] = _Entry(value, until)
            self._entries.move_to_end(key)
            while len(self._entries) > self._size:
                self._entries.popitem(last=False)

    def change(self, key: bytes, change: Callable[[T], T | None]) -> None:
        """Replace the value by what `change` makes of it, or drop it for None."""
        with self._lock:
            entry = self._entries.get(key)
            changed = change(entry.value) if entry else None
            if entry and changed is not None:
                entry.value = changed
            else:
                self._entries.pop(key, None)


@dataclass(frozen=True, slots=True)
class Listing:
    """A user's accounts as last seen; with an `etag` if they came in one piece, and `stale` once in doubt."""

    accounts: tuple[Account, ...]
    etag: str | None
    stale: bool = False

    def shows(self, connection: str) -> bool:
        """Whether an account is connected there."""
        return any(each.connection == connection and each.status == "connected" for each in self.accounts)

    def doubted(self) -> Listing:
        """The same, to be looked at again before it is believed."""
        return replace(self, stale=True)
