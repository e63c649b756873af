"""Token buckets in bounded memory (security A10): how often a client may call, and how often one may guess.

A bucket holds up to `burst` calls and refills by `per_second`. Only the buckets used last are kept: a bucket
left alone long enough is full, and a full bucket is the same as none, so that little is lost by forgetting it.

What is lost can be stolen by whoever makes keys at will: as many fresh keys as there is room for push out a bucket
that is not full yet, and it comes back full. So each use has its own `Buckets`, and what keys there can be decides:

- Clients: one key for each client of the configuration, so that none is ever pushed out.
- Client and subject: a key is made for a subject that is verified, never for what a token merely claims. Pushing one
  bucket out takes as many real users of the same issuers, each with a token of their own and all within the time in
  which that bucket would have refilled; whoever has those has no need of one more call for one of them. A client that
  may assert subjects names whom it likes; what holds that one back is its limit in all.
- Failures: strangers make these keys, by inventing client ids. What they win is guesses at secrets of 256 bits.
"""

from __future__ import annotations

import hashlib
import ipaddress
import math
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from vaultd.errors import SlowDown
from vaultd.terms import Clock, system_clock

CAPACITY = 10_000
LONGEST_ADDRESS = 64
"""An IPv6 address with a zone has less; longer texts are no addresses."""
_LONGEST_KEY = 64
_MAX_RETRY_AFTER = 3600
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Rate:
    """`per_second` calls on average, and `burst` at once. Both are above zero."""

    per_second: float
    burst: int

    def __post_init__(self) -> None:
        if not (0 < self.per_second < math.inf and self.burst >= 1):
            raise ValueError("a rate needs per_second above 0 and burst of at least 1")


@dataclass(slots=True)
class _Bucket:
    left: float
    at: datetime


class Buckets:
    """One bucket for each key, `capacity` of them at most. `reason` is what a refusal's event says."""

    def __init__(self, *, clock: Clock, capacity: int = CAPACITY, reason: str | None = None) -> None:
        self._clock = clock
        self._capacity = capacity
        self._reason = reason
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, key: str, rate: Rate) -> None:
        """Use one call of this key's. Raises `SlowDown` when none is left; a refused call uses nothing."""
        bucket = self._filled(key, rate)
        self._check_left(bucket, rate)
        bucket.left = max(0.0, bucket.left - 1)

    def check(self, key: str, rate: Rate) -> None:
        """Raise `SlowDown` when no call is left for this key; use nothing."""
        if _short(key) in self._buckets:
            self._check_left(self._filled(key, rate), rate)

    def spend(self, key: str, rate: Rate) -> None:
        """Use a call that has been made already; at an empty bucket this does nothing."""
        bucket = self._filled(key, rate)
        bucket.left = max(0.0, bucket.left - 1)

    def give_back(self, key: str, rate: Rate) -> None:
        """Make up for a call that was used and should not count."""
        if _short(key) in self._buckets:
            bucket = self._filled(key, rate)
            bucket.left = min(float(rate.burst), bucket.left + 1)

    def _filled(self, key: str, rate: Rate) -> _Bucket:
        slot = _short(key)
        now = self._clock()
        bucket = self._buckets.get(slot)
        if bucket is None:
            bucket = self._buckets[slot] = _Bucket(float(rate.burst), now)
            if len(self._buckets) > self._capacity:
                self._buckets.popitem(last=False)
            return bucket
        self._buckets.move_to_end(slot)
        # A clock that was set back refills nothing, and counts on from where it is now.
        passed = max(0.0, (now - bucket.at).total_seconds())
        bucket.left = min(float(rate.burst), bucket.left + passed * rate.per_second)
        bucket.at = now
        return bucket

    def _check_left(self, bucket: _Bucket, rate: Rate) -> None:
        if bucket.left < 1 - _ROUNDING:
            seconds = math.ceil((1 - bucket.left) / rate.per_second)
            raise SlowDown(retry_after=min(max(1, seconds), _MAX_RETRY_AFTER), reason=self._reason)


class FailureThrottle:
    """Slows down whoever keeps failing to authenticate as one client from one address.

    By the pair, so that nobody can lock a client out from elsewhere. Known and unknown client ids are treated
    alike, so that the throttle does not tell them apart (security A8).
    """

    def __init__(
        self,
        *,
        clock: Clock = system_clock,
        rate: Rate = Rate(per_second=0.2, burst=10),
        capacity: int = CAPACITY,
    ) -> None:
        self._rate = rate
        self._buckets = Buckets(clock=clock, capacity=capacity, reason="too_many_failures")

    def check(self, client_id: str, ip: str | None) -> None:
        """Raise `SlowDown` while this pair has failed too often; the right secret does not help either."""
        if len(self._buckets):
            self._buckets.check(_pair(client_id, ip), self._rate)

    def failed(self, client_id: str, ip: str | None) -> None:
        """Count one failure."""
        self._buckets.spend(_pair(client_id, ip), self._rate)


def address_prefix(ip: str | None) -> str:
    """What counts as one address: an IPv4 address, or the /64 that an IPv6 host has to itself."""
    # A proxy may hand on whatever stood in a header.
    return "-" if ip is None or len(ip) > LONGEST_ADDRESS else _prefix(ip)


@lru_cache(maxsize=10_000)
def _prefix(ip: str) -> str:
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        return "-"
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.IPv6Network((int(address) >> 64 << 64, 64)))
    return str(address)


def _pair(client_id: str, ip: str | None) -> str:
    # The address first: it holds no space, so that no client id can be written to look like another pair.
    return f"{address_prefix(ip)} {client_id}"


def _short(key: str) -> str:
    """A key of bounded length, since a key may hold what a stranger sent."""
    if len(key) <= _LONGEST_KEY:
        return key
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
