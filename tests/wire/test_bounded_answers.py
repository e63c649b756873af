"""What a provider answers is bounded, at consent and at refresh: nothing of it fills the log, a page or a client.

The numbers stand in `vaultd.sizes`. What was issued with too much beside it does not stay alive at the provider.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest

from tests.conftest import DatabaseUrls
from tests.doubles.acting import SHORT, begin, connect, consented, exchange, exchanged, token_in
from tests.doubles.provider import ProviderDouble
from tests.doubles.stage import Stage, whole_catalogue
from vaultd import sizes
from vaultd.sandbox.world import World

at_gitlab = pytest.mark.parametrize("name", ["gitlab"])
SCOPES_OF_880_KB = " ".join(f"scope{number:05d}" for number in range(80_000))
TOO_MUCH: Mapping[str, Mapping[str, Any]] = {
    "880 kB of scopes": {"scope": SCOPES_OF_880_KB},
    "60,000 scopes as a list": {"scope": SCOPES_OF_880_KB.split(" ")[:60_000]},
    "one scope of 900 kB": {"scope": "s" * 900_000},
    "201 scopes": {"scope": " ".join(f"scope{number}" for number in range(sizes.MOST_SCOPES + 1))},
    "a scope of 256 characters": {"scope": "read " + "s" * (sizes.LONGEST_SCOPE + 1)},
    "a token of 20 KiB": {"access_token": "t" * 20 * 1024},
    "a refresh token of 20 KiB": {"refresh_token": "t" * 20 * 1024},
    "another type of token": {"token_type": "mac"},
}
each_fault = pytest.mark.parametrize("added", TOO_MUCH.values(), ids=TOO_MUCH.keys())
# Three such answers in a row, and a provider is left alone for a while.
RENEWING = ("gitlab", "dropbox", "linear", "atlassian")
each_fault_somewhere = pytest.mark.parametrize(
    ("added", "name"),
    [
        pytest.param(added, RENEWING[place % len(RENEWING)], id=what)
        for place, (what, added) in enumerate(TOO_MUCH.items())
    ],
)


@pytest.fixture(scope="module")
def stage(world: World, module_database: DatabaseUrls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A vault of this file's own, whose providers may be left alone for what they do here."""
    folder = tmp_path_factory.mktemp("bounded")
    with whole_catalogue(world, database_url=module_database.service, folder=folder) as running:
        yield running


async def newest_events(stage: Stage, answer: httpx.Response | None = None) -> list[dict[str, Any]]:
    async with stage.vault() as vault:
        events: list[dict[str, Any]] = (await vault.audit(limit=20))["events"]
    wanted = None if answer is None else answer.headers["x-request-id"]
    return [event for event in events if wanted is None or event.get("request_id") == wanted]


@at_gitlab
@each_fault
async def test_at_consent_it_is_a_fault_and_what_was_issued_is_given_back(
    stage: Stage, double: ProviderDouble, name: str, added: Mapping[str, Any]
) -> None:
    double.added["token"] = added
    issued = {"access_token": token_in(name, "token"), "refresh_token": token_in(name, "token", "refresh_token")}
    async with stage.app() as app:
        came_back = await consented(app, await begin(app, name))
        assert came_back["error"] in {"server_error", "unsupported_token_type"}
        assert "connect_code" not in came_back
        assert (await app.http.get("accounts")).json() == {"accounts": []}
    async with asyncio.timeout(15):
        while len(double.of("revocation")) < len(issued):
            await asyncio.sleep(0.05)
    given_back = {asked.params["token"] for asked in double.of("revocation")}
    assert given_back == {str((issued | dict(added))[member]) for member in issued}
    refused = next(event for event in await newest_events(stage) if event["type"] == "connection.refused")
    assert len(json.dumps(refused)) < 2_000


