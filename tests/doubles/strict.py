"""A provider as strict as real ones about scopes, which answers in words that a test chooses.

A consent grants what it names and nothing from before. Userinfo refuses a token without one of `identity`, and no
refresh token comes without `offline` where there is one.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

SECRET = "the made-up secret of an app, long enough"


class StrictProvider:
    """The provider. Everybody says yes at once, and is `person`.

    `words` makes the answer's `scope` of what was granted, None leaves it out; `refreshed` does so for a refresh.
    `withheld` is what the person unticks. With `in_redirect` the way back names the scopes and the token's answer does
    not. `asked` are the scopes of the consents so far, and `revoked` counts what was given back.
    """

    def __init__(self, *, identity: frozenset[str] = frozenset(), offline: str | None = None) -> None:
        self.identity = identity
        self.offline = offline
        self.reset()
        self.app = Starlette(
            routes=[
                Route("/authorize", self._authorize),
                Route("/token", self._token, methods=["POST"]),
                Route("/userinfo", self._userinfo, methods=["GET", "POST"]),
            ]
        )

    def reset(self) -> None:
        """As if nothing had been asked or switched."""
        self.person = "ada"
        self.words: Callable[[frozenset[str]], str | None] = joined
        self.refreshed: Callable[[frozenset[str]], str | None] = joined
        self.withheld: frozenset[str] = frozenset()
        self.in_redirect = False
        self.life = 3600
        self.asked: list[frozenset[str]] = []
        self._codes: dict[str, frozenset[str]] = {}
        self._tokens: dict[str, frozenset[str]] = {}

    def scopes_of(self, token: str) -> frozenset[str]:
        """What a token is good for here, whatever was answered."""
        return self._tokens[token]

    async def _authorize(self, request: Request) -> Response:
        asked = frozenset(request.query_params.get("scope", "").replace(",", " ").split())
        self.asked.append(asked)
        code = secrets.token_urlsafe(8)
        self._codes[code] = asked - self.withheld
        back = {"code": code, "state": request.query_params["state"]}
        if self.in_redirect:
            back["scope"] = ",".join(sorted(self._codes[code]))
        return RedirectResponse(f"{request.query_params['redirect_uri']}?{urlencode(back)}", status_code=302)

    async def _token(self, request: Request) -> Response:
        form = await request.form()
        if form["grant_type"] == "refresh_token":
            scopes = self._tokens.get(str(form["refresh_token"]))
            if scopes is None:
                return JSONResponse({"error": "invalid_grant"}, status_code=400)
            if "scope" in form:
                scopes &= frozenset(str(form["scope"]).split())
            return JSONResponse(self._answer(scopes, self.refreshed(scopes)))
        granted = self._codes.pop(str(form["code"]))
        answer = self._answer(granted, None if self.in_redirect else self.words(granted))
        if self.offline is None or self.offline in granted:
            answer["refresh_token"] = self._new("rt", granted)
        return JSONResponse(answer)

    def _answer(self, scopes: frozenset[str], told: str | None) -> dict[str, Any]:
        answer = {"access_token": self._new("at", scopes), "token_type": "Bearer", "expires_in": self.life}
        return answer if told is None else answer | {"scope": told}

    def _new(self, kind: str, scopes: frozenset[str]) -> str:
        token = f"{kind}-{secrets.token_urlsafe(12)}"
        self._tokens[token] = scopes
        return token

    async def _userinfo(self, request: Request) -> Response:
        scopes = self._tokens.get(request.headers.get("authorization", "").partition(" ")[2])
        if scopes is None or (self.identity and not self.identity & scopes):
            return JSONResponse({"error": "invalid_request"}, status_code=401)
        told = {"sub": self.person, "email": f"{self.person}@example.com"}
        # Where the catalogue looks at other providers.
        return JSONResponse(
            {**told, "id": self.person, "login": self.person, "data": {"viewer": told | {"id": self.person}}}
        )


def joined(scopes: frozenset[str]) -> str:
    """As RFC 6749 §3.3 has it."""
    return " ".join(sorted(scopes))
