"""Refusals before a client is authenticated, and rate-limit refusals, counted together (security A11).

The first of a kind is written at once; the others of the same minute become one event with a `count`, written when
the minute is over. A flood of forged requests so costs the log one event a minute and kind. Whoever invents client
ids, or has many addresses, invents kinds; above so many new ones in a minute they are counted without either.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

from vaultd.audit.events import Draft, rfc3339
from vaultd.audit.log import AuditLog
from vaultd.errors import TemporarilyUnavailable
from vaultd.terms import Clock

CAPACITY = 10_000
KINDS = 1_000
"""New ones in a minute."""
_LONGEST_SCOPES = 1024
"""Characters of what was asked for that are kept, as long as it may be anybody who asks."""
_ANYWHERE = "*"
EVERY = 15
"""Seconds between two looks for minutes that are over."""
_Kind = tuple[str, str | None, str | None, str | None, str]


@dataclass(slots=True)
class _Window:
    minute: datetime
    draft: Draft
    more: int = 0


class Refusals:
    """Counts refusals that anyone can cause. Bounded: the kind counted longest is written first."""

    def __init__(self, *, log: AuditLog, clock: Clock, capacity: int = CAPACITY, kinds: int = KINDS) -> None:
        self._log = log
        self._clock = clock
        self._capacity = capacity
        self._kinds = kinds
        self._windows: OrderedDict[_Kind, _Window] = OrderedDict()
        self._minute: datetime | None = None
        self._new = 0

    async def record(self, draft: Draft, *, address_prefix: str) -> None:
        """Write the first refusal of a kind in this minute, count the others."""
        minute = self._clock().replace(second=0, microsecond=0)
        kind = (draft.type, draft.reason, draft.client_id, draft.connection, address_prefix)
        window = self._windows.get(kind)
        if (window is None or window.minute != minute) and self._too_many(minute):
            draft = replace(draft, client_id=None, ip=None)
            kind = (draft.type, draft.reason, None, draft.connection, _ANYWHERE)
            window = self._windows.get(kind)
        if window is not None and window.minute == minute:
            window.more += 1
            return
        draft = _without_long_scopes(draft)
        first = self._windows[kind] = _Window(minute, draft)
        self._windows.move_to_end(kind)
        overdue = [window] if window is not None else []
        if len(self._windows) > self._capacity:
            overdue.append(self._windows.popitem(last=False)[1])
        try:
            await self._log.record(draft, *_counted(overdue))
        except TemporarilyUnavailable:
            # What could not be written at once is counted, and written with the others.
            first.more += 1 + (window.more if window is not None else 0)
            raise

    def _too_many(self, minute: datetime) -> bool:
        if self._minute != minute:
            self._minute, self._new = minute, 0
        self._new += 1
        return self._new > self._kinds

    async def run(self) -> None:
        """Write the counts of past minutes for as long as the process serves."""
        while True:
            await asyncio.sleep(EVERY)
            with suppress(TemporarilyUnavailable):
                await self.flush()

    async def flush_everything(self) -> None:
        """At the end of the process, write this minute's counts as well."""
        await self.flush(everything=True)

    async def flush(self, *, everything: bool = False) -> None:
        """Write what the past minutes counted."""
        minute = self._clock().replace(second=0, microsecond=0)
        over = [kind for kind, window in self._windows.items() if everything or window.minute < minute]
        counted = _counted([self._windows[kind] for kind in over])
        if counted:
            await self._log.record(*counted)
        for kind in over:
            self._windows.pop(kind, None)


def _without_long_scopes(draft: Draft) -> Draft:
    asked = draft.requested_scopes
    return draft if not asked or len(str(asked)) <= _LONGEST_SCOPES else replace(draft, requested_scopes=None)


def _counted(windows: list[_Window]) -> list[Draft]:
    return [
        replace(window.draft, count=window.more, window=rfc3339(window.minute), request_id=None)
        for window in windows
        if window.more
    ]
