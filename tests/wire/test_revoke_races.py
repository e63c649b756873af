"""C7: a revocation against refreshes under way. No token after its answer, and no row comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta

import pytest

from tests.support.exchanging import agent_http, exchange_form, make_healthy
from vaultd.sandbox.people import PEOPLE
from vaultd.sandbox.person import AppUser
from vaultd.sandbox.provider import SandboxProvider
from vaultd.sandbox.world import World, start_world

ROUNDS = 25
STALE = timedelta(seconds=30)
LONGEST_ANSWER = 10.0
"""Seconds: the provider's total timeout."""


@pytest.fixture(scope="module")
def racing() -> Iterator[World]:
    with start_world(synced=False) as world:
        yield world


@pytest.fixture
def google(racing: World) -> SandboxProvider:
    provider = racing.providers["google"]
    make_healthy(provider)
    return provider


async def test_c7_no_token_after_a_revocation_that_races_a_refresh(racing: World, google: SandboxProvider) -> None:
    async with AppUser(racing, PEOPLE["alice"]) as user, agent_http() as http:
        url, form = f"{racing.places.vault}/oauth/token", exchange_form(user.session_token, "google")
        for round_ in range(ROUNDS):
            google.grants.ttl = STALE
            account = await user.connect("google")
            racers = [asyncio.create_task(http.post(url, data=form)) for _ in range(4)]
            # From before the refresh is asked for to after it is stored, as the rounds go.
            await asyncio.sleep(0.001 * round_)
            await user.disconnect(account["id"])
            late = await asyncio.gather(*(http.post(url, data=form) for _ in range(4)))
            assert {answer.status_code for answer in late} == {400}
            assert {answer.json()["reason"] for answer in late} == {"reconnect_required"}
            assert {answer.status_code for answer in await asyncio.gather(*racers)} <= {200, 400}
            # Whoever was in flight has not brought it back.
            assert await user.accounts() == []
        async with asyncio.timeout(20):
            while any(family.alive for family in google.grants.families):
                await asyncio.sleep(0.05)
    assert google.calls["refresh"] > 0


async def test_c7_the_users_answer_does_not_wait_for_the_provider(racing: World, google: SandboxProvider) -> None:
    async with AppUser(racing, PEOPLE["bob"]) as user, agent_http() as http:
        account = await user.connect("google")
        google.faults.revoke = "hang"
        loop = asyncio.get_running_loop()
        began = loop.time()
        await user.disconnect(account["id"])
        assert loop.time() - began < LONGEST_ANSWER / 2
        form = exchange_form(user.session_token, "google")
        answer = await http.post(f"{racing.places.vault}/oauth/token", data=form)
        assert answer.json()["reason"] == "reconnect_required"
        google.faults.clear()
