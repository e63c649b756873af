"""Operators see, end and erase connections over `/v1` (api.md §4)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from uuid import UUID

import httpx
import pytest

from tests.wire.vault import App, Vault, bearer, request_id
from vaultd.sandbox.dev_config import OPERATOR

CONNECTIONS = "/v1/connections"
SUBJECTS = "/v1/subjects"
KEYS = "/v1/keys"


async def call(vault: Vault, method: str, path: str, *, scope: str, **params: str | int) -> httpx.Response:
    headers = {**bearer(await vault.operator_token(scope)), **request_id()}
    return await vault.http.request(method, path, params=params, headers=headers)


async def read(vault: Vault, **params: str | int) -> httpx.Response:
    return await call(vault, "GET", CONNECTIONS, scope="connections:read", **params)


def whose(vault: Vault, app: App) -> dict[str, str]:
    return {"subject_issuer": vault.world.places.issuer, "subject": app.user}


async def test_a_users_connections_are_listed_newest_first(vault: Vault, app: App) -> None:
    github, slack = await app.connect("github"), await app.connect("slack")
    answer = await read(vault, **whose(vault, app))
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    newest, oldest = answer.json()["connections"]
    assert [newest["id"], oldest["id"]] == [slack["id"], github["id"]]
    assert oldest["subject"] == {"issuer": vault.world.places.issuer, "sub": app.user}
    assert (oldest["connection"], oldest["status"], oldest["generation"]) == ("github", "connected", 1)
    assert oldest["account"]
    assert oldest["scopes"] == github["scopes"]


async def test_filters_narrow_and_a_disconnected_one_stays_to_be_seen(vault: Vault, app: App) -> None:
    github, slack = await app.connect("github"), await app.connect("slack")
    assert (await app.http.delete(f"accounts/{github['id']}")).status_code == 204
    who = whose(vault, app)
    for params, wanted in [
        ({"connection": "slack"}, [slack["id"]]),
        ({"status": "connected"}, [slack["id"]]),
        ({"status": "revoked"}, [github["id"]]),
        ({"status": "reconnect_required"}, []),
    ]:
        found = (await read(vault, **who, **params)).json()["connections"]
        assert [each["id"] for each in found] == wanted, params
    (ended,) = (await read(vault, **who, status="revoked")).json()["connections"]
    assert ended["reason"] == "disconnected"
    assert "account" not in ended
    assert "expires_at" not in ended


async def test_pages_give_each_connection_once(vault: Vault, app: App) -> None:
    made = [(await app.connect(provider))["id"] for provider in ("github", "slack", "google")]
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = (await read(vault, **whose(vault, app), **cursor, limit=1)).json()
        seen += [each["id"] for each in page["connections"]]
        if "next" not in page:
            break
        cursor = {"cursor": page["next"]}
    assert seen == made[::-1]


async def test_an_unknown_user_has_none(vault: Vault) -> None:
    answer = await read(vault, subject_issuer="https://nobody.example", subject="nobody")
    assert answer.json() == {"connections": []}


@pytest.mark.parametrize(
    "params",
    [
        {"limit": "0"},
        {"limit": "1001"},
        {"cursor": "W10"},
        {"cursor": "e30"},
        {"subject": "alice"},
        {"subject_issuer": "https://login.example.com"},
        {"status": "broken"},
        {"connection": "a\x00b"},
        {"provider": "github"},
    ],
    ids=str,
)
async def test_malformed_filters_are_400(vault: Vault, params: dict[str, str]) -> None:
    answer = await read(vault, **params)
    assert (answer.status_code, answer.json()["status"]) == (400, 400), answer.text


async def test_reading_is_an_event(vault: Vault) -> None:
    for path, scope, reason in ((CONNECTIONS, "connections:read", "connections"), (KEYS, "keys:read", "keys")):
        (event,) = await vault.events_of(await call(vault, "GET", path, scope=scope))
        assert (event["type"], event["reason"], event["client_id"]) == ("operator.read", reason, OPERATOR)


async def test_keys_are_named_and_counted_and_never_shown(vault: Vault, app: App) -> None:
    async def rows() -> int:
        answer = await call(vault, "GET", KEYS, scope="keys:read")
        assert answer.status_code == 200, answer.text
        keys = answer.json()["keys"]
        assert {key["purpose"] for key in keys} == {"kek", "chain", "lookup", "signing"}
        assert {key["state"] for key in keys} == {"active"}
        assert all(set(key) <= {"id", "purpose", "state", "created_at", "rows"} for key in keys)
        (count,) = [key["rows"] for key in keys if "rows" in key]
        return int(count)

    before = await rows()
    await app.connect()
    # The subject's and the connection's; other tests of this world may have made or erased none meanwhile.
    assert await rows() >= before + 1


async def test_an_operator_disconnects_c7(vault: Vault, app: App) -> None:
    account = await app.connect()
    assert (await vault.exchange(app.session_token)).status_code == 200
    path = f"{CONNECTIONS}/{account['id']}"
    answer = await call(vault, "DELETE", path, scope="connections:revoke")
    assert (answer.status_code, answer.content) == (204, b"")
    refused = await vault.exchange(app.session_token)
    assert (refused.status_code, refused.json()["reason"]) == (400, "reconnect_required")
    (event,) = await vault.events_of(answer)
    assert (event["type"], event["reason"]) == ("connection.revoked", "revoked_by_operator")
    assert (event["client_id"], event["subject"]["sub"]) == (OPERATOR, app.user)
    assert event["connection_id"] == account["id"]
    # A second time is well too, and says nothing new.
    again = await call(vault, "DELETE", path, scope="connections:revoke")
    assert again.status_code == 204
    assert await vault.events_of(again) == []


@pytest.mark.parametrize("unknown", [str(UUID(int=0)), "no-id"])
async def test_what_is_not_there_is_404(vault: Vault, unknown: str) -> None:
    answer = await call(vault, "DELETE", f"{CONNECTIONS}/{unknown}", scope="connections:revoke")
    assert answer.status_code == 404
    nobody = {"issuer": vault.world.places.issuer, "subject": f"nobody-{unknown}"}
    assert (await call(vault, "DELETE", SUBJECTS, scope="connections:revoke", **nobody)).status_code == 404


@pytest.mark.parametrize("params", [{}, {"issuer": "x"}, {"subject": "x"}, {"issuer": "", "subject": "x"}], ids=str)
async def test_whom_to_erase_is_said_whole(vault: Vault, params: dict[str, str]) -> None:
    assert (await call(vault, "DELETE", SUBJECTS, scope="connections:revoke", **params)).status_code == 400


@pytest.mark.parametrize(
    ("method", "path", "needed", "held"),
    [
        ("GET", CONNECTIONS, "connections:read", "connections:revoke"),
        ("GET", KEYS, "keys:read", "audit:read"),
        ("DELETE", f"{CONNECTIONS}/{UUID(int=0)}", "connections:revoke", "connections:read"),
        ("DELETE", f"{SUBJECTS}?issuer=x&subject=y", "connections:revoke", "connections:read"),
    ],
)
async def test_each_call_needs_its_own_scope(vault: Vault, method: str, path: str, needed: str, held: str) -> None:
    answer = await vault.http.request(method, path, headers=bearer(await vault.operator_token(held)))
    assert answer.status_code == 403
    assert f'scope="{needed}"' in answer.headers["www-authenticate"]
    assert (await vault.http.request(method, path)).status_code == 401


async def test_nobodys_own_token_is_an_operators(vault: Vault, app: App) -> None:
    for method, path in (("GET", CONNECTIONS), ("GET", KEYS), ("DELETE", f"{SUBJECTS}?issuer=x&subject=y")):
        assert (await vault.http.request(method, path, headers=bearer(app.session_token))).status_code == 401


async def until_gone(vault: Vault, provider: str, token: str) -> None:
    """The provider has the token revoked before long."""
    grants = vault.world.providers[provider].grants
    async with asyncio.timeout(10):
        while grants.access(token) is not None:
            await asyncio.sleep(0.02)


async def offboard(vault: Vault, app: App) -> httpx.Response:
    answer = await call(
        vault, "DELETE", SUBJECTS, scope="connections:revoke", issuer=vault.world.places.issuer, subject=app.user
    )
    assert answer.status_code == 204, answer.text
    return answer


async def test_e6_offboarding_ends_everything_and_leaves_nothing_readable(vault: Vault, app: App) -> None:
    await app.connect("github")
    await app.connect("slack")
    tokens = {
        provider: (await vault.exchange(app.session_token, audience=provider)).json()["access_token"]
        for provider in ("github", "slack")
    }
    earlier = {event["id"] for event in (await vault.audit(**whose(vault, app), limit=100))["events"]}
    assert len(earlier) >= 4
    answer = await offboard(vault, app)
    # From the next request on, nobody is connected; a subject of the same name is a new one.
    refused = await vault.exchange(app.session_token)
    assert (refused.status_code, refused.json()["reason"]) == (400, "not_connected")
    # At the provider it ends too.
    for provider, token in tokens.items():
        await until_gone(vault, provider, token)
    # The operator's own acts stay, without whom they were about.
    events = await vault.events_of(answer)
    assert sorted(event["type"] for event in events) == ["connection.revoked", "connection.revoked", "subject.erased"]
    assert {event["client_id"] for event in events} == {OPERATOR}
    assert {event["reason"] for event in events} == {"offboarded"}
    assert not any("subject" in event or "account" in event or "connection_id" in event for event in events)
    # What was written before is unlinked, and is still there.
    now = (await vault.audit(**whose(vault, app), limit=100))["events"]
    assert [event["id"] for event in now if event["id"] in earlier] == []
    everything = {event["id"]: event for event in (await vault.audit(limit=1000))["events"]}
    assert earlier <= set(everything)
    assert not any("subject" in everything[each] for each in earlier)
    assert (await read(vault, **whose(vault, app))).json() == {"connections": []}


async def test_e6_a_consent_under_way_ends_with_its_user(vault: Vault, app: App) -> None:
    begun = await app.begin()
    came_back = await app.returned(begun)
    provider = vault.world.providers["github"]
    revoked: Mapping[str, int] = provider.calls
    before = revoked["revoke"]
    await offboard(vault, app)
    answer = await app.complete(begun, came_back["connect_code"])
    assert answer.status_code == 400, answer.text
    async with asyncio.timeout(10):
        # Both tokens of the grant that nobody completed.
        while revoked["revoke"] < before + 2:
            await asyncio.sleep(0.02)


async def test_an_offboarded_user_may_come_back_as_somebody_new(vault: Vault, app: App) -> None:
    await app.connect()
    await offboard(vault, app)
    account = await app.connect()
    assert (await vault.exchange(app.session_token)).status_code == 200
    (found,) = (await read(vault, **whose(vault, app))).json()["connections"]
    assert found["id"] == account["id"]
