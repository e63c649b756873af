"""/metrics on a port of its own (api.md §5): what it shows is true, bounded and holds nothing secret (A12, D5)."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.configured import changed_vault
from tests.support.exchanging import events_of, exchange, make_healthy
from tests.support.processes import install, serving
from tests.support.superuser import database_away
from tests.wire.vault import App
from vaultd.errors import ConfigurationError
from vaultd.sandbox.loopback import loopback_http
from vaultd.sandbox.people import PEOPLE
from vaultd.sandbox.person import AppUser
from vaultd.sandbox.servers import listen
from vaultd.sandbox.world import World, start_world
from vaultd.terms import Secret

STALE = timedelta(seconds=30)
Samples = dict[tuple[str, ...], float]


@pytest.fixture(scope="module")
def own() -> Iterator[World]:
    """A world of its own, since its numbers are counted."""
    with start_world(synced=False) as world:
        yield world


def free_port() -> int:
    listener = listen()
    with listener.socket:
        return listener.port


def free_ports_in_a_row() -> int:
    """The first of two that are free."""
    while True:
        first = listen()
        with first.socket, suppress(ConfigurationError), listen(first.port + 1).socket:
            return first.port


async def until_shown(at: str) -> Samples:
    """What is shown there once it is."""
    async with asyncio.timeout(20):
        while True:
            with suppress(httpx.TransportError):
                return await read(at)
            await asyncio.sleep(0.1)


@contextmanager
def counting(world: World, *, ahead: int = 0) -> Iterator[tuple[str, str]]:
    """A vault with metrics; gives its URL and where they are."""
    port = free_port()
    with changed_vault(world, {"ahead = 0": f'ahead = {ahead}\n\n[metrics]\nhost = "127.0.0.1"\nport = {port}'}) as url:
        yield url, f"http://127.0.0.1:{port}"


async def read(at: str) -> Samples:
    async with loopback_http() as http:
        answer = await http.get(f"{at}/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert answer.headers["cache-control"] == "no-store"
    return {
        (sample.name, *(sample.labels[name] for name in sorted(sample.labels))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


async def connected(world: World, ttl: timedelta) -> AppUser:
    google = world.providers["google"]
    make_healthy(google)
    google.grants.ttl = ttl
    async with AppUser(world, PEOPLE["alice"]) as user:
        await user.connect("google")
    google.grants.ttl = timedelta(seconds=300)
    return user


async def test_decisions_are_those_of_the_audit_log(own: World) -> None:
    user = await connected(own, timedelta(seconds=300))
    with counting(own) as (vault, at):
        given = len(await events_of(own, "token.exchanged", "google"))
        for _ in range(3):
            assert (await exchange(vault, user.session_token, "google")).status_code == 200
        assert (await exchange(vault, user.session_token, "slack")).status_code == 400
        assert (await exchange(vault, user.session_token, "no-such-provider")).status_code == 400
        assert (await exchange(vault, Secret("no token"), "google")).status_code == 400
        samples = await read(at)
        given = len(await events_of(own, "token.exchanged", "google")) - given
    decisions = {place[1:]: value for place, value in samples.items() if place[0] == "vaultd_token_decisions_total"}
    assert decisions.pop(("allowed", "google", "")) == given == 3
    assert decisions.pop(("refused", "slack", "not_connected")) == 1
    assert decisions.pop(("refused", "", "unknown_provider")) == 1
    assert sum(decisions.values()) == 1, "the forged one, without a provider"
    assert samples["vaultd_token_request_duration_seconds_count", "200"] == 3
    assert samples["vaultd_token_request_duration_seconds_count", "400"] == 3
    assert samples["vaultd_release_batch_size_count",] >= 5
    assert samples["vaultd_release_queue_length",] == 0


async def test_refreshes_the_breaker_and_the_backlogs(own: World) -> None:
    user = await connected(own, STALE)
    google = own.providers["google"]
    with counting(own, ahead=600) as (vault, at):
        google.faults.token = "slow_down"
        for _ in range(2):
            assert (await exchange(vault, user.session_token, "google")).status_code == 200
        paused = await read(at)
        assert paused["vaultd_refreshes_total", "unavailable", "google"] == 1
        assert paused["vaultd_refreshes_total", "paused", "google"] == 1
        assert (paused["vaultd_breaker_open", "google"], paused["vaultd_breaker_open", "github"]) == (1, 0)
        google.faults.clear()
        async with asyncio.timeout(40):
            # Nobody asks any more: the background refresher finds it due, waits for the provider, and renews it.
            while google.calls["refresh"] < 2:
                await asyncio.sleep(0.1)
        await asyncio.sleep(0.3)
        renewed = await read(at)
    assert renewed["vaultd_refreshes_total", "refreshed", "google"] == 1
    assert renewed["vaultd_breaker_open", "google"] == 0
    assert renewed["vaultd_refresh_backlog", "google"] == 0
    assert renewed["vaultd_notifications_heard",] == 1
    assert renewed["process_resident_memory_bytes",] > 0


async def test_the_outbox_shows_until_the_provider_has_taken_it(own: World) -> None:
    github = own.providers["github"]
    make_healthy(github)
    with counting(own) as (_, at):
        github.faults.revoke = "down"
        async with App(own) as app:
            account = await app.connect("github")
            assert (await app.http.delete(f"accounts/{account['id']}")).status_code == 204
        assert (await read(at))["vaultd_revocations_waiting",] >= 1
        github.faults.clear()


async def test_a12_nothing_secret_and_no_user_in_it(own: World) -> None:
    user = await connected(own, STALE)
    with counting(own) as (vault, at):
        token = (await exchange(vault, user.session_token, "google")).json()["access_token"]
        async with loopback_http() as http:
            text = (await http.get(f"{at}/metrics")).text
    assert text.count("vaultd_token_decisions_total{") == 1
    for hidden in (token, user.session_token.reveal(), "alice", own.secrets.provider.reveal(), "sample-agent"):
        assert hidden not in text


async def test_that_port_has_nothing_else_and_the_main_one_has_no_metrics(own: World) -> None:
    with counting(own) as (vault, at):
        async with loopback_http() as http:
            assert (await http.get(f"{at}/health/live")).status_code == 404
            assert (await http.post(f"{at}/metrics")).status_code == 405
            assert (await http.get(f"{vault}/metrics")).status_code == 404


async def test_without_the_database_it_shows_what_it_knows(own: World) -> None:
    with counting(own) as (_, at):
        assert ("vaultd_revocations_waiting",) in await read(at)
        async with database_away(own):
            samples = await read(at)
            assert ("vaultd_revocations_waiting",) not in samples
            assert ("vaultd_release_queue_length",) in samples


def test_a_port_that_is_taken_is_told_at_the_start(own: World) -> None:
    with counting(own) as (_, at):
        taken = at.rpartition(":")[2]
        changes = {"ahead = 0": f"ahead = 0\n\n[metrics]\nport = {taken}"}
        with pytest.raises(ConfigurationError), changed_vault(own, changes):
            pytest.fail("it started")


async def test_each_worker_shows_its_own_numbers_on_the_next_port(own: World) -> None:
    port = free_ports_in_a_row()
    installed = install(own, "two-workers", {"ahead = 0": f"ahead = 0\n\n[metrics]\nport = {port}"})
    with serving(installed, workers=2) as running:
        # The server is ready when one of them is.
        shown = [await until_shown(f"http://127.0.0.1:{place}") for place in (port, port + 1)]
        log = running.log.read_text(encoding="utf-8")
    assert all(("vaultd_release_queue_length",) in samples for samples in shown)
    assert len(re.findall("metrics are shown", log)) == 2
