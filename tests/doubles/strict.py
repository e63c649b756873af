"""A provider as strict as real ones, which answers in words that a test chooses.

A consent grants what it names and nothing from before, at the one registered redirect URI; a code is good once.
Userinfo refuses a token that has none of the identity scopes, and no refresh token comes without what is wanted for it.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from vaultd.sandbox.demands import Demands, Words

SECRET = "the made-up secret of an app, long enough"


@dataclass(frozen=True, slots=True)
class _Code:
    scopes: frozenset[str]
    redirect_uri: str
    renewable: bool


class StrictProvider:
    """The provider. Everybody says yes at once, and is `person`.

    `words` and `refreshed` make the `scope` of the first answer and of a refresh's. `withheld` is what the person
    unticks. Without `renewable` no refresh token comes. With `in_redirect` the way back names the scopes and the
    token's answer does not; `scope_field` is what that calls them. `asked` are the scopes of the consents so far.
    """

    def __init__(self, demands: Demands | None = None) -> None:
        self.demands = demands or Demands()
        self.redirect_uri: str | None = None
        self.reset()
        self.app = Starlette(
            routes=[
                Route("/authorize", self._authorize),
                Route("/token", self._token, methods=["POST"]),
                Route("/userinfo", self._userinfo, methods=["GET", "POST"]),
                Route("/scoped", self._scoped, methods=["POST"]),
                Route("/revoke", lambda _: Response(status_code=200), methods=["POST", "DELETE"]),
            ]
        )

    def reset(self) -> None:
        """As if nothing had been asked or switched."""
        self.person = "ada"
        self.words: Words = self.demands.words
        self.refreshed: Words = self.demands.words
        self.withheld: frozenset[str] = frozenset()
        self.in_redirect = False
        self.renewable = True
        self.scope_field = "scope"
        self.life = 3600
        self.asked: list[frozenset[str]] = []
        self._codes: dict[str, _Code] = {}
        self._tokens: dict[str, frozenset[str]] = {}

    def scopes_of(self, token: str) -> frozenset[str]:
        """What a token is good for here, whatever was answered."""
        return self._tokens[token]

    async def _authorize(self, request: Request) -> Response:
        query, demands = request.query_params, self.demands
        asked = demands.read(query.get("scope", ""))
        if self.redirect_uri is not None and query["redirect_uri"] != self.redirect_uri:
            return Response("The redirect URI is not registered.", status_code=400)
        self.asked.append(asked)
        granted = demands.granted(asked, self.withheld)
        # Nobody here is remembered: each consent might be a second one.
        renewable = self.renewable and demands.renewable(granted, query, again=True)
        code = secrets.token_urlsafe(8)
        self._codes[code] = _Code(granted, query["redirect_uri"], renewable)
        back = {"code": code, "state": query["state"]}
        if self.in_redirect:
            back["scope"] = ",".join(sorted(granted))
        return RedirectResponse(f"{query['redirect_uri']}?{urlencode(back)}", status_code=302)

    async def _token(self, request: Request) -> Response:
        form = await request.form()
        if form["grant_type"] == "refresh_token":
            scopes = self._tokens.get(str(form["refresh_token"]))
            if scopes is None:
                return JSONResponse({"error": "invalid_grant"}, status_code=400)
            if "scope" in form:
                scopes &= frozenset(str(form["scope"]).split())
            return JSONResponse(self._answer(scopes, self.refreshed(scopes)))
        code = self._codes.pop(str(form["code"]), None)
        if code is None or form["redirect_uri"] != code.redirect_uri:
            return JSONResponse({"error": "invalid_grant"}, status_code=400)
        answer = self._answer(code.scopes, None if self.in_redirect else self.words(code.scopes))
        if code.renewable:
            answer["refresh_token"] = self._new("rt", code.scopes)
        return JSONResponse(answer)

    def _answer(self, scopes: frozenset[str], told: object) -> dict[str, Any]:
        answer = {"access_token": self._new("at", scopes), "token_type": "Bearer", "expires_in": self.life}
        return answer if told is None else answer | {self.scope_field: told}

    def _new(self, kind: str, scopes: frozenset[str]) -> str:
        token = f"{kind}-{secrets.token_urlsafe(12)}"
        self._tokens[token] = scopes
        return token

    async def _userinfo(self, request: Request) -> Response:
        scopes = self._tokens.get(request.headers.get("authorization", "").partition(" ")[2])
        if scopes is None or not self.demands.identifies(scopes):
            return JSONResponse({"error": "invalid_request"}, status_code=401)
        told = {"sub": self.person, "email": f"{self.person}@example.com"}
        # Where the catalogue looks at other providers.
        return JSONResponse(
            {**told, "id": self.person, "login": self.person, "data": {"viewer": told | {"id": self.person}}}
        )

    async def _scoped(self, request: Request) -> Response:
        """GitHub's "Create a scoped access token": the permissions, and metadata besides."""
        body = await request.json()
        permissions = {"metadata": "read", **body["permissions"]}
        if body["access_token"] not in self._tokens:
            return JSONResponse({"message": "Not Found"}, status_code=404)
        token = self._new("ght", frozenset(f"{name}:{level}" for name, level in permissions.items()))
        return JSONResponse({"token": token, "expires_at": None, "installation": {"permissions": permissions}})
