"""Operators read the audit log over `/v1/audit/events` (api.md §4)."""

from __future__ import annotations

import asyncio
import base64
import json
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from tests.wire.vault import App, Vault, bearer
from vaultd.sandbox.dev_config import BRIEFING_AGENT, OPERATOR

EVENTS = "/v1/audit/events"

HUGE_CURSOR = (
    base64.urlsafe_b64encode(
        json.dumps(["2026-11-01", "2026-11-01T00:00:00+00:00", "00000000-0000-4000-8000-000000000000", 10**30]).encode()
    )
    .decode()
    .rstrip("=")
)


async def test_client_credentials_give_a_short_lived_token(vault: Vault) -> None:
    form = {"grant_type": "client_credentials"}
    answer = await vault.http.post("/oauth/token", data=form, auth=vault.operator)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["token_type"] == "Bearer"
    assert 0 < body["expires_in"] <= 600
    assert body["scope"] == "audit:read connections:read connections:revoke keys:read"
    assert answer.headers["cache-control"] == "no-store"


async def test_an_agent_gets_no_operators_token(vault: Vault) -> None:
    answer = await vault.http.post("/oauth/token", data={"grant_type": "client_credentials"}, auth=vault.agent)
    assert (answer.status_code, answer.json()["error"]) == (400, "unauthorized_client")


async def test_an_operator_gets_no_scope_beyond_its_own(vault: Vault) -> None:
    form = {"grant_type": "client_credentials", "scope": "audit:write"}
    answer = await vault.http.post("/oauth/token", data=form, auth=vault.operator)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_scope")


async def test_client_credentials_need_credentials(vault: Vault) -> None:
    answer = await vault.http.post("/oauth/token", data={"grant_type": "client_credentials"})
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    assert "www-authenticate" not in answer.headers


@pytest.mark.parametrize("authorization", [None, "Bearer", "Bearer x", "Bearer a.b.c", "Basic b3A6eA=="])
async def test_without_a_good_token_it_is_401(vault: Vault, authorization: str | None) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    answer = await vault.http.get(EVENTS, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer ")


async def test_a_users_token_is_no_operators_token(vault: Vault, app: App) -> None:
    answer = await vault.http.get(EVENTS, headers=bearer(app.session_token))
    assert answer.status_code == 401


async def test_a_token_without_audit_read_is_403(vault: Vault) -> None:
    headers = bearer(await vault.operator_token("connections:read"))
    answer = await vault.http.get(EVENTS, headers=headers)
    assert answer.status_code == 403
    assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]
    assert 'scope="audit:read"' in answer.headers["www-authenticate"]


async def test_filters_narrow(vault: Vault, app: App) -> None:
    account = await app.connect("slack")
    answer = await vault.exchange(app.session_token, audience="slack")
    assert answer.status_code == 200, answer.text
    refused = await vault.exchange(app.session_token, audience="nowhere")
    assert refused.status_code == 400
    who = {"subject_issuer": vault.world.places.issuer, "subject": app.user}
    everything = (await vault.audit(**who))["events"]
    assert [event["type"] for event in everything] == ["token.refused", "token.exchanged", "connection.connected"]
    assert {event["subject"]["sub"] for event in everything} == {app.user}
    narrowed: list[tuple[dict[str, str], list[str]]] = [
        ({"type": "token.exchanged"}, ["token.exchanged"]),
        ({"decision": "refused"}, ["token.refused"]),
        ({"connection": "slack"}, ["token.exchanged", "connection.connected"]),
        ({"client_id": BRIEFING_AGENT}, ["token.refused", "token.exchanged"]),
        ({"client_id": OPERATOR}, []),
        ({"connection_id": account["id"]}, ["token.exchanged", "connection.connected"]),
        ({"since": (datetime.now(UTC) + timedelta(hours=1)).isoformat()}, []),
        ({"until": (datetime.now(UTC) - timedelta(hours=1)).isoformat()}, []),
    ]
    for params, types in narrowed:
        found = (await vault.audit(**who, **params))["events"]
        assert [event["type"] for event in found] == types, params


async def test_the_cursor_gives_each_event_once_while_new_ones_arrive(vault: Vault, app: App) -> None:
    who = {"subject_issuer": vault.world.places.issuer, "subject": app.user}
    for _ in range(7):
        await vault.exchange(app.session_token)
    wanted = [event["id"] for event in (await vault.audit(**who))["events"]]
    assert len(wanted) == 7
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = await vault.audit(**who, **cursor, limit=2)
        seen += [event["id"] for event in page["events"]]
        await vault.exchange(app.session_token)
        if not page.get("next"):
            break
        cursor = {"cursor": page["next"]}
    assert seen == wanted


@pytest.mark.parametrize(
    "params",
    [
        {"limit": "0"},
        {"limit": "1001"},
        {"limit": "many"},
        {"cursor": "x"},
        {"cursor": "%00"},
        {"cursor": "W10"},
        {"cursor": "e30"},
        {"cursor": HUGE_CURSOR},
        {"subject": "alice"},
        {"subject_issuer": "https://login.example.com"},
        {"connection_id": "not-a-uuid"},
        {"decision": "maybe"},
        {"since": "yesterday"},
        {"since": "2026-01-01T00:00:00"},
        {"connection": "a\x00b"},
        {"client_id": "\x00"},
    ],
    ids=str,
)
async def test_malformed_filters_are_400(vault: Vault, params: dict[str, str]) -> None:
    answer = await vault.http.get(EVENTS, params=params, headers=bearer(await vault.operator_token()))
    assert answer.status_code == 400, answer.text
    assert answer.json()["status"] == 400


async def test_an_unknown_user_has_no_events(vault: Vault) -> None:
    assert (await vault.audit(subject_issuer="https://nobody.example", subject="nobody"))["events"] == []


async def test_reading_the_log_is_an_event(vault: Vault) -> None:
    headers = bearer(await vault.operator_token()) | {"X-Request-Id": "a-read-of-the-log"}
    answer = await vault.http.get(EVENTS, headers=headers)
    (event,) = await vault.events_of(answer)
    assert (event["type"], event["client_id"]) == ("operator.read", OPERATOR)


async def test_no_event_holds_a_token(vault: Vault, app: App) -> None:
    await app.connect("google")
    answers: list[httpx.Response] = await asyncio.gather(
        *(vault.exchange(app.session_token, audience="google") for _ in range(5))
    )
    tokens = {answer.json()["access_token"] for answer in answers}
    log = str(await vault.audit(limit=1000))
    assert not [token for token in (*tokens, app.session_token) if token in log]
