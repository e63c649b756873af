"""How each refusal that the OpenAPI document knows is brought about, and what the log then says of it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx

from tests.wire.beside import Log
from tests.wire.vault import ACCESS_TOKEN, TOKEN_EXCHANGE, bearer, fresh, request_id
from vaultd.sandbox.dev_config import BRIEFING_AGENT, OPERATOR, SAMPLE_AGENT
from vaultd.sandbox.person import ACCOUNT_SCOPES

ME = "/me/v1/connected-accounts"
SLOW_APP, SLOW_SECRET = "slow-app", "a secret of the slow app's, which is long"
TABLES = f"""
[clients.{SLOW_APP}]
auth = "client_secret_basic"
secret = "{SLOW_SECRET}"
limits = {{ per_second = 0.001, burst = 1 }}
subject_limits = {{ per_second = 0.001, burst = 1 }}
redirect_uris = ["https://app.example.com/back"]
providers = {{ github = ["repo"] }}
"""
LARGE = b" " * (64 * 1024 + 1)
AS_JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
ALL_SCOPES = "audit:read connections:read connections:revoke keys:read"
_WELL: Mapping[str, dict[str, str]] = {
    "connect": {"connection": "github", "redirect_uri": "https://evil.example/"},
    "complete": {"auth_session": "x", "connect_code": "x", "redirect_uri": "https://app.example.com/back"},
}


class Asker:
    """Asks for what will be refused, as a user, as an operators' program, or as nobody."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.user = fresh("user")

    async def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        headers = {**request_id(), **more.pop("headers", {})}
        return await self.log.http.request(method, path, headers=headers, **more)

    def session(self, scope: str = ACCOUNT_SCOPES, app: str = SAMPLE_AGENT) -> dict[str, str]:
        return bearer(self.log.world.issuer.mint(self.user, azp=app, scope=scope))

    async def operator(self, scope: str = ALL_SCOPES) -> dict[str, str]:
        return bearer(await self.log.operator_token(scope))


@dataclass(frozen=True, slots=True)
class Case:
    """A request that is refused, and its event: of which type, why, and who is in it."""

    ask: Callable[[Asker], Coroutine[Any, Any, httpx.Response]]
    type: str
    reason: str
    user: bool = False
    client: str | None = None


def _account_cases(operation: str, method: str, path: str, verb: str) -> dict[tuple[str, int], Case]:
    body = {"json": _WELL[path]} if path in _WELL else {}
    url = f"{ME}/{path}"
    fewer = " ".join(scope for scope in ACCOUNT_SCOPES.split() if not scope.startswith(verb))

    async def twice(asker: Asker) -> httpx.Response:
        await asker.ask(method, url, headers=asker.session(app=SLOW_APP), **body)
        return await asker.ask(method, url, headers=asker.session(app=SLOW_APP), **body)

    return {
        (operation, 401): Case(lambda asker: asker.ask(method, url, **body), "account.refused", "no_token"),
        (operation, 403): Case(
            lambda asker: asker.ask(method, url, headers=asker.session(fewer), **body),
            "account.refused",
            "insufficient_scope",
            user=True,
            client=SAMPLE_AGENT,
        ),
        (operation, 429): Case(twice, "account.refused", "subject_limit", client=SLOW_APP),
    }


def _account(reason: str, method: str, path: str, **more: Any) -> Case:
    headers = more.pop("headers", {})
    return Case(
        lambda asker: asker.ask(method, f"{ME}/{path}", headers={**headers, **asker.session()}, **more),
        "account.refused",
        reason,
        user=True,
        client=SAMPLE_AGENT,
    )


def _operator_cases(operation: str, method: str, path: str, scope: str) -> dict[tuple[str, int], Case]:
    another = "keys:read" if scope != "keys:read" else "audit:read"

    async def with_another(asker: Asker) -> httpx.Response:
        return await asker.ask(method, path, headers=await asker.operator(another))

    return {
        (operation, 401): Case(
            lambda asker: asker.ask(method, path, headers=asker.session()), "operator.refused", "bad_algorithm"
        ),
        (operation, 403): Case(with_another, "operator.refused", "insufficient_scope", client=OPERATOR),
    }


def _operator(reason: str, method: str, path: str) -> Case:
    async def ask(asker: Asker) -> httpx.Response:
        return await asker.ask(method, path, headers=await asker.operator())

    return Case(ask, "operator.refused", reason, client=OPERATOR)


def _stranger(type_: str, reason: str, method: str, path: str, **more: Any) -> Case:
    return Case(lambda asker: asker.ask(method, path, **more), type_, reason)


