"""How long a grant that its provider refuses is asked about again, and when that is enough (security C3).

An answer about one grant counts for that grant alone: it is left alone for a while, and no other grant waits for it. A
refusal whose meaning nobody knows is not final by itself. It becomes final when it keeps coming while other grants of
that provider are served: then neither the app nor the provider can be the reason.

Each process learns for itself, in memory: one that has just started takes that much longer to be sure. What is ended by
mistake keeps its tokens for a while (`connections.kept`).
"""

from __future__ import annotations

import math
import random
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from vaultd.connections.table import ConnectionRow
from vaultd.errors import TemporarilyUnavailable
from vaultd.terms import Clock

AT_ONCE = 3
"""Refusals in a row before a grant is left alone for a while."""
LONGEST_PAUSE = 16.0
"""Seconds; the first pause is one second, each one after it twice as long. `Retry-After` counts for longer."""
LONGEST_ASKED = 3600.0
ENOUGH = 5
"""Unknown refusals in a row, at least, before a grant is given up."""
LONG_ENOUGH = timedelta(seconds=30)
"""Time since the first of them, at least."""
MOST = 10_000
"""Grants that are remembered; the one whose last refusal is the oldest is forgotten first."""


@dataclass(slots=True)
class _State:
    generation: int
    revision: int
    times: int = 0
    until: datetime | None = None
    unknown: int = 0
    """How many of them in a row nobody knows the meaning of, and `since` when."""
    since: datetime | None = None
    in_part: int = 0
    """How many refusals in a row were of a token for fewer scopes, in words whose meaning nobody knows."""


class Patience:
    """What one process knows of grants that were refused lately."""

    def __init__(self, *, clock: Clock, chance: Callable[[], float] = random.random) -> None:
        self._clock = clock
        self._chance = chance
        self._states: OrderedDict[UUID, _State] = OrderedDict()
        self._served: dict[str, datetime] = {}

    def check(self, row: ConnectionRow) -> None:
        """Raise `TemporarilyUnavailable`, with a true `retry_after`, while this grant is left alone."""
        state, now = self._of(row), self._clock()
        if state is None or state.until is None:
            return
        left = (state.until - now).total_seconds()
        # A clock that was set back ends the pause: that costs one call, and the other way might cost hours.
        if 0 < left <= LONGEST_ASKED:
            raise TemporarilyUnavailable(retry_after=math.ceil(left), reason="refused_lately")

    def refused(self, row: ConnectionRow, *, unknown: bool = False, retry_after: int | None = None) -> None:
        """Note that the provider did not renew this grant; with `unknown`, in words whose meaning nobody knows."""
        now, state = self._clock(), self._remembered(row)
        state.times += 1
        # A word that is known ends the run: it explains itself.
        state.unknown = state.unknown + 1 if unknown else 0
        state.since = now if state.unknown == 1 else state.since
        pause = min(2.0 ** min(state.times - AT_ONCE, 16), LONGEST_PAUSE) if state.times >= AT_ONCE else 0.0
        # Jitter, so that grants that were refused together do not come back together.
        pause = max(pause * (0.5 + self._chance() / 2), min(retry_after or 0, LONGEST_ASKED))
        state.until = now + timedelta(seconds=pause) if pause else None

    def refused_in_part(self, row: ConnectionRow) -> None:
        """Note that the provider gave no token for fewer scopes, in words whose meaning nobody knows."""
        state = self._remembered(row)
        state.in_part += 1

    def follow(self, row: ConnectionRow) -> None:
        """Note that this row is at its next revision, and was not renewed by it."""
        state = self._of(row)
        if state is not None:
            state.revision += 1

    def is_doubtful(self, row: ConnectionRow) -> bool:
        """Whether that may be because the whole grant is over, which asking for all of it would tell."""
        state = self._of(row)
        return state is not None and state.in_part >= ENOUGH

    def is_enough(self, row: ConnectionRow) -> bool:
        """Whether this grant has been refused for so long, while others were served, that it is over."""
        state = self._of(row)
        if state is None or state.since is None or state.unknown < ENOUGH:
            return False
        # A success of its own would have ended the run, so this was another's.
        served = self._served.get(row.provider)
        return self._clock() - state.since >= LONG_ENOUGH and served is not None and served > state.since

    def served(self, row: ConnectionRow) -> None:
        """Note that the provider renewed this grant."""
        self._states.pop(row.id, None)
        self._served[row.provider] = self._clock()

    def _remembered(self, row: ConnectionRow) -> _State:
        state = self._of(row) or _State(row.generation, row.revision)
        self._states[row.id] = state
        self._states.move_to_end(row.id)
        if len(self._states) > MOST:
            self._states.popitem(last=False)
        return state

    def _of(self, row: ConnectionRow) -> _State | None:
        state = self._states.get(row.id)
        if state is None or (state.generation, state.revision) != (row.generation, row.revision):
            # Connected anew, or renewed by another process.
            return None
        return state
