"""The connections of one server: when there are too many, those that have asked for nothing yet go first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import MutableSet
from time import monotonic
from typing import Any, Protocol, TypeAlias

import structlog

from vaultd.app.server.limits import Limits

_TOLD_EVERY = 1.0
"""Seconds between two lines of the log about connections that were given up."""


class Held(Protocol):
    """A connection that can be given up."""

    def unused_since(self) -> float | None:
        """Since when it has no request that is worked on, as far as is known; None while it has one."""

    def give_up(self) -> None:
        """Close it at once, without an answer."""


Waiting: TypeAlias = OrderedDict[Held, None]


class Places:
    """As many connections as `limits` allow. `heads` and `bodies` are those that have not sent all of theirs.

    The oldest of them come first. A request that is here whole is never given up for a new connection.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.heads: Waiting = OrderedDict()
        self.bodies: Waiting = OrderedDict()
        self._most = limits.places()
        self._given_up = 0
        self._told_at = -_TOLD_EVERY

    def make_room(self, connections: MutableSet[Any], newcomer: Held) -> bool:
        """Give up one connection for `newcomer`, if there are too many. False when it is the one to go."""
        if len(connections) <= self._most:
            return True
        victim = self._least_wanted(connections, newcomer)
        # At once, so that the next newcomer does not find it there.
        connections.discard(victim)
        victim.give_up()
        self._tell()
        return victim is not newcomer

    def _least_wanted(self, connections: MutableSet[Any], newcomer: Held) -> Held:
        for waiting in (self.heads, self.bodies):
            if waiting:
                return waiting.popitem(last=False)[0]
        unused: Held | None = None
        longest = float("inf")
        for held in connections:
            since = None if held is newcomer else held.unused_since()
            if since is not None and since < longest:
                unused, longest = held, since
        return unused or newcomer

    def _tell(self) -> None:
        self._given_up += 1
        now = monotonic()
        if now - self._told_at >= _TOLD_EVERY:
            log = structlog.stdlib.get_logger("vaultd.server")
            log.warning("too many connections", most=self._most, given_up=self._given_up)
            self._told_at, self._given_up = now, 0
