"""Stale tokens: refreshed once, kept when the provider is away, and never lost in silence (security C3 to C6)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta

import httpx
import pytest

from tests.support.configured import changed_vault
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
    with start_world(synced=False) as world:
        yield world


@pytest.fixture
def vault(refreshing: World) -> Iterator[str]:
    """One that knows nothing of how the providers fared before."""
    with changed_vault(refreshing, {}) as url:
        yield url


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


async def ask(vault: str, user: AppUser) -> httpx.Response:
    return await exchange(vault, user.session_token, "google")


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
    refreshing: World, vault: str, google: SandboxProvider
) -> None:
    user = await connected(refreshing, ttl=STALE)
    before = len(await events_of(refreshing, "token.refreshed", "google"))
    google.grants.ttl = STALE
    first = await ask(vault, user)
    # Stale again at once: the second refresh can only succeed with the token that the first one brought.
    google.grants.ttl = timedelta(seconds=300)
    second = await ask(vault, user)
    third = await ask(vault, user)
    assert token_of(first) != token_of(second) == token_of(third)
    assert 60 < second.json()["expires_in"] <= 300
    assert google.grants.access(token_of(third)) is not None
    assert google.calls["refresh"] == len(await events_of(refreshing, "token.refreshed", "google")) - before


async def test_c5_two_hundred_exchanges_of_one_stale_connection_refresh_once(
    refreshing: World, vault: str, google: SandboxProvider
) -> None:
    user = await connected(refreshing, ttl=STALE)
    form = exchange_form(user.session_token, "google")
    async with agent_http() as http:
        answers = await asyncio.gather(*(http.post(f"{vault}/oauth/token", data=form) for _ in range(200)))
    assert google.calls["refresh"] == 1
    assert len({token_of(answer) for answer in answers}) == 1
    assert not any(family.reuse_detected for family in google.grants.families)


@pytest.mark.parametrize("fault", ["down", "slow_down", "nonsense", "drop"])
async def test_c4_a_token_still_valid_is_served_when_refreshing_fails(
    refreshing: World, vault: str, google: SandboxProvider, fault: str
) -> None:
    user = await connected(refreshing, ttl=STALE)
    google.faults.token = fault  # type: ignore[assignment]  # pydantic checks it
    answer = await ask(vault, user)
    assert google.grants.access(token_of(answer)) is not None
    assert 0 < answer.json()["expires_in"] <= 30
    assert google.calls["refresh"] == 1


async def test_c3_an_expired_token_and_a_provider_that_is_down_is_503_until_it_is_back(
    refreshing: World, vault: str, google: SandboxProvider
) -> None:
    user = await connected(refreshing, ttl=SHORT)
    await asyncio.sleep(SHORT.total_seconds() + 0.1)
    google.faults.token = "down"
    assert_unavailable(await ask(vault, user))
    google.faults.clear()
    assert google.grants.access(token_of(await ask(vault, user))) is not None


async def test_c3_a_provider_that_asks_for_a_pause_gets_it(
    refreshing: World, vault: str, google: SandboxProvider
) -> None:
    """`Retry-After` is honoured: until then nobody calls, and everybody is told how long it still is."""
    user = await connected(refreshing, ttl=SHORT)
    await asyncio.sleep(SHORT.total_seconds() + 0.1)
    google.faults.token = "slow_down"
    assert (await ask(vault, user)).headers["retry-after"] == "7"
    google.faults.clear()
    await asyncio.sleep(2)
    paused = [await ask(vault, user) for _ in range(5)]
    for answer in paused:
        assert_unavailable(answer)
    assert int(paused[0].headers["retry-after"]) <= 5
    assert google.calls["refresh"] == 1
    await asyncio.sleep(int(paused[-1].headers["retry-after"]))
    assert google.grants.access(token_of(await ask(vault, user))) is not None
    assert google.calls["refresh"] == 2


async def test_c4_while_a_provider_is_left_alone_valid_tokens_are_served_at_once(
    refreshing: World, vault: str, google: SandboxProvider
) -> None:
    user = await connected(refreshing, ttl=STALE)
    google.faults.token = "down"
    for _ in range(12):
        assert google.grants.access(token_of(await ask(vault, user))) is not None
    # Three in a row, and on a slow machine one or another that looks whether it is back.
    assert 3 <= google.calls["refresh"] < 8


async def test_a_withdrawn_grant_asks_for_a_reconnection_and_is_told_once(
    refreshing: World, vault: str, google: SandboxProvider
) -> None:
    user = await connected(refreshing, ttl=STALE, person="bob")
    before = len(await events_of(refreshing, "connection.broken", "google"))
    google.withdraw("bob")
    for _ in range(3):
        assert_reconnect(await ask(vault, user))
    broken = await events_of(refreshing, "connection.broken", "google")
    assert len(broken) == before + 1
    assert broken[0]["reason"] == "invalid_grant"
    # A connection known to be broken costs the provider nothing.
    assert google.calls["refresh"] == 1


async def test_a_withdrawn_grant_under_load_is_one_event(
    refreshing: World, vault: str, google: SandboxProvider
) -> None:
    user = await connected(refreshing, ttl=STALE, person="carol")
    before = len(await events_of(refreshing, "connection.broken", "google"))
    google.withdraw("carol")
    for answer in await asyncio.gather(*(ask(vault, user) for _ in range(30))):
        assert_reconnect(answer)
    assert len(await events_of(refreshing, "connection.broken", "google")) == before + 1
    assert google.calls["refresh"] == 1


async def test_a_reconnection_mends_a_broken_connection(refreshing: World, vault: str, google: SandboxProvider) -> None:
    user = await connected(refreshing, ttl=STALE, person="bob")
    google.withdraw("bob")
    assert_reconnect(await ask(vault, user))
    again = await connected(refreshing, ttl=timedelta(seconds=300), person="bob")
    assert google.grants.access(token_of(await ask(vault, again))) is not None


async def test_a_rotation_whose_answer_was_lost_ends_in_the_open(
    refreshing: World, vault: str, google: SandboxProvider
) -> None:
    user = await connected(refreshing, ttl=SHORT)
    await asyncio.sleep(SHORT.total_seconds() + 0.1)
    google.faults.token = "drop_after"
    assert_unavailable(await ask(vault, user))
    google.faults.clear()
    assert_reconnect(await ask(vault, user))
    assert_reconnect(await ask(vault, user))
    assert (await events_of(refreshing, "connection.broken", "google"))[0]["reason"] == "rotation_lost"


async def test_a_rotation_whose_answer_was_lost_is_made_good_by_a_grace(
    refreshing: World, vault: str, google: SandboxProvider
) -> None:
    user = await connected(refreshing, ttl=SHORT)
    broken = len(await events_of(refreshing, "connection.broken", "google"))
    await asyncio.sleep(SHORT.total_seconds() + 0.1)
    google.grants.reuse_grace = timedelta(seconds=60)
    google.faults.token = "drop_after"
    assert_unavailable(await ask(vault, user))
    google.faults.clear()
    assert google.grants.access(token_of(await ask(vault, user))) is not None
    assert len(await events_of(refreshing, "connection.broken", "google")) == broken


async def test_a_provider_that_does_not_rotate_keeps_its_refresh_token(
    refreshing: World, vault: str, google: SandboxProvider
) -> None:
    user = await connected(refreshing, ttl=STALE)
    google.grants.rotate = False
    google.grants.ttl = STALE
    assert token_of(await ask(vault, user)) != token_of(await ask(vault, user))


async def test_an_error_of_ours_at_the_provider_does_not_cost_the_user_the_connection(
    refreshing: World, vault: str, google: SandboxProvider
) -> None:
    user = await connected(refreshing, ttl=SHORT)
    await asyncio.sleep(SHORT.total_seconds() + 0.1)
    google.faults.token = "error_in_200"
    assert_unavailable(await ask(vault, user))
    google.faults.clear()
    assert google.grants.access(token_of(await ask(vault, user))) is not None
