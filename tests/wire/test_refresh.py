"""Stale tokens: refreshed once, kept when the provider is away, and never lost in silence (security C3 to C6)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta

import httpx
import pytest

from tests.support.exchanging import agent_http, events_of, exchange, exchange_form, make_healthy
from vaultd.sandbox.people import PEOPLE
from vaultd.sandbox.person import AppUser
from vaultd.sandbox.provider import SandboxProvider
from vaultd.sandbox.world import World, start_world

STALE = timedelta(seconds=30)
"""Below the margin of 60 s: a token of this life counts as stale and is still good."""
SHORT = timedelta(seconds=2)


@pytest.fixture(scope="module")
def refreshing() -> Iterator[World]:
    """A world of its own, since these tests switch its providers."""
    with start_world() as world:
        yield world


@pytest.fixture
def google(refreshing: World) -> SandboxProvider:
    provider = refreshing.providers["google"]
    make_healthy(provider)
    return provider


async def connected(world: World, *, ttl: timedelta, person: str = "alice") -> AppUser:
    """A user whose Google tokens live that long; later ones live for 300 s."""
    google = world.providers["google"]
    google.grants.ttl = ttl
    async with AppUser(world, PEOPLE[person]) as user:
        await user.connect("google")
    google.grants.ttl = timedelta(seconds=300)
    google.calls.clear()
    return user


async def ask(world: World, user: AppUser) -> httpx.Response:
    return await exchange(world.places.vault, user.session_token, "google")


def token_of(answer: httpx.Response) -> str:
    assert answer.status_code == 200, answer.text
    token: str = answer.json()["access_token"]
    return token


def assert_unavailable(answer: httpx.Response) -> None:
    assert (answer.status_code, answer.json()["error"]) == (503, "temporarily_unavailable")
    assert int(answer.headers["retry-after"]) > 0
    assert "access_token" not in answer.json()


def assert_reconnect(answer: httpx.Response) -> None:
    assert (answer.status_code, answer.json()["error"]) == (400, "interaction_required")
    assert answer.json()["reason"] == "reconnect_required"
    assert "/auth/connect/google" in answer.json()["connect_uri"]


async def test_a_stale_token_is_refreshed_and_the_rotation_is_stored(
    refreshing: World, google: SandboxProvider
) -> None:
    user = await connected(refreshing, ttl=STALE)
    before = len(await events_of(refreshing, "token.refreshed", "google"))
    google.grants.ttl = STALE
    first = await ask(refreshing, user)
    # Stale again at once: the second refresh can only succeed with the token that the first one brought.
    google.grants.ttl = timedelta(seconds=300)
    second = await ask(refreshing, user)
    third = await ask(refreshing, user)
    assert token_of(first) != token_of(second) == token_of(third)
    assert 60 < second.json()["expires_in"] <= 300
    assert google.grants.access(token_of(third)) is not None
    assert google.calls["refresh"] == len(await events_of(refreshing, "token.refreshed", "google")) - before


async def test_two_hundred_exchanges_of_one_stale_connection_refresh_once(
    refreshing: World, google: SandboxProvider
) -> None:
    user = await connected(refreshing, ttl=STALE)
    form = exchange_form(user.session_token, "google")
    async with agent_http() as http:
        answers = await asyncio.gather(
            *(http.post(f"{refreshing.places.vault}/oauth/token", data=form) for _ in range(200))
        )
    assert google.calls["refresh"] == 1
    assert len({token_of(answer) for answer in answers}) == 1
    assert not any(family.reuse_detected for family in google.grants.families)


@pytest.mark.parametrize("fault", ["down", "slow_down", "nonsense", "drop"])
async def test_a_token_still_valid_is_served_when_refreshing_fails(
    refreshing: World, google: SandboxProvider, fault: str
) -> None:
    user = await connected(refreshing, ttl=STALE)
    google.faults.token = fault  # type: ignore[assignment]  # pydantic checks it
    answer = await ask(refreshing, user)
    assert google.grants.access(token_of(answer)) is not None
    assert 0 < answer.json()["expires_in"] <= 30
    assert google.calls["refresh"] == 1


async def test_an_expired_token_and_a_provider_that_is_down_is_503_until_it_is_back(
    refreshing: World, google: SandboxProvider
) -> None:
    user = await connected(refreshing, ttl=SHORT)
    await asyncio.sleep(SHORT.total_seconds() + 0.1)
    google.faults.token = "down"
    assert_unavailable(await ask(refreshing, user))
    google.faults.token = "slow_down"
    slowed = await ask(refreshing, user)
    assert_unavailable(slowed)
    assert slowed.headers["retry-after"] == "7"
    google.faults.clear()
    assert google.grants.access(token_of(await ask(refreshing, user))) is not None


async def test_a_withdrawn_grant_asks_for_a_reconnection_and_is_told_once(
    refreshing: World, google: SandboxProvider
) -> None:
    user = await connected(refreshing, ttl=STALE, person="bob")
    before = len(await events_of(refreshing, "connection.broken", "google"))
    google.withdraw("bob")
    for _ in range(3):
        assert_reconnect(await ask(refreshing, user))
    broken = await events_of(refreshing, "connection.broken", "google")
    assert len(broken) == before + 1
    assert broken[0]["reason"] == "invalid_grant"
    # A connection known to be broken costs the provider nothing.
    assert google.calls["refresh"] == 1


async def test_a_withdrawn_grant_under_load_is_one_event(refreshing: World, google: SandboxProvider) -> None:
    user = await connected(refreshing, ttl=STALE, person="carol")
    before = len(await events_of(refreshing, "connection.broken", "google"))
    google.withdraw("carol")
    for answer in await asyncio.gather(*(ask(refreshing, user) for _ in range(30))):
        assert_reconnect(answer)
    assert len(await events_of(refreshing, "connection.broken", "google")) == before + 1
    assert google.calls["refresh"] == 1


async def test_a_reconnection_mends_a_broken_connection(refreshing: World, google: SandboxProvider) -> None:
    user = await connected(refreshing, ttl=STALE, person="bob")
    google.withdraw("bob")
    assert_reconnect(await ask(refreshing, user))
    again = await connected(refreshing, ttl=timedelta(seconds=300), person="bob")
    assert google.grants.access(token_of(await ask(refreshing, again))) is not None


async def test_a_rotation_whose_answer_was_lost_ends_in_the_open(refreshing: World, google: SandboxProvider) -> None:
    user = await connected(refreshing, ttl=SHORT)
    await asyncio.sleep(SHORT.total_seconds() + 0.1)
    google.faults.token = "drop_after"
    assert_unavailable(await ask(refreshing, user))
    google.faults.clear()
    assert_reconnect(await ask(refreshing, user))
    assert_reconnect(await ask(refreshing, user))
    assert (await events_of(refreshing, "connection.broken", "google"))[0]["reason"] == "rotation_lost"


async def test_a_rotation_whose_answer_was_lost_is_made_good_by_a_grace(
    refreshing: World, google: SandboxProvider
) -> None:
    user = await connected(refreshing, ttl=SHORT)
    broken = len(await events_of(refreshing, "connection.broken", "google"))
    await asyncio.sleep(SHORT.total_seconds() + 0.1)
    google.grants.reuse_grace = timedelta(seconds=60)
    google.faults.token = "drop_after"
    assert_unavailable(await ask(refreshing, user))
    google.faults.clear()
    assert google.grants.access(token_of(await ask(refreshing, user))) is not None
    assert len(await events_of(refreshing, "connection.broken", "google")) == broken


async def test_a_provider_that_does_not_rotate_keeps_its_refresh_token(
    refreshing: World, google: SandboxProvider
) -> None:
    user = await connected(refreshing, ttl=STALE)
    google.grants.rotate = False
    google.grants.ttl = STALE
    assert token_of(await ask(refreshing, user)) != token_of(await ask(refreshing, user))


async def test_an_error_of_ours_at_the_provider_does_not_cost_the_user_the_connection(
    refreshing: World, google: SandboxProvider
) -> None:
    user = await connected(refreshing, ttl=SHORT)
    await asyncio.sleep(SHORT.total_seconds() + 0.1)
    google.faults.token = "error_in_200"
    assert_unavailable(await ask(refreshing, user))
    google.faults.clear()
    assert google.grants.access(token_of(await ask(refreshing, user))) is not None
