"""Leaving a failing provider alone (security C3, C4)."""

from __future__ import annotations

import pytest

from tests.support.clock import HandClock
from vaultd.errors import ProviderRefused, ProviderUnavailable, TemporarilyUnavailable
from vaultd.refresh.breaker import FAILURES, LONGEST_ASKED, LONGEST_PAUSE, Breaker, host_of


class Bench:
    """A breaker with a clock in hand; the chance is the one that makes pauses longest, unless told."""

    def __init__(self, chance: float = 1.0) -> None:
        self.clock = HandClock()
        self.breaker = Breaker(clock=self.clock, chance=lambda: chance)

    def fails(self, provider: str = "acme", *, asked: int | None = None) -> None:
        with pytest.raises(ProviderUnavailable), self.breaker.calling(provider):
            raise ProviderUnavailable(retry_after=asked)

    def refuses(self, error: str) -> None:
        with pytest.raises(ProviderRefused), self.breaker.calling("acme"):
            raise ProviderRefused(error)

    def succeeds(self, provider: str = "acme") -> None:
        with self.breaker.calling(provider):
            pass

    def waits(self, provider: str = "acme") -> int:
        """Seconds that somebody is told to wait, 0 for none."""
        try:
            self.breaker.check(provider)
        except TemporarilyUnavailable as refusal:
            return refusal.retry_after if refusal.reason == "provider_paused" else -1
        return 0

    def opened(self, times: int) -> None:
        """Fail so often that it has opened that many times; the last pause has just begun."""
        for _ in range(FAILURES):
            self.fails()
        for _ in range(times - 1):
            self.clock.forward(seconds=self.waits())
            self.fails()


def test_c3_a_few_failures_in_a_row_open_it() -> None:
    bench = Bench()
    for _ in range(FAILURES):
        assert bench.waits() == 0
        bench.fails()
    assert bench.waits() == 1
    with pytest.raises(TemporarilyUnavailable), bench.breaker.calling("acme"):
        pytest.fail("the provider was called")


def test_c3_a_success_between_them_forgets_them() -> None:
    bench = Bench()
    for _ in range(FAILURES):
        bench.fails()
        bench.succeeds()
        assert bench.waits() == 0


def test_c3_a_named_pause_opens_it_at_once_and_is_true() -> None:
    bench = Bench()
    bench.fails(asked=7)
    assert bench.waits() == bench.breaker.retry_after("acme") == 7
    bench.clock.forward(seconds=2.5)
    assert bench.waits() == 5
    bench.clock.forward(seconds=4.5)
    assert bench.waits() == 0


def test_c3_a_named_pause_is_taken_at_its_word_for_an_hour() -> None:
    bench = Bench()
    bench.fails(asked=86_400)
    assert bench.waits() == LONGEST_ASKED


def test_c3_pauses_double_up_to_the_longest() -> None:
    bench = Bench()
    waits = []
    for times in range(1, 12):
        if times == 1:
            bench.opened(1)
        else:
            bench.clock.forward(seconds=bench.waits())
            bench.fails()
        waits.append(bench.waits())
    assert waits[:7] == [1, 2, 4, 8, 16, 32, LONGEST_PAUSE]
    assert set(waits[7:]) == {LONGEST_PAUSE}


def test_c3_pauses_have_jitter() -> None:
    early, late = Bench(chance=0.0), Bench(chance=1.0)
    for bench in (early, late):
        bench.opened(7)
    assert (early.waits(), late.waits()) == (LONGEST_PAUSE / 2, LONGEST_PAUSE)


def test_c3_when_a_pause_is_over_one_call_goes_out_to_see() -> None:
    bench = Bench()
    bench.fails(asked=7)
    bench.clock.forward(seconds=7)
    assert bench.breaker.places("acme", 10) == 1
    with bench.breaker.calling("acme"):
        assert bench.waits() > 0, "the others wait for what it brings"
        assert bench.breaker.places("acme", 10) == 0
    assert bench.waits() == 0
    assert bench.breaker.places("acme", 10) == 10


def test_c3_a_first_call_that_fails_ends_the_looking() -> None:
    bench = Bench()
    bench.opened(1)
    bench.clock.forward(seconds=1)
    bench.fails()
    assert bench.waits() == 2
    bench.clock.forward(seconds=2)
    bench.succeeds()
    assert not bench.breaker.is_open("acme")


