"""What the document cannot say: which ids, tickets and URLs this one vault knows. Loaded by schemathesis.

A generated value that the document allows is replaced by one that exists, just before it is sent; one that the document
forbids stays as it is. So well-formed requests must succeed, and of malformed ones only the mistake is wrong.
"""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import schemathesis
from schemathesis import CheckContext, HookContext, Response
from schemathesis.core.parameters import ParameterLocation

from vaultd.sandbox.browser import Browser

Case = schemathesis.Case[Any]
Members = dict[str, Any]
TEXT = 2048
"""Characters of a text in a body, at most."""
OPERATOR = "operator"
SCOPES = ["repo"]


@dataclass(frozen=True, slots=True)
class Begun:
    """A consent that the app has begun."""

    auth_session: str
    ticket: str


class Deployment:
    """What a user and an operators' program of this vault know, asked for when it is first needed."""

    def __init__(self) -> None:
        self.vault = os.environ["VAULTD_URL"]
        self.redirect_uri = os.environ["VAULTD_REDIRECT_URI"]
        self.subject_token = os.environ["VAULTD_USER_TOKEN"]
        self.operator = (OPERATOR, os.environ["VAULTD_OPERATOR_SECRET"])
        self._user = httpx.Client(
            base_url=f"{self.vault}/me/v1/connected-accounts/",
            headers={"Authorization": f"Bearer {self.subject_token}"},
            trust_env=False,
            timeout=30.0,
        )
        self.issuer = os.environ["VAULTD_ISSUER"]
        self._gone: str | None = None
        self._logout_tokens = Path(os.environ["VAULTD_LOGOUT_TOKENS"]).read_text(encoding="ascii").split()

    def logout_token(self) -> str:
        """One that was not used yet."""
        return self._logout_tokens.pop()

    def begin(self, verifier: str | None = None) -> Begun:
        """Begin a consent, as the app does."""
        wish = {"connection": "github", "redirect_uri": self.redirect_uri, "scopes": SCOPES}
        if verifier is not None:
            wish["code_challenge"] = base64.urlsafe_b64encode(sha256(verifier.encode()).digest()).decode().rstrip("=")
        begun = self._user.post("connect", json=wish).raise_for_status().json()
        return Begun(begun["auth_session"], begun["connect_params"]["ticket"])

    def returned(self, begun: Begun) -> str:
        """Go through the provider's pages, as the user does; gives the code that the app's page is called with."""
        return asyncio.run(self._returned(begun))

    def disconnected_account(self) -> str:
        """An account of the user's that is disconnected already, which is well as often as it is asked."""
        if self._gone is None:
            begun = self.begin()
            completion = {
                "auth_session": begun.auth_session,
                "connect_code": self.returned(begun),
                "redirect_uri": self.redirect_uri,
            }
            made: str = self._user.post("complete", json=completion).raise_for_status().json()["id"]
            self._user.delete(f"accounts/{made}").raise_for_status()
            self._gone = made
        return self._gone

    def somebody(self) -> str:
        """A user who is there to be erased, each time anew."""
        headers = {"Authorization": f"Bearer {os.environ['VAULTD_LEAVER_TOKEN']}"}
        self._user.get("accounts", headers=headers).raise_for_status()
        return "leaver"

    async def _returned(self, begun: Begun) -> str:
        async with Browser(stop_at=(self.redirect_uri,)) as browser:
            await browser.open(f"{self.vault}/auth/connect?ticket={begun.ticket}")
            await browser.click("Continue to GitHub")
            await browser.click("Alice")
            page = await browser.click("Allow")
        return httpx.URL(page.url).params["connect_code"]


