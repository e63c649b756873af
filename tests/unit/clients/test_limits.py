"""Limits of a client, in all and for one user, in bounded memory (security A10)."""

from __future__ import annotations

import pytest

from tests.unit.loopback_issuer import SetClock
from vaultd.clients.config import ClientConfig
from vaultd.clients.limits import ClientLimits
from vaultd.clients.registry import Client
from vaultd.errors import SlowDown
from vaultd.terms import ClientId, Subject

TWO = {"per_second": 1.0, "burst": 2}
ALICE = Subject("https://login.example.com/", "alice")


def _client(name: str = "agent", **limits: object) -> Client:
    return Client(ClientId(name), ClientConfig.model_validate({"auth": "none", **limits}))


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def limits(clock: SetClock) -> ClientLimits:
    return ClientLimits(clock=clock, clients=2, subjects=3)


def _taken(limits: ClientLimits, client: Client, subject: Subject | None = None, tries: int = 1000) -> int:
    for number in range(tries):
        try:
            if subject is None:
                limits.take(client)
            else:
                limits.take_for(client, subject)
        except SlowDown:
            return number
    return tries


def test_a_client_without_limits_is_not_limited(limits: ClientLimits) -> None:
    assert _taken(limits, _client()) == 1000
    assert _taken(limits, _client(), ALICE) == 1000


def test_either_limit_holds_without_the_other(limits: ClientLimits, clock: SetClock) -> None:
    only_all, only_each = _client("a", limits=TWO), _client("b", subject_limits=TWO)
    assert (_taken(limits, only_all), _taken(limits, only_all, ALICE)) == (2, 1000)
    assert (_taken(limits, only_each), _taken(limits, only_each, ALICE)) == (1000, 2)
    clock.move(seconds=1)
    assert (_taken(limits, only_all), _taken(limits, only_each, ALICE)) == (1, 1)


def test_a_refusal_says_which_limit_it_was(limits: ClientLimits) -> None:
    agent = _client(limits=TWO, subject_limits=TWO)
    assert (_taken(limits, agent), _taken(limits, agent, ALICE)) == (2, 2)
    with pytest.raises(SlowDown) as in_all:
        limits.take(agent)
    with pytest.raises(SlowDown) as for_one:
        limits.take_for(agent, ALICE)
    assert (in_all.value.reason, for_one.value.reason) == ("client_limit", "subject_limit")


def test_users_and_clients_do_not_share(limits: ClientLimits) -> None:
    agent, other = _client(subject_limits=TWO), _client("other", subject_limits=TWO)
    assert _taken(limits, agent, ALICE) == 2
    assert _taken(limits, agent, Subject(ALICE.issuer, "bob")) == 2
    # A4: the same `sub` at another issuer is another user.
    assert _taken(limits, agent, Subject("https://login.example.com", "alice")) == 2
    assert _taken(limits, other, ALICE) == 2


def test_no_user_can_be_named_so_as_to_use_anothers_limit(limits: ClientLimits) -> None:
    agent, longer = _client("a", subject_limits=TWO), _client("a-b", subject_limits=TWO)
    assert _taken(limits, agent, Subject("https://i", "x y")) == 2
    for client, subject in ((agent, Subject("https://i", "x  y")), (longer, Subject("https://i", "x y"))):
        assert _taken(limits, client, subject) == 2


def test_users_at_will_push_out_no_client(limits: ClientLimits) -> None:
    """Memory is bounded, and what a flood of users forgets is users' buckets only."""
    agent = _client(limits=TWO, subject_limits=TWO)
    assert _taken(limits, agent) == 2
    for number in range(1000):
        limits.take_for(agent, Subject(ALICE.issuer, f"user-{number}"))
    assert _taken(limits, agent) == 0
    assert len(limits._subjects) == 3  # noqa: SLF001 - the bound is on what is kept
