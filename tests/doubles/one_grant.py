"""A provider that keeps one grant for each person and app, as several do, whoever of the app's users asked for it.

`github`: deleting the grant ends all tokens of the person, deleting a token ends that one. `google`: revoking one token
ends all of them. `slack`: a workspace has one token for the bot, and everybody who installs the app is given it.
"""

from __future__ import annotations

import json
import secrets
from collections import Counter
from typing import Any, Literal
from urllib.parse import urlencode

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

Way = Literal["github", "google", "slack"]


class OneGrant:
    """The provider. `person` is who sits at the browser; everybody says yes at once. `calls` are the revocations.

    With `down` userinfo does not answer.
    """

    def __init__(self, way: Way) -> None:
        self.way = way
        self.person = "octocat"
        self.down = False
        self.calls: Counter[str] = Counter()
        self._codes: dict[str, str] = {}
        self._owners: dict[str, str] = {}
        self.app = Starlette(
            routes=[
                Route("/authorize", self._authorize),
                Route("/token", self._token, methods=["POST"]),
                Route("/userinfo", self._userinfo),
                Route("/applications/{client}/{what}", self._delete, methods=["DELETE"]),
                Route("/revoke", self._revoke, methods=["POST"]),
            ]
        )

    def accepts(self, token: str) -> bool:
        """Whether a token is good here."""
        return token in self._owners

    def tokens_of(self, person: str) -> list[str]:
        """Every good token of somebody."""
        return [token for token, owner in self._owners.items() if owner == person]

    async def _authorize(self, request: Request) -> Response:
        code = secrets.token_urlsafe(8)
        self._codes[code] = self.person
        query = urlencode({"code": code, "state": request.query_params["state"]})
        return RedirectResponse(f"{request.query_params['redirect_uri']}?{query}", status_code=302)

    async def _token(self, request: Request) -> Response:
        form = await request.form()
        if form["grant_type"] == "refresh_token":
            person = self._owners.get(str(form["refresh_token"]))
            if person is None:
                return JSONResponse({"error": "invalid_grant"}, status_code=400)
            return JSONResponse({"access_token": self._new("at", person), "token_type": "Bearer", "expires_in": 3600})
        person = self._codes.pop(str(form["code"]))
        if self.way == "slack":
            return JSONResponse(self._installed(person))
        answer: dict[str, Any] = {"access_token": self._new("at", person), "token_type": "bearer", "scope": "read"}
        if self.way == "google":
            answer |= {"refresh_token": self._new("rt", person), "expires_in": 3600}
        return JSONResponse(answer)

    def _installed(self, team: str) -> dict[str, Any]:
        token = next(iter(self.tokens_of(team)), None) or self._new("xoxb", team)
        return {"ok": True, "access_token": token, "token_type": "bot", "scope": "read", "team": {"id": team}}

    def _new(self, kind: str, person: str) -> str:
        token = f"{kind}-{secrets.token_urlsafe(12)}"
        self._owners[token] = person
        return token

    async def _userinfo(self, request: Request) -> Response:
        if self.down:
            return Response(status_code=503)
        person = self._owners.get(request.headers["authorization"].partition(" ")[2])
        return Response(status_code=401) if person is None else JSONResponse({"id": person, "login": person})

    async def _delete(self, request: Request) -> Response:
        what = request.path_params["what"]
        return self._ended(what, json.loads(await request.body())["access_token"], alone=what == "token")

    async def _revoke(self, request: Request) -> Response:
        if self.way == "slack":
            self._ended("revoke", request.headers["authorization"].partition(" ")[2], alone=True)
            return JSONResponse({"ok": True, "revoked": True})
        return self._ended("revoke", str((await request.form())["token"]), alone=False)

    def _ended(self, call: str, token: str, *, alone: bool) -> Response:
        self.calls[call] += 1
        person = self._owners.get(token)
        if person is None:
            return Response(status_code=404 if self.way == "github" else 200)
        for ended in [token] if alone else self.tokens_of(person):
            del self._owners[ended]
        return Response(status_code=204 if self.way == "github" else 200)


def table_of(way: Way, url: str, *, client_id: str, client_secret: str) -> dict[str, Any]:
    """Its table: what the catalogue says of the real one, at this address."""
    shared: dict[str, Any] = {
        "client_id": client_id,
        "client_secret": client_secret,
        "token_endpoint_auth_method": "client_secret_post",
        "allow_private_hosts": ["127.0.0.1"],
        "authorization_endpoint": f"{url}/authorize",
        "token_endpoint": f"{url}/token",
        "account_id_field": "id",
        "account_label_fields": ["login"],
        "scopes": ["read"],
    }
    if way == "github":
        return shared | {
            "userinfo_endpoint": f"{url}/userinfo",
            "revocation": "github_grant",
            "revocation_endpoint": f"{url}/applications/{{client_id}}/grant",
            "revocation_ends": "grant",
            "token_revocation_endpoint": f"{url}/applications/{{client_id}}/token",
        }
    if way == "google":
        return shared | {
            "userinfo_endpoint": f"{url}/userinfo",
            "revocation_endpoint": f"{url}/revoke",
            "revocation_token": "refresh_token",
            "revocation_ends": "grant",
        }
    return shared | {
        "revocation": "slack",
        "revocation_endpoint": f"{url}/revoke",
        "revocation_ends": "installation",
        "account_source": "token",
        "account_id_field": "team.id",
        "account_label_fields": ["team.id"],
    }