class Known:
    """Puts what this vault knows into the cases of one operation each."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self.of: dict[str, Callable[[Case], None]] = {
            "issueToken": self._token,
            "beginConnection": self._begin,
            "completeConnection": self._complete,
            "deleteAccount": self._delete,
            "openTicket": self._ticket,
            "openDoor": self._door,
            "receiveLogoutToken": self._logged_out,
            "listAccounts": self._page,
            "listConnections": self._page,
            "listActivity": self._page,
            "listAuditEvents": self._events,
            "listUsersConnections": self._events,
            "deleteUsersConnection": self._disconnect,
            "eraseSubject": self._erase,
        }

    def _token(self, case: Case) -> None:
        body = _members(case)
        if body is None or not _is_positive(case):
            return
        # Which way a client authenticates is a matter of its configuration.
        for name in ("client_id", "client_secret", "client_assertion", "client_assertion_type"):
            body.pop(name, None)
        if body["grant_type"] == "client_credentials":
            body["scope"] = "audit:read"
            credentials = base64.b64encode(":".join(self._deployment.operator).encode()).decode()
            case.headers["Authorization"] = f"Basic {credentials}"
            return
        for name in ("actor_token", "actor_token_type", "resource", "login_hint"):
            body.pop(name, None)
        if "connection" in body:
            body["connection"] = "github"
        body |= {"subject_token": self._deployment.subject_token, "scope": SCOPES[0]}
        body["subject_token_type"] = "urn:ietf:params:oauth:token-type:access_token"
        body["audience"] = ["github"] if case.media_type == "application/x-www-form-urlencoded" else "github"

    def _begin(self, case: Case) -> None:
        body = _members(case)
        if body is None:
            return
        _replace(body, "connection", "github")
        _replace(body, "redirect_uri", self._deployment.redirect_uri)
        if isinstance(body.get("scopes"), list) and all(_is_text(scope) for scope in body["scopes"]):
            body["scopes"] = SCOPES
        params = body.get("authorization_params")
        if isinstance(params, dict) and all(_is_text(value) for value in params.values()):
            body["authorization_params"] = dict(zip(("login_hint", "prompt"), params.values(), strict=False))

    def _complete(self, case: Case) -> None:
        body = _members(case)
        if body is not None and _is_positive(case):
            begun = self._deployment.begin(body.get("code_verifier"))
            body["auth_session"], body["connect_code"] = begun.auth_session, self._deployment.returned(begun)
            body["redirect_uri"] = self._deployment.redirect_uri

    def _delete(self, case: Case) -> None:
        if _is_positive(case):
            case.path_parameters["account_id"] = self._deployment.disconnected_account()

    def _disconnect(self, case: Case) -> None:
        if _is_positive(case):
            case.path_parameters["connection_id"] = self._deployment.disconnected_account()

    def _erase(self, case: Case) -> None:
        if _is_positive(case):
            case.query |= {"issuer": self._deployment.issuer, "subject": self._deployment.somebody()}

    def _ticket(self, case: Case) -> None:
        if _is_positive(case):
            case.query["ticket"] = self._deployment.begin().ticket

    def _door(self, case: Case) -> None:
        if _is_positive(case):
            case.query["client_id"] = "sample-agent"
            case.query["return_to"] = self._deployment.redirect_uri

    def _logged_out(self, case: Case) -> None:
        body = _members(case)
        if body is not None and _is_positive(case):
            body["logout_token"] = self._deployment.logout_token()

    def _page(self, case: Case) -> None:
        if _is_positive(case):
            case.query.pop("from", None)

    def _events(self, case: Case) -> None:
        if not _is_positive(case):
            return
        case.query.pop("cursor", None)
        # One without the other is a user without an issuer, which is nobody.
        if ("subject" in case.query) != ("subject_issuer" in case.query):
            case.query |= {"subject": "alice", "subject_issuer": self._deployment.vault}


def _is_positive(case: Case) -> bool:
    """Whether the request is well-formed. No header has a form that it could lack; a strange one is ignored."""
    if case.meta is None:
        return False
    wrong = {location for location, component in case.meta.components.items() if component.mode.is_negative}
    return wrong <= {ParameterLocation.HEADER}


def _members(case: Case) -> Members | None:
    body: Any = case.body
    return body if isinstance(body, dict) else None


def _is_text(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= TEXT


def _replace(members: Members, name: str, known: str) -> None:
    if _is_text(members.get(name)):
        members[name] = known


_known = Known(Deployment())


@schemathesis.hook
def before_call(context: HookContext, case: Case, kwargs: Members) -> None:
    known = _known.of.get(case.operation.definition.raw["operationId"])
    if known is not None:
        known(case)
    # By this name a failure is found in the vault's log.
    case.headers.setdefault("X-Request-Id", uuid4().hex)


@schemathesis.check
class EveryOperationSucceeds:
    """A run in which an operation never got further than its refusals has proven little."""

    def __init__(self) -> None:
        self._tried: set[str] = set()
        self._succeeded: set[str] = set()

    def after_response(self, ctx: CheckContext, response: Response, case: Case) -> None:
        self._tried.add(case.operation.label)
        if response.status_code < 400:
            self._succeeded.add(case.operation.label)

    def after_run(self, ctx: CheckContext) -> None:
        never = self._tried - self._succeeded
        assert not never, f"never answered well: {', '.join(sorted(never))}"