async def _too_often(asker: Asker) -> httpx.Response:
    form = {"grant_type": TOKEN_EXCHANGE, "subject_token": "x", "subject_token_type": ACCESS_TOKEN}
    await asker.ask("POST", "/oauth/token", data=form, auth=(SLOW_APP, SLOW_SECRET))
    return await asker.ask("POST", "/oauth/token", data=form, auth=(SLOW_APP, SLOW_SECRET))


async def _wrong_secret(asker: Asker) -> httpx.Response:
    return await asker.ask(
        "POST", "/oauth/token", data={"grant_type": "client_credentials"}, auth=(BRIEFING_AGENT, "x")
    )


_NOBODY = uuid4()
CASES: dict[tuple[str, int], Case] = {
    ("issueToken", 400): _stranger(
        "token.refused", "unsupported_grant_type", "POST", "/oauth/token", data={"grant_type": "x"}
    ),
    ("issueToken", 401): Case(_wrong_secret, "operator.token", "wrong_secret", client=BRIEFING_AGENT),
    ("issueToken", 413): _stranger(
        "token.refused", "body_too_large", "POST", "/oauth/token", content=LARGE, headers=FORM
    ),
    ("issueToken", 429): Case(_too_often, "token.refused", "client_limit", client=SLOW_APP),
    **_account_cases("beginConnection", "POST", "connect", "create"),
    ("beginConnection", 400): _account("redirect_uri", "POST", "connect", json=_WELL["connect"]),
    ("beginConnection", 413): _account("body_too_large", "POST", "connect", content=LARGE, headers=AS_JSON),
    ("beginConnection", 415): _account("unsupported_media_type", "POST", "connect", content=b"{}"),
    **_account_cases("completeConnection", "POST", "complete", "create"),
    ("completeConnection", 400): _account("connect_code", "POST", "complete", json=_WELL["complete"]),
    ("completeConnection", 413): _account("body_too_large", "POST", "complete", content=LARGE, headers=AS_JSON),
    ("completeConnection", 415): _account("unsupported_media_type", "POST", "complete", content=b"{}"),
    **_account_cases("listAccounts", "GET", "accounts", "read"),
    ("listAccounts", 400): _account("invalid_request", "GET", "accounts?take=many"),
    **_account_cases("deleteAccount", "DELETE", f"accounts/{_NOBODY}", "delete"),
    ("deleteAccount", 404): _account("not_found", "DELETE", f"accounts/{_NOBODY}"),
    **_account_cases("listConnections", "GET", "connections", "read"),
    ("listConnections", 400): _account("cursor", "GET", "connections?from=x"),
    **_account_cases("listActivity", "GET", "activity", "read"),
    ("listActivity", 400): _account("cursor", "GET", "activity?from=x"),
    ("openTicket", 400): _stranger("connection.refused", "ticket", "GET", "/auth/connect?ticket=made-up"),
    ("openDoor", 400): _stranger("connection.refused", "client", "GET", "/auth/connect/github?client_id=nobody"),
    ("openConnections", 400): _stranger("page.refused", "invalid_request", "GET", "/connections?cursor=%21"),
    ("openActivity", 400): _stranger("page.refused", "invalid_request", "GET", "/connections/activity?cursor=%21"),
    ("receiveLogoutToken", 400): _stranger("session.refused", "malformed", "POST", "/auth/login/backchannel"),
    ("receiveLogoutToken", 413): _stranger(
        "session.refused", "body_too_large", "POST", "/auth/login/backchannel", content=LARGE, headers=FORM
    ),
    **_operator_cases("listAuditEvents", "GET", "/v1/audit/events", "audit:read"),
    ("listAuditEvents", 400): _operator("invalid_request", "GET", "/v1/audit/events?colour=red"),
    **_operator_cases("listUsersConnections", "GET", "/v1/connections", "connections:read"),
    ("listUsersConnections", 400): _operator("cursor", "GET", "/v1/connections?cursor=x"),
    **_operator_cases("deleteUsersConnection", "DELETE", f"/v1/connections/{_NOBODY}", "connections:revoke"),
    ("deleteUsersConnection", 404): _operator("not_found", "DELETE", f"/v1/connections/{_NOBODY}"),
    **_operator_cases("eraseSubject", "DELETE", "/v1/subjects?issuer=x&subject=y", "connections:revoke"),
    ("eraseSubject", 400): _operator("invalid_request", "DELETE", "/v1/subjects?issuer=x"),
    ("eraseSubject", 404): _operator("not_found", "DELETE", "/v1/subjects?issuer=x&subject=y"),
    **_operator_cases("listKeys", "GET", "/v1/keys", "keys:read"),
}
NO_EVENT: dict[tuple[str, int], str] = {
    ("openDoor", 404): "No route has such a path: nothing of anybody's was asked for, so nothing was decided.",
}
