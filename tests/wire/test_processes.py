"""Several processes on one database, their sudden end, a database that goes away, and starts that must fail."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from tests.support.exchanging import agent_http, exchange, exchange_form, make_healthy
from tests.support.processes import Installation, Running, install, serving
from tests.support.superuser import database_away
from vaultd.keys.local import generate_keyring_file
from vaultd.sandbox.people import PEOPLE
from vaultd.sandbox.person import AppUser
from vaultd.sandbox.provider import SandboxProvider
from vaultd.sandbox.servers import listen
from vaultd.sandbox.world import World, start_world
from vaultd.terms import system_clock

STALE = timedelta(seconds=30)
SHORT = timedelta(seconds=2)


@pytest.fixture(scope="module")
def shared() -> Iterator[World]:
    with start_world(synced=False) as world:
        yield world


@pytest.fixture(scope="module")
def first(shared: World) -> Iterator[Running]:
    with serving(install(shared, "first")) as running:
        yield running


@pytest.fixture(scope="module")
def second(shared: World) -> Iterator[Running]:
    with serving(install(shared, "second")) as running:
        yield running


@pytest.fixture
def google(shared: World) -> SandboxProvider:
    provider = shared.providers["google"]
    make_healthy(provider)
    return provider


async def connected(world: World, google: SandboxProvider, ttl: timedelta) -> AppUser:
    google.grants.ttl = ttl
    async with AppUser(world, PEOPLE["alice"]) as user:
        await user.connect("google")
    google.grants.ttl = timedelta(seconds=300)
    google.calls.clear()
    return user


async def test_two_processes_refresh_one_connection_once(
    shared: World, google: SandboxProvider, first: Running, second: Running
) -> None:
    user = await connected(shared, google, STALE)
    form = exchange_form(user.session_token, "google")
    async with agent_http() as http:
        answers = await asyncio.gather(
            *(http.post(f"{at.url}/oauth/token", data=form) for _ in range(40) for at in (first, second))
        )
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["access_token"] for answer in answers}) == 1
    assert google.calls["refresh"] == 1


async def test_two_processes_renew_a_token_that_was_refused_once_and_log_it_nowhere(
    shared: World, google: SandboxProvider, first: Running, second: Running
) -> None:
    user = await connected(shared, google, timedelta(seconds=300))
    refused = (await exchange(first.url, user.session_token, "google")).json()["access_token"]
    google.grants.end_access_tokens()
    form = exchange_form(user.session_token, "google") | {"refused_token": refused}
    async with agent_http() as http:
        answers = await asyncio.gather(
            *(http.post(f"{at.url}/oauth/token", data=form) for _ in range(40) for at in (first, second))
        )
        google.faults.token = "down"
        (renewed,) = {answer.json()["access_token"] for answer in answers}
        in_vain = [form | {"refused_token": token} for token in (renewed, refused, "x" * 20_000, "made-up-token")]
        for each in (*in_vain, form | {"audience": "nowhere"}):
            await http.post(f"{first.url}/oauth/token", data=each)
    assert google.calls["refresh"] == 2
    said = first.log.read_text(encoding="utf-8") + second.log.read_text(encoding="utf-8")
    assert "temporarily_unavailable" in said
    assert not [token for token in (refused, renewed, "x" * 100, "made-up-token") if token in said]


async def test_a_process_killed_while_refreshing_is_relieved_by_another(
    shared: World, google: SandboxProvider, second: Running
) -> None:
    user = await connected(shared, google, SHORT)
    await asyncio.sleep(SHORT.total_seconds() + 0.1)
    google.faults.token = "hang"
    with serving(install(shared, "victim")) as victim:
        lost = asyncio.create_task(exchange(victim.url, user.session_token, "google"))
        async with asyncio.timeout(5):
            while not google.calls["refresh"]:
                await asyncio.sleep(0.02)
        victim.process.send_signal(signal.SIGKILL)
        with pytest.raises(httpx.TransportError):
            await lost
    google.faults.clear()
    answer = await exchange(second.url, user.session_token, "google")
    assert answer.status_code == 200, answer.text
    assert google.grants.access(answer.json()["access_token"]) is not None
    assert google.calls["refresh"] == 2


async def test_without_its_database_a_process_gives_503_and_comes_back(
    shared: World, google: SandboxProvider, first: Running
) -> None:
    user = await connected(shared, google, timedelta(seconds=300))
    assert (await exchange(first.url, user.session_token, "google")).status_code == 200
    async with database_away(shared):
        for _ in range(3):
            away = await exchange(first.url, user.session_token, "google")
            assert (away.status_code, away.json()["error"]) == (503, "temporarily_unavailable")
            assert int(away.headers["retry-after"]) > 0
    async with asyncio.timeout(10):
        while (await exchange(first.url, user.session_token, "google")).status_code != 200:
            await asyncio.sleep(0.1)
    assert first.process.poll() is None


def assert_told(installed: Installation, *words: str, port: int = 0) -> None:
    """The start fails, in words for an operator, without a traceback and without a secret."""
    ended = installed.start_in_vain(port)
    assert ended.returncode == 1, ended.stderr
    for word in words:
        assert word in ended.stderr
    assert "Traceback" not in ended.stderr + ended.stdout
    secrets = [value for name, value in installed.environ.items() if name.startswith("WIRE_SECRET_")]
    assert not any(secret in ended.stderr + ended.stdout for secret in secrets)


def keyring_at(world: World, path: Path) -> Mapping[str, str]:
    return {str(world.folder / "keyring.json"): str(path)}


def test_no_start_without_the_database(shared: World, tmp_path: Path) -> None:
    host = shared.settings.database_url.reveal().partition("host=")[2]
    assert_told(install(shared, "no-database", {host: str(tmp_path)}), "The database does not answer")


def test_no_start_without_the_keyring(shared: World, tmp_path: Path) -> None:
    missing = tmp_path / "nowhere.json"
    assert_told(install(shared, "no-keyring", keyring_at(shared, missing)), "nowhere.json")


def test_no_start_with_a_keyring_that_others_can_read(shared: World, tmp_path: Path) -> None:
    readable = tmp_path / "readable.json"
    readable.write_bytes((shared.folder / "keyring.json").read_bytes())
    readable.chmod(0o644)
    assert_told(install(shared, "readable", keyring_at(shared, readable)), "readable.json")


def test_no_start_with_the_keyring_of_another_database(shared: World, tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.json"
    generate_keyring_file(foreign, now=system_clock())
    assert_told(install(shared, "foreign", keyring_at(shared, foreign)), "key")


def test_no_start_on_a_taken_port(shared: World) -> None:
    listener = listen()
    try:
        listener.socket.listen()
        assert_told(install(shared, "taken"), f"Port {listener.port}", port=listener.port)
    finally:
        listener.socket.close()