@each_fault_somewhere
async def test_at_refresh_the_old_token_is_kept(
    stage: Stage, double: ProviderDouble, name: str, added: Mapping[str, Any]
) -> None:
    """C4, C6: it is still good, so it is served; nothing is revoked, since that would end the grant there."""
    double.life = SHORT
    double.added["refresh"] = added
    async with stage.app() as app:
        await connect(app, name)
        answer = await exchange(stage, app, name)
        assert answer.status_code == 200, answer.text
        assert answer.json()["access_token"] == token_in(name, "token")
        (account,) = (await app.http.get("accounts")).json()["accounts"]
    assert account["status"] == "connected"
    assert len(double.of("refresh")) == 1
    assert double.of("revocation") == []
    events = await newest_events(stage, answer)
    assert [event["type"] for event in events] == ["token.exchanged"]
    assert len(json.dumps(events)) < 2_000


@at_gitlab
async def test_as_much_as_is_taken(stage: Stage, double: ProviderDouble, name: str) -> None:
    """200 scopes of 255 characters, and tokens of 16 KiB: connected, exchanged, refused for being too wide, shown."""
    scopes = sorted(f"{number:03d}".ljust(sizes.LONGEST_SCOPE, "s") for number in range(sizes.MOST_SCOPES))
    long = "t" * sizes.LONGEST_TOKEN
    double.added["token"] = {"scope": " ".join(scopes), "access_token": long, "refresh_token": long}
    async with stage.app() as app:
        account = await connect(app, name)
        assert account["scopes"] == scopes
        refused = await exchange(stage, app, name)
        assert (refused.status_code, refused.json()["error"]) == (400, "invalid_scope")
    events = await newest_events(stage)
    connected = next(event for event in events if event.get("connection_id") == account["id"])
    assert connected["scopes"] == scopes
    assert "cut" not in connected


@at_gitlab
async def test_long_names_are_cut_and_values_that_are_too_long_left_out(
    stage: Stage, double: ProviderDouble, name: str
) -> None:
    double.added["userinfo"] = {"nickname": "n" * 500_000, "email": "e" * 100_000, "other": ["x"] * 10_000}
    async with stage.app() as app:
        await connect(app, name)
        assert (await exchanged(stage, app, name))["account"] == "n" * sizes.LONGEST_LABEL


@at_gitlab
@pytest.mark.parametrize(
    "userinfo",
    [{"sub": "s" * (sizes.LONGEST_NAME + 1)}, {"other": "x" * (1 << 20)}],
    ids=["an id of 256 characters", "more than 1 MiB"],
)
async def test_an_account_that_cannot_be_known_is_given_back(
    stage: Stage, double: ProviderDouble, name: str, userinfo: Mapping[str, str]
) -> None:
    double.added["userinfo"] = userinfo
    async with stage.app() as app:
        assert (await consented(app, await begin(app, name)))["error"] == "server_error"
    async with asyncio.timeout(15):
        while not double.of("revocation"):
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("name", ["salesforce"])
async def test_metadata_that_is_too_long_is_left_out(stage: Stage, double: ProviderDouble, name: str) -> None:
    double.added["token"] = {"instance_url": "https://" + "i" * 300_000}
    async with stage.app() as app:
        await connect(app, name)
        assert "instance_url" not in (await exchanged(stage, app, name)).get("connection_metadata", {})


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"scope": " ".join(f"scope{number}" for number in range(6_000))}, "invalid_scope"),
        ({"scope": "s" * (sizes.LONGEST_SCOPE + 1)}, "invalid_scope"),
        ({"scope": " ".join(f"s{number}" for number in range(sizes.MOST_SCOPES + 1))}, "invalid_scope"),
        ({"login_hint": "h" * (sizes.LONGEST_HINT + 1)}, "invalid_request"),
    ],
    ids=["60 kB of scopes", "a scope of 256 characters", "201 scopes", "a hint of 513 characters"],
)
async def test_what_a_client_asks_for_is_bounded_too(stage: Stage, changes: dict[str, str], error: str) -> None:
    async with stage.app() as app, stage.vault() as vault:
        answer = await vault.exchange(app.session_token, audience="gitlab", **changes)
    assert (answer.status_code, answer.json()["error"]) == (400, error)
    assert all(len(json.dumps(event)) < 2_000 for event in await newest_events(stage, answer))
