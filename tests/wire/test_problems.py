"""What the JSON APIs and the pages say to a request that is not as agreed (api.md §2, §5)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import uuid4

import httpx
import pytest

from tests.wire.vault import App, Vault, bearer

ACCOUNTS = "/me/v1/connected-accounts"
EVENTS = "/v1/audit/events"
MAX_BODY = 64 * 1024


async def test_validation_errors_say_where_in_the_body(app: App) -> None:
    answer = await app.begin(redirect_uri=None, scopes=["repo", 7], authorization_params={"a/b~c": 1})
    assert answer.status_code == 400
    problem = answer.json()
    assert problem["type"] == "urn:vaultd:error:invalid_request"
    assert problem["title"] == "Invalid request"
    assert problem["status"] == 400
    assert [(error["source"], error["field"], error["pointer"]) for error in problem["validation_errors"]] == [
        ("body", "redirect_uri", "/redirect_uri"),
        ("body", "scopes", "/scopes/1"),
        # RFC 6901 §3
        ("body", "authorization_params", "/authorization_params/a~1b~0c"),
    ]
    assert all(error["detail"] for error in problem["validation_errors"])


async def test_a_missing_member_is_named(app: App) -> None:
    answer = await app.http.post("complete", json={"auth_session": "x", "connect_code": "x"})
    (error,) = answer.json()["validation_errors"]
    assert error == {
        "detail": "Field required",
        "source": "body",
        "field": "redirect_uri",
        "pointer": "/redirect_uri",
    }


async def test_validation_errors_say_which_parameter(app: App) -> None:
    answer = await app.http.get("accounts", params={"from": "!", "take": "many"})
    errors = answer.json()["validation_errors"]
    assert [(error["source"], error["field"]) for error in errors] == [("query", "from"), ("query", "take")]
    assert not [error for error in errors if "pointer" in error]


async def test_a_problem_repeats_nothing_of_what_was_sent(app: App) -> None:
    secret = uuid4().hex
    body = {"auth_session": [secret], "connect_code": {secret[:8]: secret}, "redirect_uri": 7, "code_verifier": secret}
    answer = await app.http.post("complete", json=body)
    assert len(answer.json()["validation_errors"]) == 4
    assert secret not in answer.text


async def test_a_small_body_does_not_ask_for_a_large_answer(app: App) -> None:
    answer = await app.begin(scopes=[7] * 200, authorization_params={"k" * 20_000: 7})
    assert answer.status_code == 400
    assert len(answer.json()["validation_errors"]) == 20
    assert len(answer.content) < 4_096


async def test_a_parameter_that_came_twice_is_400(app: App, vault: Vault) -> None:
    operator = bearer(await vault.operator_token())
    for answer in (
        await app.http.get("accounts?take=1&take=2"),
        await vault.http.get(f"{EVENTS}?type=token.refused&type=token.exchanged", headers=operator),
    ):
        assert answer.status_code == 400
        assert answer.json()["validation_errors"][0]["detail"] == "This parameter came twice."


async def test_an_unknown_parameter_is_ignored_by_the_accounts_and_refused_by_the_audit_api(
    app: App, vault: Vault
) -> None:
    assert (await app.http.get("accounts?colour=a&colour=b")).status_code == 200
    answer = await vault.http.get(f"{EVENTS}?clientid=x", headers=bearer(await vault.operator_token()))
    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["validation_errors"]] == ["clientid"]


@pytest.mark.parametrize("value", [" 7", "7.0", "+7", "7_0", "1e2", "\u0667", "9" * 30, ""])
async def test_a_number_has_one_spelling(app: App, value: str) -> None:
    assert (await app.http.get("accounts", params={"take": value})).status_code == 400


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/json5", "application/x-www-form-urlencoded"])
async def test_a_body_that_is_not_json_is_415(app: App, content_type: str | None) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    answer = await app.http.post("connect", content=b"{}", headers=headers)
    assert (answer.status_code, answer.headers["accept"]) == (415, "application/json")
    assert answer.json()["status"] == 415


async def test_json_with_a_charset_is_json(app: App) -> None:
    body = b'{"connection": "github", "redirect_uri": "%s"}' % app.redirect_uri.encode()
    headers = {"Content-Type": "Application/JSON; charset=utf-8"}
    assert (await app.http.post("connect", content=body, headers=headers)).status_code == 201


async def _chunks() -> AsyncIterator[bytes]:
    for _ in range(MAX_BODY // 1024 + 1):
        yield b" " * 1024


async def test_a_body_above_64_kib_is_413(app: App, vault: Vault) -> None:
    headers = {"Content-Type": "application/json"}
    for call in ("connect", "complete"):
        assert (await app.http.post(call, content=b" " * (MAX_BODY + 1), headers=headers)).status_code == 413
        answer = await app.http.post(call, content=_chunks(), headers=headers)
        assert (answer.status_code, answer.json()["title"]) == (413, "Content too large")
    form = await vault.http.post("/auth/logout", data={"csrf": "x" * MAX_BODY})
    assert form.status_code == 413


async def test_a_body_of_64_kib_is_read(app: App) -> None:
    body = b'{"connection": "github", "redirect_uri": "%s"}' % app.redirect_uri.encode()
    answer = await app.http.post("connect", content=body.ljust(MAX_BODY), headers={"Content-Type": "application/json"})
    assert answer.status_code == 201


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", f"{ACCOUNTS}/connect", b"{"),
        ("POST", f"{ACCOUNTS}/complete", b"\xff" * (MAX_BODY + 1)),
        ("GET", f"{ACCOUNTS}/accounts?take=many", b""),
        ("GET", f"{ACCOUNTS}/activity?from=%00", b""),
        ("DELETE", f"{ACCOUNTS}/accounts/no-id", b""),
        ("GET", f"{EVENTS}?colour=red", b""),
    ],
)
async def test_who_asks_is_known_before_anything_is_read(vault: Vault, method: str, path: str, body: bytes) -> None:
    answer = await vault.http.request(method, path, content=body)
    assert answer.status_code == 401
    # RFC 6750 §3.1: no error for a request without credentials
    assert answer.headers["www-authenticate"].startswith('Bearer realm="vaultd"')
    assert "error" not in answer.headers["www-authenticate"]
    refused = await vault.http.request(method, path, content=body, headers=bearer("x"))
    assert refused.status_code == 401
    assert 'error="invalid_token"' in refused.headers["www-authenticate"]


async def test_an_id_that_is_none_names_nothing(app: App) -> None:
    unknown = await app.http.delete(f"accounts/{uuid4()}")
    for name in ("x", "%00", uuid4().hex, f"{{{uuid4()}}}", f"urn:uuid:{uuid4()}"):
        answer = await app.http.delete(f"accounts/{name}")
        assert (answer.status_code, answer.content) == (404, unknown.content), name


@pytest.mark.parametrize("method", ["PUT", "PATCH", "TRACE", "OPTIONS", "QUERY"])
@pytest.mark.parametrize("path", [f"{ACCOUNTS}/accounts", EVENTS, "/oauth/token", "/health/live", "/auth/connect"])
async def test_another_method_is_405_and_says_which_ones_are_not(vault: Vault, method: str, path: str) -> None:
    answer = await vault.http.request(method, path)
    assert answer.status_code == 405
    assert answer.headers["allow"]
    assert method not in answer.headers["allow"]
    assert answer.json()["status"] == 405


@pytest.mark.parametrize(
    "path", ["/health/live", "/health/ready", "/.well-known/jwks.json", "/openapi.json", "/docs", "/docs/style.css"]
)
async def test_what_is_read_can_be_asked_for_its_headers(vault: Vault, path: str) -> None:
    whole, head = await vault.http.get(path), await vault.http.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(whole.content))


@pytest.mark.parametrize("path", [f"{ACCOUNTS}/accounts/", f"{EVENTS}/", "/health/live/", "/connections/"])
async def test_a_path_has_one_spelling(vault: Vault, path: str) -> None:
    answer = await vault.http.get(path, headers={"Host": "evil.example"})
    assert answer.status_code == 404
    assert "location" not in answer.headers


@pytest.mark.parametrize("path", ["/auth/connect", "/auth/connect?ticket=a&ticket=b", "/auth/callback/%00"])
async def test_a_person_gets_a_page(vault: Vault, path: str) -> None:
    answer: httpx.Response = await vault.http.get(path)
    assert answer.status_code == 400
    assert answer.headers["content-type"].startswith("text/html")
    assert "That did not work" in answer.text


async def test_a_person_gets_a_page_for_what_is_not_there(vault: Vault) -> None:
    answer = await vault.http.get("/auth/nowhere")
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html")
