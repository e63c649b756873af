"""Refusals before a client is authenticated, and rate-limit refusals, counted together (security A11).

The first of a kind is written at once; the others of the same minute become one event with a `count`, written when
the minute is over. A flood of forged requests so costs the log one event a minute and kind.

What a caller may invent must therefore never be part of a kind: a reason is of a closed set, a client and a connection
are configured ones. Addresses are the only thing that somebody can have many of; when there are too many, those that
come new are counted as one.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime

from vaultd.audit.events import Draft, rfc3339
from vaultd.audit.log import AuditLog
from vaultd.errors import TemporarilyUnavailable
from vaultd.terms import Clock

CAPACITY = 1_000
"""Kinds that are told apart by address; so many events a minute a flood from everywhere costs."""
EVERY = 15
"""Seconds between two looks for minutes that are over."""
_ANYWHERE = ""
_Kind = tuple[str, str, str | None, str | None, str]
_Told = tuple[str | None, str | None, str | None]
_Counts = dict[_Told, tuple[Draft, int]]


@dataclass(slots=True)
class _Window:
    """One minute of one kind, and what came after the first of it."""

    minute: datetime
    counts: _Counts = field(default_factory=dict)

    def add(self, draft: Draft, times: int = 1) -> None:
        told = (draft.reason, draft.client_id, draft.connection)
        first, so_far = self.counts.get(told, (draft, 0))
        self.counts[told] = (first, so_far + times)

    def add_all(self, counts: _Counts) -> None:
        for draft, times in counts.values():
            self.add(draft, times)

    def events(self) -> list[Draft]:
        return [
            Draft(
                type=draft.type,
                decision=draft.decision,
                reason=draft.reason,
                client_id=draft.client_id,
                connection=draft.connection,
                ip=draft.ip,
                count=times,
                window=rfc3339(self.minute),
            )
            for draft, times in self.counts.values()
        ]


class Refusals:
    """Counts refusals that anyone can cause, in bounded memory."""

    def __init__(self, *, log: AuditLog, clock: Clock, capacity: int = CAPACITY) -> None:
        self._log = log
        self._clock = clock
        self._capacity = capacity
        self._windows: dict[_Kind, _Window] = {}

    async def record(self, draft: Draft, *, address_prefix: str, answer: str | None = None) -> None:
        """Write the first refusal of a kind in this minute, count the others.

        Writing takes time, which a caller can measure. Where the reason is a secret, `answer` is what the caller is
        told instead: it alone decides what is written at once, and the reasons are counted each for itself (A8).

        Raises:
            TemporarilyUnavailable: it could not be written. It is counted, and written with the others.
        """
        minute = self._minute()
        if answer is None:
            kind = (draft.type, draft.reason or "", draft.client_id, draft.connection, address_prefix)
        else:
            kind = (draft.type, answer, None, None, address_prefix)
        if kind not in self._windows and len(self._windows) >= self._capacity:
            # Nothing makes way: what did could be driven out and come back as a first one again and again.
            kind, draft = (*kind[:-1], _ANYWHERE), replace(draft, ip=None)
        before = self._windows.get(kind)
        if before is not None and before.minute == minute:
            before.add(draft)
            return
        now = self._windows[kind] = _Window(minute)
        try:
            await self._log.record(draft, *(before.events() if before else ()))
        except BaseException:
            now.add(draft)
            now.add_all(before.counts if before else {})
            raise

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
        minute = self._minute()
        over = {kind: window for kind, window in self._windows.items() if everything or window.minute < minute}
        events = [event for window in over.values() for event in window.events()]
        # Taken out first: a kind that comes again while this is written begins a window of its own, and neither
        # writes these counts a second time nor loses its own.
        taken = {kind: window.counts for kind, window in over.items()}
        for window in over.values():
            window.counts = {}
        try:
            if events:
                await self._log.record(*events)
        except BaseException:
            for kind, counts in taken.items():
                self._windows.setdefault(kind, over[kind]).add_all(counts)
            raise
        for kind, window in over.items():
            if self._windows.get(kind) is window and not window.counts:
                del self._windows[kind]

    def _minute(self) -> datetime:
        return self._clock().replace(second=0, microsecond=0)
