"""What people who have proven nothing may have an issuer asked about.

Anyone can send any text as a bearer token, or as a subject token beside the name of a client that has no secret; where
the issuer is asked about its tokens, each such text would be a call with our credentials. So their calls have a budget,
for each address and in all. A token that the issuer calls active costs nothing of it, so that users are not held back
by how many they are; what they can have going on at one time is bounded by places of their own (`outbound`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from vaultd.limits import Buckets, Rate, address_prefix
from vaultd.subjects.recent import Recent
from vaultd.terms import Clock

LANE = "strangers"
INACTIVE_FOR = timedelta(seconds=5)
EACH = Rate(per_second=5, burst=50)
TOTAL = Rate(per_second=50, burst=200)
_ALL = "*"


@dataclass(frozen=True, slots=True)
class Stranger:
    """Who presents a token without a secret or a key of a client; of them, an address is known at most."""

    ip: str | None = None


NOBODY = Stranger()


class Strangers:
    """The budget, and the tokens that were not active a moment ago. Both in bounded memory, by digests."""

    def __init__(self, *, clock: Clock, each: Rate = EACH, total: Rate = TOTAL) -> None:
        self._clock = clock
        self._each = each
        self._total = total
        self._addresses = Buckets(clock=clock, reason="introspection_limit")
        self._all = Buckets(clock=clock, capacity=1, reason="introspection_limit")
        self._inactive: Recent[None] = Recent()

    def take(self, stranger: Stranger) -> None:
        """Count one call. Raises `SlowDown`."""
        self._all.check(_ALL, self._total)
        self._addresses.take(address_prefix(stranger.ip), self._each)
        self._all.take(_ALL, self._total)

    def give_back(self, stranger: Stranger) -> None:
        """Count it no longer: the token was good."""
        self._addresses.give_back(address_prefix(stranger.ip), self._each)
        self._all.give_back(_ALL, self._total)

    def was_inactive(self, digest: bytes, kind: str) -> bool:
        """Whether the issuer said so within the last seconds."""
        return self._inactive.get((digest, kind), now=self._clock()) is not None

    def remember_inactive(self, digest: bytes, kind: str) -> None:
        """Ask nobody again for some seconds."""
        now = self._clock()
        self._inactive.put((digest, kind), None, version=0, now=now, expires_at=now + INACTIVE_FOR)
