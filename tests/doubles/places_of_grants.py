"""A provider whose grants are for a place, and a server that reads Basic in the way that it is told to.

Whoever is at the browser is `person`; what they pick there is `place`. `way` is how the provider says for which place
a grant is: `redirect` beside the code, as QuickBooks names the company; `token` in the token's answer, as Slack and
Notion name the workspace; `userinfo` where the account is asked for, as Miro and Intercom name theirs.
"""

from __future__ import annotations

import base64
import secrets
from typing import Any, Literal
from urllib.parse import unquote_plus, urlencode

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

Way = Literal["redirect", "token", "userinfo"]


class GrantsForPlaces:
    """The provider. `tokens` are those that are good, with the person and the place that each is for.

    A revocation ends the tokens of this person at this place, with `ends_person` all that the person has.
    With `client` the app must prove itself by Basic: read as it comes (`raw`), else form-decoded (RFC 6749 §2.3.1).
    """

    def __init__(
        self, way: Way, *, client: tuple[str, str] | None = None, raw: bool = False, ends_person: bool = False
    ) -> None:
        self.way = way
        self.person, self.place = "ada", "1"
        self.tokens: dict[str, tuple[str, str]] = {}
        self.refused = 0
        self._client = client
        self._raw = raw
        self._ends_person = ends_person
        self._codes: dict[str, tuple[str, str]] = {}
        self.app = Starlette(
            routes=[
                Route("/authorize", self._authorize),
                Route("/token", self._token, methods=["POST"]),
                Route("/userinfo", self._userinfo),
                Route("/revoke", self._revoke, methods=["POST"]),
            ]
        )

    def at(self, person: str, place: str) -> None:
        """Who sits at the browser next, and what they pick."""
        self.person, self.place = person, place

    async def _authorize(self, request: Request) -> Response:
        code = secrets.token_urlsafe(12)
        self._codes[code] = (self.person, self.place)
        back = {"code": code, "state": request.query_params["state"]}
        if self.way == "redirect":
            back["realmId"] = self.place
        return RedirectResponse(f"{request.query_params['redirect_uri']}?{urlencode(back)}", status_code=302)

    async def _token(self, request: Request) -> Response:
        if not self._is_the_app(request):
            self.refused += 1
            return JSONResponse({"error": "invalid_client"}, status_code=401)
        form = await request.form()
        if form["grant_type"] == "refresh_token":
            owner = self.tokens.get(str(form["refresh_token"]))
            if owner is None:
                return JSONResponse({"error": "invalid_grant"}, status_code=400)
            return JSONResponse({"access_token": self._new("at", owner), "token_type": "bearer", "expires_in": 3600})
        owner = self._codes.pop(str(form["code"]))
        return JSONResponse(self._answer(owner))

    def _answer(self, owner: tuple[str, str]) -> dict[str, Any]:
        person, place = owner
        tokens = {"access_token": self._new("at", owner), "refresh_token": self._new("rt", owner)}
        answer = {**tokens, "token_type": "bearer", "expires_in": 3600, "scope": "read"}
        if self.way == "token":
            answer |= {"workspace_id": place, "workspace_name": f"Workspace {place}", "owner": {"user": {"id": person}}}
        return answer

    def _new(self, kind: str, owner: tuple[str, str]) -> str:
        token = f"{kind}-{secrets.token_urlsafe(12)}"
        self.tokens[token] = owner
        return token

    def _is_the_app(self, request: Request) -> bool:
        if self._client is None:
            return True
        pair = base64.b64decode(request.headers.get("authorization", "").removeprefix("Basic ")).decode()
        user, _, password = pair.partition(":")
        given = (user, password) if self._raw else (unquote_plus(user), unquote_plus(password))
        return given == self._client

    async def _userinfo(self, request: Request) -> Response:
        owner = self.tokens.get(request.headers["authorization"].partition(" ")[2])
        if owner is None:
            return Response(status_code=401)
        person, place = owner
        answer: dict[str, Any] = {"id": person, "email": f"{person}@example.com"}
        if self.way == "userinfo":
            answer["team"] = {"id": place, "name": f"Team {place}"}
        return JSONResponse(answer)

    async def _revoke(self, request: Request) -> Response:
        if not self._is_the_app(request):
            self.refused += 1
            return JSONResponse({"error": "invalid_client"}, status_code=401)
        ended = self.tokens.get(str((await request.form())["token"]))
        if ended is not None:
            self.tokens = {token: owner for token, owner in self.tokens.items() if not self._ends(owner, ended)}
        return Response(status_code=200)

    def _ends(self, owner: tuple[str, str], ended: tuple[str, str]) -> bool:
        return owner == ended or (self._ends_person and owner[0] == ended[0])


def table_at(url: str, **keys: Any) -> dict[str, Any]:
    """A provider's table for it."""
    return {
        "client_id": "made-up-app",
        "client_secret": "a+b/c=",
        "token_endpoint_auth_method": "client_secret_basic_raw",
        "allow_private_hosts": ["127.0.0.1"],
        "authorization_endpoint": f"{url}/authorize",
        "token_endpoint": f"{url}/token",
        "revocation_endpoint": f"{url}/revoke",
        "scopes": ["read"],
        **keys,
    }
