"""What people who have proven nothing may have an issuer asked about.

Anyone can send any text as a bearer token, or as a subject token beside the name of a client that has no secret; where
the issuer is asked about its tokens, each such text would be a call with our credentials. So their calls have a budget,
for each address and in all. A token that the issuer calls active costs nothing of it, so that users are not held back
by how many they are; what they can have going on at one time is bounded by places of their own (`outbound`).

Whoever has many addresses can use up what all strangers have together. So a token that was active before is asked
about beside them, in a lane of its own: it is here only because the issuer said so, and goes once it says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from vaultd.errors import SlowDown, TemporarilyUnavailable
from vaultd.limits import Buckets, Rate, address_prefix
from vaultd.subjects.recent import Recent
from vaultd.terms import Clock

LANE = "strangers"
KNOWN = "users"
"""The lane of tokens that were active within the last hour."""
INACTIVE_FOR = timedelta(seconds=5)
ACTIVE_FOR = timedelta(hours=1)
EACH = Rate(per_second=5, burst=50)
TOTAL = Rate(per_second=50, burst=200)
_ALL = "*"
Token = tuple[bytes, str]
"""The digest of a token, and as what it is presented."""


@dataclass(frozen=True, slots=True)
class Stranger:
    """Who presents a token without a secret or a key of a client; of them, an address is known at most."""

    ip: str | None = None


NOBODY = Stranger()


class Strangers:
    """The budgets, and what was said of tokens a while ago. All in bounded memory, tokens by digests."""

    def __init__(self, *, clock: Clock, each: Rate = EACH, total: Rate = TOTAL) -> None:
        self._clock = clock
        self._asked = _Budget(clock=clock, each=each, total=total)
        self._failed = _Budget(clock=clock, each=each, total=total)
        self._total = total
        self._known = Buckets(clock=clock, capacity=1, reason="introspection_limit")
        self._inactive: Recent[None] = Recent(keep=INACTIVE_FOR)
        self._active: Recent[None] = Recent(keep=ACTIVE_FOR)

    def lane(self, token: Token) -> str:
        """Where it waits for its turn."""
        return KNOWN if self._active.get(token, now=self._clock()) is not None else LANE

    def take(self, stranger: Stranger, lane: str) -> None:
        """Count one call.

        Raises:
            SlowDown: there have been too many that came to nothing.
            TemporarilyUnavailable: there have been too many that were not answered.
        """
        if lane == KNOWN:
            self._known.take(_ALL, self._total)
            return
        try:
            self._failed.check(stranger)
        except SlowDown as error:
            detail = "strangers' calls have not been answered"
            raise TemporarilyUnavailable(
                retry_after=error.retry_after, reason="issuer_unreachable", detail=detail
            ) from None
        self._asked.take(stranger)

    def failed(self, stranger: Stranger, lane: str) -> None:
        """Count it as one that was not answered, which is not the stranger's fault."""
        self._give_back(stranger, lane)
        if lane != KNOWN:
            # Made-up tokens must not keep an issuer busy that is in trouble already.
            self._failed.spend(stranger)

    def answered(self, stranger: Stranger, lane: str, token: Token, *, active: bool) -> None:
        """Remember the answer: a good token costs nothing, and about another nobody is asked for some seconds."""
        if active:
            self._give_back(stranger, lane)
            self._remember(self._active, token, ACTIVE_FOR)
        else:
            self._active.drop(token)
            self._remember(self._inactive, token, INACTIVE_FOR)

    def was_inactive(self, token: Token) -> bool:
        """Whether the issuer said so within the last seconds."""
        return self._inactive.get(token, now=self._clock()) is not None

    def _give_back(self, stranger: Stranger, lane: str) -> None:
        if lane == KNOWN:
            self._known.give_back(_ALL, self._total)
        else:
            self._asked.give_back(stranger)

    def _remember(self, recent: Recent[None], token: Token, time: timedelta) -> None:
        now = self._clock()
        recent.put(token, None, version=0, now=now, expires_at=now + time)


class _Budget:
    """So many for each address, and so many in all."""

    def __init__(self, *, clock: Clock, each: Rate, total: Rate) -> None:
        self._each = each
        self._total = total
        self._addresses = Buckets(clock=clock, reason="introspection_limit")
        self._all = Buckets(clock=clock, capacity=1, reason="introspection_limit")

    def check(self, stranger: Stranger) -> None:
        """Raise `SlowDown` when nothing is left."""
        self._all.check(_ALL, self._total)
        self._addresses.check(address_prefix(stranger.ip), self._each)

    def take(self, stranger: Stranger) -> None:
        """Use one. Raises `SlowDown`."""
        self._all.check(_ALL, self._total)
        self._addresses.take(address_prefix(stranger.ip), self._each)
        self._all.take(_ALL, self._total)

    def spend(self, stranger: Stranger) -> None:
        """Use one that has been had already."""
        self._addresses.spend(address_prefix(stranger.ip), self._each)
        self._all.spend(_ALL, self._total)

    def give_back(self, stranger: Stranger) -> None:
        """Make up for one."""
        self._addresses.give_back(address_prefix(stranger.ip), self._each)
        self._all.give_back(_ALL, self._total)
