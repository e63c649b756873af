"""The accounts API beside the consent itself: who may call, what is refused, listing and disconnecting."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.wire.vault import App, Vault, bearer
from vaultd.sandbox.world import World

PREFIX = "/me/v1/connected-accounts"


@pytest.mark.parametrize(
    "changes",
    [
        {"redirect_uri": "https://evil.example/"},
        {"redirect_uri": ""},
        {"redirect_uri": None},
        {"connection": "nowhere"},
        {"connection": "a\x00b"},
        {"connection": ["github"]},
        {"scopes": ["admin:org"]},
        {"scopes": ["repo", 7]},
        {"scopes": ["repo admin:org"]},
        {"scopes": ["\x00"]},
        {"scopes": "repo"},
        {"code_challenge": "short"},
        {"code_challenge": "x" * 43, "code_challenge_method": "plain"},
        {"authorization_params": {"redirect_uri": "https://evil.example/"}},
        {"authorization_params": {"state": "x"}},
        {"authorization_params": {"prompt": 1}},
    ],
    ids=str,
)
async def test_a_wish_that_is_not_allowed_is_400(app: App, changes: dict[str, Any]) -> None:
    answer = await app.begin(**changes)
    assert answer.status_code == 400, answer.text
    assert {"type", "title", "status", "detail"} <= set(answer.json())
    assert answer.json()["status"] == 400


async def test_b4_a_redirect_uri_is_compared_exactly(app: App) -> None:
    good = app.redirect_uri
    for other in (good + "/", good + "?a=b", good + "#f", good.upper(), good.replace("127.0.0.1", "localhost")):
        assert (await app.begin(redirect_uri=other)).status_code == 400, other


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'"x"', b'{"connection": "\xff"}', b"[" * 20_000])
@pytest.mark.parametrize("call", ["connect", "complete"])
async def test_a_body_that_is_no_object_is_400(app: App, call: str, body: bytes) -> None:
    answer = await app.http.post(call, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400, answer.text


async def test_text_that_is_no_unicode_is_400(app: App) -> None:
    body = b'{"connection": "github", "redirect_uri": "%s", "state": "\\ud800"}' % app.redirect_uri.encode()
    answer = await app.http.post("connect", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400, answer.text


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("POST", "/connect", "create"),
        ("POST", "/complete", "create"),
        ("GET", "/accounts", "read"),
        ("GET", "/connections", "read"),
        ("GET", "/activity", "read"),
        ("DELETE", f"/accounts/{UUID(int=0)}", "delete"),
    ],
)
async def test_each_call_needs_its_scope(world: World, vault: Vault, method: str, path: str, scope: str) -> None:
    others = " ".join(f"{verb}:me:connected_accounts" for verb in ("create", "read", "delete") if verb != scope)
    body = {"connection": "github", "redirect_uri": "x", "auth_session": "x", "connect_code": "x"}
    async with App(world, scope=others) as app:
        headers = bearer(app.session_token)
        answer = await vault.http.request(
            method, PREFIX + path, headers=headers, json=body if method == "POST" else None
        )
    assert answer.status_code == 403, answer.text
    challenge = answer.headers["www-authenticate"]
    assert 'error="insufficient_scope"' in challenge
    assert f'scope="{scope}:me:connected_accounts"' in challenge


async def test_without_a_good_token_it_is_401(world: World, vault: Vault, app: App) -> None:
    expired = world.issuer.mint(app.user, azp="sample-agent", scope="read:me:connected_accounts", ttl=-100)
    for headers in ({}, bearer("x"), bearer(expired), {"Authorization": "Basic eDp5"}):
        answer = await vault.http.get(f"{PREFIX}/accounts", headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer ")
        assert answer.json()["status"] == 401


async def test_an_operators_token_is_no_users_token(vault: Vault) -> None:
    headers = bearer(await vault.operator_token())
    assert (await vault.http.get(f"{PREFIX}/accounts", headers=headers)).status_code == 401


async def test_accounts_have_an_etag(app: App) -> None:
    first = await app.http.get("accounts")
    etag = first.headers["etag"]
    same = await app.http.get("accounts", headers={"If-None-Match": f'"other", W/{etag}'})
    assert (same.status_code, same.content) == (304, b"")
    assert same.headers["etag"] == etag
    await app.connect()
    changed = await app.http.get("accounts", headers={"If-None-Match": etag})
    assert changed.status_code == 200
    assert changed.headers["etag"] != etag


async def test_a_star_is_whatever_there_is(app: App) -> None:
    """RFC 9110 §13.1.2."""
    assert (await app.http.get("accounts", headers={"If-None-Match": "*"})).status_code == 304


async def test_accounts_come_in_pages(app: App) -> None:
    for provider in ("github", "slack"):
        await app.connect(provider)
    first = (await app.http.get("accounts", params={"take": 1})).json()
    assert [account["connection"] for account in first["accounts"]] == ["github"]
    second = (await app.http.get("accounts", params={"take": 1, "from": first["next"]})).json()
    assert [account["connection"] for account in second["accounts"]] == ["slack"]
    assert "next" not in second
    slack = (await app.http.get("accounts", params={"connection": "slack"})).json()["accounts"]
    assert [account["connection"] for account in slack] == ["slack"]
    for params in ({"take": 0}, {"take": 101}, {"from": -1}, {"from": "x"}):
        assert (await app.http.get("accounts", params=params)).status_code == 400


async def test_connections_are_those_of_the_client(app: App) -> None:
    entries = (await app.http.get("connections")).json()["connections"]
    assert [entry["name"] for entry in entries] == ["github", "google", "slack"]
    assert entries[0]["scopes"] == ["read:user", "repo"]


async def test_disconnecting_is_204_twice_and_404_for_others(app: App, other_app: App, vault: Vault) -> None:
    account = await app.connect()
    assert (await vault.exchange(app.session_token)).status_code == 200
    assert (await other_app.http.delete(f"accounts/{account['id']}")).status_code == 404
    assert (await vault.exchange(app.session_token)).status_code == 200
    for _ in range(2):
        assert (await app.http.delete(f"accounts/{account['id']}")).status_code == 204
    assert (await other_app.http.delete(f"accounts/{account['id']}")).status_code == 404
    refused = await vault.exchange(app.session_token)
    assert (refused.status_code, refused.json()["reason"]) == (400, "reconnect_required")
    events = (await app.http.get("activity")).json()["events"]
    assert [event["type"] for event in events].count("connection.revoked") == 1


async def test_an_account_that_never_was_is_404(app: App) -> None:
    assert (await app.http.delete(f"accounts/{uuid4()}")).status_code == 404
    assert (await app.http.delete("accounts/not-an-id")).status_code in {400, 404}


async def test_activity_is_the_users_own(app: App, other_app: App) -> None:
    await app.connect()
    (event,) = (await app.http.get("activity")).json()["events"]
    assert event["type"] == "connection.connected"
    assert (await other_app.http.get("activity")).json()["events"] == []


@pytest.mark.parametrize("cursor", ["x", "%00", "W10", "7"])
async def test_a_bad_cursor_is_400(app: App, cursor: str) -> None:
    assert (await app.http.get("activity", params={"from": cursor})).status_code == 400
