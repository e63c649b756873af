"""A provider that says what a test has it say, of each grant alone.

Each consent is another account's, with tokens of its own. Everybody says yes at once.
"""

from __future__ import annotations

import json
import secrets
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from tests.doubles.four_steps import FourSteps


@dataclass(frozen=True, slots=True)
class Words:
    """An answer in a provider's own words."""

    status: int
    body: Mapping[str, Any] | str
    headers: Mapping[str, str] = field(default_factory=dict)

    def answer(self) -> Response:
        text = self.body if isinstance(self.body, str) else json.dumps(self.body)
        return Response(text, status_code=self.status, headers={"content-type": "application/json", **self.headers})


@dataclass(slots=True)
class Granted:
    """What one person has granted. `says` are the answers to its next refreshes; the last of them stays."""

    person: str
    scopes: str
    says: list[Words] = field(default_factory=list)
    asked: list[dict[str, str]] = field(default_factory=list)
    access: list[str] = field(default_factory=list)
    refresh: list[str] = field(default_factory=list)

    def said(self) -> Words | None:
        return self.says.pop(0) if len(self.says) > 1 else self.says[0] if self.says else None


class OwnWords(FourSteps):
    """The provider. `token` and `renewed` change the members of good answers, None leaves one out.

    `redirect` comes beside the code. `instead` is what it says to a code, whatever the code, and `userinfo` to who asks
    whose token it is. With `rotates` each refresh brings another refresh token. `revoked` are the tokens that were
    given back.
    """

    def __init__(self) -> None:
        self.grants: dict[str, Granted] = {}
        self._codes: dict[str, Granted] = {}
        super().__init__()
        self.reset()

    def reset(self) -> None:
        """Well, and silent about all that is optional."""
        self.person: str | None = None
        self.redirect: dict[str, str] = {}
        self.token: dict[str, Any] = {}
        self.renewed: dict[str, Any] = {}
        self.instead: Words | None = None
        self.userinfo: Words | None = None
        self.needs_scope = False
        self.rotates = False
        self.revoked: list[str] = []
        self.calls: Counter[str] = Counter()

    def latest(self) -> Granted:
        """The grant of the last consent."""
        return list(self.grants.values())[-1]

    def tables(self, url: str, **changes: Any) -> dict[str, Any]:
        """Its table in a vault's file."""
        return {
            "client_id": "own-app",
            "token_endpoint_auth_method": "none",
            "allow_private_hosts": ["127.0.0.1"],
            "authorization_endpoint": f"{url}/authorize",
            "token_endpoint": f"{url}/token",
            "userinfo_endpoint": f"{url}/userinfo",
            "account_id_field": "id",
            "account_label_fields": ["id"],
            "revocation_endpoint": f"{url}/revoke",
            "revocation_ends": "token",
            "scopes": ["read"],
        } | changes

    async def _authorize(self, request: Request) -> Response:
        person = self.person or f"person-{secrets.token_hex(4)}"
        code = secrets.token_urlsafe(8)
        self._codes[code] = self.grants[person] = Granted(person, request.query_params.get("scope", ""))
        query = urlencode({"code": code, "state": request.query_params["state"], **self.redirect})
        return RedirectResponse(f"{request.query_params['redirect_uri']}?{query}", status_code=302)

    async def _token(self, request: Request) -> Response:
        form = {name: str(value) for name, value in (await request.form()).items()}
        if form["grant_type"] == "refresh_token":
            return self._renewed(form)
        self.calls["token"] += 1
        granted = self._codes.pop(form["code"])
        if self.instead is not None:
            return self.instead.answer()
        return self._given(granted, {"refresh_token": self._new(granted.refresh), "scope": granted.scopes} | self.token)

    def _renewed(self, form: dict[str, str]) -> Response:
        self.calls["refresh"] += 1
        granted = next(each for each in self.grants.values() if form["refresh_token"] in each.refresh)
        granted.asked.append(form)
        if self.needs_scope and not form.get("scope"):
            return JSONResponse({"error": "invalid_request", "error_description": "AADSTS90009: …"}, status_code=400)
        words = granted.said()
        if words is not None and words.status != 200:
            return words.answer()
        changes = dict(words.body) if words is not None and isinstance(words.body, Mapping) else {}
        rotated = {"refresh_token": self._new(granted.refresh)} if self.rotates else {}
        return self._given(granted, rotated | self.renewed | changes)

    def _given(self, granted: Granted, members: Mapping[str, Any]) -> Response:
        body = {"access_token": self._new(granted.access), "token_type": "Bearer", "expires_in": 30, **members}
        return JSONResponse({name: value for name, value in body.items() if value is not None})

    @staticmethod
    def _new(tokens: list[str]) -> str:
        tokens.append(f"token-{secrets.token_urlsafe(12)}")
        return tokens[-1]

    async def _userinfo(self, request: Request) -> Response:
        if self.userinfo is not None:
            return self.userinfo.answer()
        token = request.headers["authorization"].partition(" ")[2]
        person = next((each.person for each in self.grants.values() if token in each.access), None)
        return Response(status_code=401) if person is None else JSONResponse({"id": person})

    async def _revoke(self, request: Request) -> Response:
        self.revoked.append(str((await request.form())["token"]))
        return Response(status_code=200)
