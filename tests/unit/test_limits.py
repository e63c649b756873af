"""Token buckets: rate, burst, bounded memory, a clock that jumps (security A10, E7)."""

from __future__ import annotations

import math

import pytest

from tests.unit.loopback_issuer import SetClock
from vaultd.errors import SlowDown
from vaultd.limits import Buckets, FailureThrottle, Rate, _prefix, address_prefix

RATE = Rate(per_second=2, burst=3)


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def buckets(clock: SetClock) -> Buckets:
    return Buckets(clock=clock, capacity=100)


def _taken(buckets: Buckets, key: str = "k", rate: Rate = RATE, tries: int = 1000) -> int:
    for count in range(tries):
        try:
            buckets.take(key, rate)
        except SlowDown:
            return count
    return tries


def test_a_burst_and_then_the_rate(buckets: Buckets, clock: SetClock) -> None:
    assert _taken(buckets) == 3
    clock.move(seconds=0.5)
    assert _taken(buckets) == 1
    clock.move(hours=1)
    assert _taken(buckets) == 3


def test_over_an_hour_no_more_than_burst_and_rate_allow(buckets: Buckets, clock: SetClock) -> None:
    total = 0
    for _ in range(36_000):
        total += _taken(buckets)
        clock.move(seconds=0.1)
    assert 7_200 <= total <= 7_203


def test_keys_do_not_share(buckets: Buckets) -> None:
    assert _taken(buckets, "a") == 3
    assert _taken(buckets, "b") == 3


@pytest.mark.parametrize(
    ("rate", "seconds"), [(RATE, 1), (Rate(0.2, 1), 5), (Rate(0.00001, 1), 3600), (Rate(1e9, 1), 1)]
)
def test_retry_after_is_long_enough(buckets: Buckets, clock: SetClock, rate: Rate, seconds: int) -> None:
    _taken(buckets, rate=rate)
    with pytest.raises(SlowDown) as caught:
        buckets.take("k", rate)
    assert caught.value.retry_after == seconds
    if seconds < 3600:
        clock.move(seconds=seconds)
        buckets.take("k", rate)


def test_check_uses_nothing_and_spend_never_refuses(buckets: Buckets) -> None:
    for _ in range(10):
        buckets.check("k", RATE)
    assert len(buckets) == 0
    for _ in range(10):
        buckets.spend("k", RATE)
    with pytest.raises(SlowDown):
        buckets.check("k", RATE)


def test_what_is_given_back_is_there_again_and_never_more(buckets: Buckets) -> None:
    buckets.give_back("k", RATE)
    assert len(buckets) == 0
    assert _taken(buckets) == 3
    buckets.give_back("k", RATE)
    assert _taken(buckets) == 1
    for _ in range(10):
        buckets.give_back("k", RATE)
    assert _taken(buckets) == 3


def test_what_is_no_address_is_not_kept() -> None:
    """A proxy may hand on what a stranger wrote into a header."""
    kept = _prefix.cache_info().currsize
    for number in range(100):
        assert address_prefix(f"{number:x<5000}") == "-"
    assert _prefix.cache_info().currsize == kept


def test_memory_is_bounded_in_number_and_in_length(buckets: Buckets) -> None:
    for number in range(1000):
        buckets.take(f"{number:x<5000}", RATE)
    assert len(buckets) == 100
    assert max(len(key) for key in buckets._buckets) <= 64  # noqa: SLF001 - the bound is on what is kept
    assert _taken(buckets, f"{999:x<5000}") == 2
    assert _taken(buckets, "\ud800" * 100) == 3


def test_a_bucket_in_use_is_not_the_one_forgotten(buckets: Buckets) -> None:
    assert _taken(buckets, "busy") == 3
    for number in range(1000):
        buckets.take(str(number), RATE)
        with pytest.raises(SlowDown):
            buckets.take("busy", RATE)


def test_a_clock_that_is_set_back_gives_nothing_and_takes_nothing(buckets: Buckets, clock: SetClock) -> None:
    """E7."""
    assert _taken(buckets) == 3
    clock.move(seconds=-60)
    assert _taken(buckets) == 0
    clock.move(seconds=1)
    assert _taken(buckets) == 2


@pytest.mark.parametrize(("per_second", "burst"), [(0, 1), (-1, 1), (1, 0), (math.inf, 1), (math.nan, 1)])
def test_a_rate_that_means_nothing(per_second: float, burst: int) -> None:
    with pytest.raises(ValueError, match="rate"):
        Rate(per_second, burst)


class TestFailures:
    def test_ten_at_once_then_one_in_five_seconds(self, clock: SetClock) -> None:
        throttle = FailureThrottle(clock=clock)
        for _ in range(10):
            throttle.check("agent", "192.0.2.1")
            throttle.failed("agent", "192.0.2.1")
        with pytest.raises(SlowDown):
            throttle.check("agent", "192.0.2.1")
        clock.move(seconds=5)
        throttle.check("agent", "192.0.2.1")

    def test_neither_other_clients_nor_other_addresses_suffer(self, clock: SetClock) -> None:
        throttle = FailureThrottle(clock=clock)
        for _ in range(20):
            throttle.failed("agent", "192.0.2.1")
        throttle.check("other", "192.0.2.1")
        throttle.check("agent", "192.0.2.2")
        throttle.check("agent", None)

    def test_an_ipv6_host_cannot_move_within_its_own_network(self, clock: SetClock) -> None:
        throttle = FailureThrottle(clock=clock)
        for host in range(10):
            throttle.failed("agent", f"2001:db8::{host}")
        with pytest.raises(SlowDown):
            throttle.check("agent", "2001:db8::ffff")
        throttle.check("agent", "2001:db8:0:1::1")

    @pytest.mark.parametrize(
        ("ip", "prefix"),
        [
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("not an address", "-"),
            ("fe80::1%eth0", "fe80::/64"),
            (None, "-"),
        ],
    )
    def test_what_counts_as_one_address(self, ip: str | None, prefix: str) -> None:
        assert address_prefix(ip) == prefix
