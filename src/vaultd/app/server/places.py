"""The connections of one server: when there are too many, those go first that keep it waiting or have no request."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import MutableSet
from time import monotonic
from typing import Any, Protocol, TypeAlias

import structlog

from vaultd.app.server.limits import Limits

_TOLD_EVERY = 1.0
"""Seconds between two lines of the log about what happens to many connections."""
_YOUNG = 1.0
"""Seconds that a request has to come whole, as nearly all do, before its connection is given up ahead of idle ones."""


class Held(Protocol):
    """A connection that can be given up."""

    def unused_since(self) -> float | None:
        """Since when it has no request, as far as is known; None while one is worked on or waited for."""

    def give_up(self) -> None:
        """Close it at once, without an answer."""


Waiting: TypeAlias = OrderedDict[Held, float]
"""Connections, and since when each waits for the rest of a request. The oldest come first."""


class Places:
    """As many connections as `limits` allow. `heads` and `bodies` are those that have not sent all of theirs.

    A request that is here whole is never given up for a new connection.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.heads: Waiting = OrderedDict()
        self.bodies: Waiting = OrderedDict()
        self._most = limits.places()
        self._given_up = _Count()
        self._cut_off: dict[str, _Count] = {}

    def make_room(self, connections: MutableSet[Any], newcomer: Held, *, now: float) -> bool:
        """Give up one connection for `newcomer`, if there are too many. False when it is the one to go."""
        if len(connections) <= self._most:
            return True
        chosen = self._to_give_up(connections, newcomer, now)
        # At once, so that the next newcomer does not find it there.
        connections.discard(chosen)
        chosen.give_up()
        if times := self._given_up.add():
            _log().warning("too many connections", most=self._most, given_up=times)
        return chosen is not newcomer

    def tell_cut_off(self, reason: str) -> None:
        """Have the log say that a request was cut off. Reasons are few, and each is told for itself."""
        if times := self._cut_off.setdefault(reason, _Count()).add():
            _log().info("request cut off", reason=reason, times=times)

    def _to_give_up(self, connections: MutableSet[Any], newcomer: Held, now: float) -> Held:
        # Nobody can keep the others out by opening more: what has just been opened goes after what is idle.
        chosen = _oldest(self.heads, now - _YOUNG) or _oldest(self.bodies, now - _YOUNG)
        chosen = chosen or _idle_longest(connections, newcomer) or _oldest(self.heads, now) or _oldest(self.bodies, now)
        if chosen is None:
            return newcomer
        self.heads.pop(chosen, None)
        self.bodies.pop(chosen, None)
        return chosen


class _Count:
    """Counts what may happen often, to be told seldom."""

    def __init__(self) -> None:
        self._untold = 0
        self._told_at = -_TOLD_EVERY

    def add(self) -> int:
        """How often it has happened since it was told; 0 when that is not to be told yet."""
        self._untold += 1
        now = monotonic()
        if now - self._told_at < _TOLD_EVERY:
            return 0
        self._told_at, told, self._untold = now, self._untold, 0
        return told


def _oldest(waiting: Waiting, before: float) -> Held | None:
    held = next(iter(waiting), None)
    return held if held is not None and waiting[held] <= before else None


def _idle_longest(connections: MutableSet[Any], newcomer: Held) -> Held | None:
    unused: Held | None = None
    longest = float("inf")
    for held in connections:
        since = None if held is newcomer else held.unused_since()
        if since is not None and since < longest:
            unused, longest = held, since
    return unused


def _log() -> structlog.stdlib.BoundLogger:
    log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger("vaultd.server")
    return log