def test_c3_a_first_call_that_is_cancelled_lets_another_go() -> None:
    bench = Bench()
    bench.fails(asked=7)
    bench.clock.forward(seconds=7)
    with pytest.raises(KeyboardInterrupt), bench.breaker.calling("acme"):
        raise KeyboardInterrupt
    assert bench.waits() == 0
    assert bench.breaker.is_open("acme")


def test_c3_failures_of_calls_that_were_on_their_way_count_once() -> None:
    """Fifty calls that hang end together; the pause is that of one opening."""
    bench = Bench()
    calls = [bench.breaker.calling("acme") for _ in range(50)]
    for call in calls:
        call.__enter__()
    for call in calls:
        assert not call.__exit__(ProviderUnavailable, ProviderUnavailable(), None)
    assert bench.waits() == 1


def test_c3_a_longer_pause_that_is_named_later_counts() -> None:
    bench = Bench()
    first, second = bench.breaker.calling("acme"), bench.breaker.calling("acme")
    first.__enter__()
    second.__enter__()
    for call, asked in ((first, 5), (second, 60)):
        assert not call.__exit__(ProviderUnavailable, ProviderUnavailable(retry_after=asked), None)
    assert bench.waits() == 60


def test_c3_a_no_to_one_user_is_a_provider_that_answers() -> None:
    bench = Bench()
    for _ in range(FAILURES - 1):
        bench.fails()
    bench.refuses("invalid_grant")
    for _ in range(FAILURES - 1):
        bench.fails()
    assert bench.waits() == 0


@pytest.mark.parametrize("error", ["invalid_client", "unauthorized_client", "http_403"])
def test_c3_a_refusal_is_no_outage_whatever_its_word(error: str) -> None:
    """It may be about one user, one tenant or one grant: the others' calls go out."""
    bench = Bench()
    for _ in range(FAILURES * 2):
        bench.refuses(error)
    assert bench.waits() == 0


def test_c3_an_answer_that_is_of_no_use_is_no_outage() -> None:
    bench = Bench()
    for _ in range(FAILURES * 2):
        with pytest.raises(ProviderUnavailable), bench.breaker.calling("acme"):
            raise ProviderUnavailable(outage=False)
    assert bench.waits() == 0


def test_c3_an_answer_of_no_use_to_the_first_call_is_a_host_that_is_back() -> None:
    bench = Bench()
    bench.opened(1)
    bench.clock.forward(seconds=bench.waits())
    unusable = ProviderUnavailable(outage=False)
    unusable.status = 404
    with pytest.raises(ProviderUnavailable), bench.breaker.calling("acme"):
        raise unusable
    assert bench.waits() == 0
    assert not bench.breaker.is_open("acme")


def test_c3_an_address_that_is_not_called_says_nothing_about_its_host() -> None:
    bench = Bench()
    bench.opened(1)
    bench.clock.forward(seconds=bench.waits())
    with pytest.raises(ProviderUnavailable), bench.breaker.calling("acme"):
        raise ProviderUnavailable(outage=False)
    assert bench.breaker.is_open("acme")


def test_c3_hosts_of_customers_are_told_apart_and_shown_together() -> None:
    assert host_of("https://{shop}.acme.example:8443/token") == "*.acme.example:8443"
    assert host_of("https://acme.example/{tenant}/token") == "acme.example"
    bench = Bench()
    bench.fails("one.acme.example", asked=60)
    assert (bench.waits("one.acme.example"), bench.waits("two.acme.example")) == (60, 0)
    assert bench.breaker.is_open("*.acme.example")
    assert not bench.breaker.is_open("*.other.example")


def test_c8_providers_are_left_alone_one_by_one() -> None:
    bench = Bench()
    bench.fails(asked=60)
    assert (bench.waits("acme"), bench.waits("other")) == (60, 0)
    bench.succeeds("other")
    assert bench.waits("acme") == 60


@pytest.mark.parametrize("step", [-60, 60])
def test_e7_a_clock_that_is_set_costs_one_call_at_most(step: int) -> None:
    bench = Bench()
    bench.fails(asked=30)
    bench.clock.forward(seconds=step)
    assert bench.waits() == 0
    assert bench.breaker.places("acme", 10) == 1


def test_memory_is_one_state_for_each_provider_that_fails() -> None:
    bench = Bench()
    for number in range(100):
        bench.succeeds(f"provider-{number}")
        assert bench.waits(f"unknown-{number}") == 0
    assert bench.breaker._states == {}  # noqa: SLF001 - its memory is what this is about
