"""When a provider's host is left alone for a while (security C3, C4).

Only what says that the provider is down counts: no connection, no answer in time, a 5xx, a 429. A refusal is about one
grant or about the app, and is nothing that others should wait for (`patience`). What is left alone is the host that was
called: names that share it fare alike, and of a provider with a host for each customer only the one that is down.

It is left alone when it asks for it (`Retry-After`), or after several failures in a row, each pause up to twice as long
as the one before, with jitter. When a pause is over, one call goes out to see; the others wait for what it brings.

Each process learns for itself: N processes make N such calls and no more. What is remembered is one state for each
host that failed, up to `MOST_HOSTS`.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from vaultd.errors import ProviderRefused, ProviderUnavailable, TemporarilyUnavailable
from vaultd.providers.templates import gaps
from vaultd.terms import Clock

FAILURES = 3
"""In a row, before a provider that names no time is left alone: one lost answer must not cost all users a second."""
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0
"""Seconds, where the provider names no time."""
LONGEST_ASKED = 3600.0
"""Seconds for which a provider's own `Retry-After` is taken at its word; after that it is asked again."""
PROBE_LASTS = 2
"""Seconds after which who meets a first call on its way should come again."""
MOST_HOSTS = 10_000
"""The host that has failed for the longest is forgotten first."""


def host_of(url: str) -> str:
    """The host, and port, of a provider's address. With a gap in it, `*` and what all hosts it may be end with."""
    host = urlsplit(url).netloc.lower()
    return f"*{host.rpartition('}')[2]}" if gaps(host) else host


@dataclass(slots=True)
class _State:
    failures: int = 0
    pauses: int = 0
    since: datetime | None = None
    lasts: float = 0.0
    probing: bool = False


class Breaker:
    """One circuit for each host. `chance` gives a number from 0 up to 1, for the jitter."""

    def __init__(self, *, clock: Clock, chance: Callable[[], float] = random.random) -> None:
        self._clock = clock
        self._chance = chance
        self._states: dict[str, _State] = {}

    def check(self, host: str) -> None:
        """Raise `TemporarilyUnavailable`, with a true `retry_after`, while no call may go to this provider."""
        state = self._states.get(host)
        if state is None or state.since is None:
            return
        left = self._left(state)
        if left > 0:
            raise _paused(math.ceil(left))
        if state.probing:
            raise _paused(PROBE_LASTS)

    @contextmanager
    def calling(self, host: str) -> Iterator[None]:
        """Around one call to the provider; what the block raises tells how it went.

        Raises:
            TemporarilyUnavailable: as `check` does; the call is not to be made.
        """
        self.check(host)
        state = self._states.get(host) or _State()
        probes = state.since is not None
        state.probing = state.probing or probes
        try:
            yield
        except ProviderUnavailable as error:
            if error.outage:
                self._failed(host, error.retry_after)
            elif error.status is not None and error.retry_after is None:
                # An answer all the same, if one of no use: the host is there.
                self._states.pop(host, None)
            raise
        except ProviderRefused:
            # It answers, if only with a no to this one grant.
            self._states.pop(host, None)
            raise
        else:
            self._states.pop(host, None)
        finally:
            if probes:
                state.probing = False

    def retry_after(self, host: str) -> int:
        """Whole seconds until another call may go out; one where none has to wait."""
        state = self._states.get(host)
        return max(1, math.ceil(self._left(state))) if state is not None else 1

    def places(self, host: str, most: int) -> int:
        """How many of `most` calls may go out now: all, none, or the one that looks whether the provider is back."""
        try:
            self.check(host)
        except TemporarilyUnavailable:
            return 0
        return min(1, most) if self.is_open(host) else most

    def is_open(self, host: str) -> bool:
        """Whether the host has failed and not been seen well since; of `*` and an ending, any host with that ending."""
        if host.startswith("*"):
            return any(state.since is not None for name, state in self._states.items() if name.endswith(host[1:]))
        state = self._states.get(host)
        return state is not None and state.since is not None

    def _failed(self, host: str, asked: int | None) -> None:
        # Not the state that the call began with: another call may have gone well meanwhile.
        state = self._states.setdefault(host, _State())
        if len(self._states) > MOST_HOSTS:
            self._states.pop(next(iter(self._states)))
        left = self._left(state)
        if left > 0:
            # One of the calls that were on their way when the first of them failed: the pause is known already.
            if asked is not None and asked > left:
                self._pause(state, min(asked, LONGEST_ASKED))
            return
        state.failures += 1
        if asked:
            self._pause(state, min(asked, LONGEST_ASKED))
        elif state.failures >= FAILURES:
            wait = min(FIRST_PAUSE * 2**state.pauses, LONGEST_PAUSE)
            state.pauses = min(state.pauses + 1, 16)
            # Jitter, so that a provider that comes back is not asked by every process at once.
            self._pause(state, wait * (0.5 + self._chance() / 2))

    def _pause(self, state: _State, seconds: float) -> None:
        state.since, state.lasts = self._clock(), seconds

    def _left(self, state: _State) -> float:
        if state.since is None:
            return 0.0
        passed = (self._clock() - state.since).total_seconds()
        # A clock that was set back ends the pause: that costs one call, and the other way might cost hours.
        return state.lasts - passed if 0 <= passed < state.lasts else 0.0


def _paused(seconds: int) -> TemporarilyUnavailable:
    return TemporarilyUnavailable(retry_after=seconds, reason="provider_paused", detail="it failed a moment ago")
