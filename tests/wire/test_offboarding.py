"""Offboarding is felt in every process at once, although each remembers subjects for a minute (api.md §4, E6)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.support.exchanging import agent_http, exchange_form, make_healthy
from tests.support.processes import Running, install, serving
from vaultd.sandbox.dev_config import OPERATOR
from vaultd.sandbox.people import PEOPLE
from vaultd.sandbox.person import AppUser
from vaultd.sandbox.provider import SandboxProvider
from vaultd.sandbox.world import World, start_world
from vaultd.terms import Secret

STALE = timedelta(seconds=30)


@pytest.fixture(scope="module")
def shared() -> Iterator[World]:
    with start_world(synced=False) as world:
        yield world


@pytest.fixture(scope="module")
def other(shared: World) -> Iterator[Running]:
    """A second process on the world's database."""
    with serving(install(shared, "other")) as running:
        yield running


@pytest.fixture
def google(shared: World) -> SandboxProvider:
    provider = shared.providers["google"]
    make_healthy(provider)
    return provider


@pytest_asyncio.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with agent_http() as opened:
        yield opened


async def operator(http: httpx.AsyncClient, world: World) -> dict[str, str]:
    answer = await http.post(
        f"{world.places.vault}/oauth/token",
        data={"grant_type": "client_credentials"},
        auth=(OPERATOR, world.secrets.operator.reveal()),
    )
    return {"Authorization": f"Bearer {answer.raise_for_status().json()['access_token']}"}


async def offboard(http: httpx.AsyncClient, world: World, name: str) -> None:
    answer = await http.delete(
        f"{world.places.vault}/v1/subjects",
        params={"issuer": world.places.issuer, "subject": name},
        headers=await operator(http, world),
    )
    assert answer.status_code == 204, answer.text


async def events(http: httpx.AsyncClient, world: World) -> list[dict[str, Any]]:
    answer = await http.get(
        f"{world.places.vault}/v1/audit/events", params={"limit": 1000}, headers=await operator(http, world)
    )
    found: list[dict[str, Any]] = answer.raise_for_status().json()["events"]
    return found


async def ask(http: httpx.AsyncClient, url: str, token: Secret, provider: str = "google") -> httpx.Response:
    return await http.post(f"{url}/oauth/token", data=exchange_form(token, provider))


async def test_e6_a_process_that_remembers_the_subject_writes_nothing_under_the_erased_key(
    shared: World, other: Running, google: SandboxProvider, http: httpx.AsyncClient
) -> None:
    del google
    async with AppUser(shared, PEOPLE["alice"]) as user:
        await user.connect("google")
    for url in (shared.places.vault, other.url):
        assert (await ask(http, url, user.session_token)).status_code == 200
    await offboard(http, shared, "alice")
    # `slack` was never connected, and `nowhere` is refused before any connection is looked at.
    wanted = {"google": "interaction_required", "slack": "interaction_required", "nowhere": "invalid_target"}
    for url in (other.url, shared.places.vault):
        for provider, error in wanted.items():
            answer = await ask(http, url, user.session_token, provider)
            assert (answer.status_code, answer.json()["error"]) == (400, error), answer.text
            if error == "interaction_required":
                assert answer.json()["reason"] == "not_connected"
            refusals = [
                event
                for event in await events(http, shared)
                if event.get("request_id") == answer.headers["x-request-id"]
            ]
            # Exactly one, under a key that is there: the subject can be read.
            assert [event["type"] for event in refusals] == ["token.refused"]
            assert refusals[0]["subject"]["sub"] == "alice"


async def test_e6_a_hundred_exchanges_around_an_offboarding(
    shared: World, other: Running, google: SandboxProvider, http: httpx.AsyncClient
) -> None:
    del google
    async with AppUser(shared, PEOPLE["bob"]) as user:
        await user.connect("google")
    urls = (shared.places.vault, other.url)
    assert [(await ask(http, url, user.session_token)).status_code for url in urls] == [200, 200]
    before = [asyncio.create_task(ask(http, url, user.session_token)) for _ in range(25) for url in urls]
    await offboard(http, shared, "bob")
    after = await asyncio.gather(*(ask(http, url, user.session_token) for _ in range(25) for url in urls))
    assert {answer.status_code for answer in after} == {400}
    assert {answer.json()["reason"] for answer in after} == {"not_connected"}
    assert {answer.status_code for answer in await asyncio.gather(*before)} <= {200, 400}


async def test_e6_no_refreshed_token_outlives_the_offboarding(
    shared: World, other: Running, google: SandboxProvider, http: httpx.AsyncClient
) -> None:
    for round_ in range(8):
        google.grants.ttl = STALE
        async with AppUser(shared, PEOPLE["carol"]) as user:
            await user.connect("google")
        urls = (shared.places.vault, other.url)
        asked = [asyncio.create_task(ask(http, url, user.session_token)) for url in urls]
        # From before the refresh to after it, as the rounds go.
        await asyncio.sleep(0.004 * round_)
        await offboard(http, shared, "carol")
        late = await ask(http, other.url, user.session_token)
        assert (late.status_code, late.json().get("reason")) == (400, "not_connected"), late.text
        assert {answer.status_code for answer in await asyncio.gather(*asked)} <= {200, 400}
        async with asyncio.timeout(15):
            while any(family.alive for family in google.grants.families if family.person.login == "carol"):
                await asyncio.sleep(0.05)
