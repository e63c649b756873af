"""The switches, in this process and over a real connection."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

import httpx
import pytest
from pydantic import ValidationError

from tests.unit.sandbox.conftest import CLIENT, CLIENT_SECRET, ProviderClient, make_provider
from vaultd.sandbox.faults import Fault
from vaultd.sandbox.loopback import loopback_http
from vaultd.sandbox.provider import SandboxProvider
from vaultd.sandbox.servers import GRACE, LoopbackServers


def refresh_form(provider: SandboxProvider) -> dict[str, str]:
    issued = provider.issue(user="alice", client_id=CLIENT, scopes=["repo"])
    return {"grant_type": "refresh_token", "refresh_token": issued["refresh_token"]}


@pytest.mark.parametrize(
    ("fault", "status", "kind"),
    [
        ("down", 503, "text/plain; charset=utf-8"),
        ("slow_down", 429, "application/json"),
        ("nonsense", 200, "application/json"),
        ("html", 200, "text/html"),
        ("empty", 200, "application/json"),
        ("truncated", 200, "application/json"),
        ("error_in_200", 200, "application/json"),
        ("gzip_bomb", 200, "application/json"),
    ],
)
async def test_spoilt_answers(
    provider: SandboxProvider, client: ProviderClient, fault: Fault, status: int, kind: str
) -> None:
    provider.faults.token = fault
    form = refresh_form(provider)
    answer = await client.http.post("/token", data=form)
    assert (answer.status_code, answer.headers["content-type"]) == (status, kind)
    assert provider.calls["refresh"] == 1
    provider.faults.clear()
    assert (await client.http.post("/token", data=form)).status_code == 200, "a fault does no work"


async def test_drop_after_rotates_and_says_nothing(servers: LoopbackServers) -> None:
    provider = make_provider()
    url = servers.serve(provider.app)
    form = refresh_form(provider)
    async with loopback_http(base_url=url, auth=(CLIENT, CLIENT_SECRET)) as http:
        provider.faults.token = "drop"
        with pytest.raises(httpx.TransportError):
            await http.post("/token", data=form)
        provider.faults.token = "drop_after"
        with pytest.raises(httpx.TransportError):
            await http.post("/token", data=form)
        provider.faults.clear()
        assert (await http.post("/token", data=form)).json()["error"] == "invalid_grant"
    assert provider.grants.families[0].reuse_detected
    assert provider.calls["refresh"] == 3


async def test_widen_gives_all_that_was_granted_to_who_asks_for_less(
    provider: SandboxProvider, client: ProviderClient
) -> None:
    granted = provider.issue(user="alice", client_id=CLIENT, scopes=["repo", "read:user"])
    provider.faults.token = "widen"
    wide = (await client.refresh(granted["refresh_token"], scope="read:user")).json()
    assert wide["scope"] == "read:user repo"
    assert (await client.call("/search/issues?q=is:pr", wide["access_token"])).status_code == 200
    provider.faults.clear()
    assert (await client.refresh(wide["refresh_token"], scope="read:user")).json()["scope"] == "read:user"


async def test_drop_in_process_raises(provider: SandboxProvider, client: ProviderClient) -> None:
    provider.faults.userinfo = "drop"
    with pytest.raises(ConnectionResetError):
        await client.call("/userinfo", "any")


async def test_hang_lasts_until_the_caller_gives_up() -> None:
    provider = make_provider()
    provider.faults.token = "hang"
    with LoopbackServers() as servers:
        url = servers.serve(provider.app)
        async with loopback_http(base_url=url, auth=(CLIENT, CLIENT_SECRET), timeout=0.2) as http:
            with pytest.raises(httpx.ReadTimeout):
                await http.post("/token", data=refresh_form(provider))
        waiting = asyncio.create_task(asyncio.to_thread(hold_open, f"{url}/token", refresh_form(provider)))
        while provider.calls["refresh"] < 2:
            await asyncio.sleep(0.01)
        before = time.monotonic()
        await asyncio.to_thread(servers.stop)
        assert time.monotonic() - before < GRACE + 4, "a hanging request does not keep the servers"
        await waiting


def hold_open(url: str, form: dict[str, str]) -> None:
    with suppress(httpx.TransportError):
        httpx.post(url, data=form, timeout=30, trust_env=False)


async def test_mistyped_switches_are_refused(provider: SandboxProvider) -> None:
    with pytest.raises(ValidationError):
        provider.faults.token = "donw"  # type: ignore[assignment]  # the mistake under test
    with pytest.raises(ValueError, match="tokne"):
        provider.faults.tokne = "down"  # type: ignore[attr-defined]  # the mistake under test


async def test_the_switchboard_over_http(provider: SandboxProvider, client: ProviderClient) -> None:
    issued = provider.issue(user="alice", client_id=CLIENT, scopes=["repo"])
    assert (await client.http.put("/_sandbox/faults", json={"token": "down"})).status_code == 200
    assert (await client.refresh(issued["refresh_token"])).status_code == 503
    state = (await client.http.get("/_sandbox/state")).json()
    assert (state["calls"]["refresh"], state["faults"]["token"], state["grants"]["alive"]) == (1, "down", 1)
    assert (await client.http.put("/_sandbox/faults", json={})).status_code == 200
    assert (await client.http.post("/_sandbox/withdraw", json={"user": "alice"})).status_code == 204
    assert (await client.refresh(issued["refresh_token"])).status_code == 400


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"token": "donw"}', b'{"tokne": "down"}'])
async def test_the_switchboard_refuses_what_it_does_not_know(client: ProviderClient, content: bytes) -> None:
    kind = {"Content-Type": "application/json"}
    assert (await client.http.put("/_sandbox/faults", content=content, headers=kind)).status_code == 400
    assert (await client.http.post("/_sandbox/withdraw", content=content, headers=kind)).status_code == 400
    plain = {"Content-Type": "text/plain"}
    assert (await client.http.put("/_sandbox/faults", content=b"{}", headers=plain)).status_code == 400
