"""A provider as strict as real ones, which answers in words that a test chooses.

A consent grants what it names and nothing from before, at the one registered redirect URI. A code is good once, for the
app and the verifier that it was asked with, and costs its tokens when it comes again. What was revoked is good for
nothing. Userinfo refuses a token that has none of the identity scopes, and no refresh token comes without what is
wanted for it.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from vaultd.sandbox.demands import Demands, Words
from vaultd.sandbox.grants import Grants, Issued, random_token
from vaultd.sandbox.oauth import OAuthRefused, Registration, SentBack, bearer_of, required
from vaultd.sandbox.people import Person
from vaultd.terms import Scopes, Secret, system_clock

APP = "app"
SECRET = "the made-up secret of an app, long enough"


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
                Route("/revoke", self._revoke, methods=["POST", "DELETE"]),
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
        self.asked: list[frozenset[str]] = []
        nothing, hour = timedelta(), timedelta(hours=1)
        self._grants = Grants(
            name="strict", clock=system_clock, token=random_token, ttl=hour, rotate=False, reuse_grace=nothing
        )

    @property
    def life(self) -> float:
        """Seconds that an access token lives."""
        return self._grants.ttl.total_seconds()

    @life.setter
    def life(self, seconds: float) -> None:
        self._grants.ttl = timedelta(seconds=seconds)

    def scopes_of(self, token: str) -> frozenset[str]:
        """What a token is good for here, whatever was answered."""
        access = self._grants.access(token)
        assert access is not None, "it is good for nothing"
        return access.scopes

    @property
    def _registration(self) -> Registration:
        known = frozenset({self.redirect_uri}) if self.redirect_uri else None
        # PKCE is an entry's to use; where it does, the verifier has to be the one.
        return Registration(clients={APP: Secret(SECRET)}, redirect_uris=known, require_pkce=False)

    async def _authorize(self, request: Request) -> Response:
        try:
            asked = self._registration.authorization(request.query_params)
        except SentBack as refusal:
            return RedirectResponse(refusal.request.callback(error=refusal.error), status_code=302)
        except OAuthRefused as refusal:
            return PlainTextResponse(refusal.description, status_code=400)
        demands, scopes = self.demands, self.demands.read(asked.query.get("scope", ""))
        self.asked.append(scopes)
        granted = demands.granted(scopes, self.withheld)
        # Nobody here is remembered: each consent might be a second one.
        renewable = self.renewable and demands.renewable(granted, asked.query, again=True)
        person = Person(self.person, self.person.capitalize(), 0)
        code = self._grants.open_code(asked, person, Scopes(granted), renewable=renewable)
        told = ",".join(sorted(granted)) if self.in_redirect else None
        return RedirectResponse(asked.callback(code=code, scope=told), status_code=302)

    async def _token(self, request: Request) -> Response:
        form = await _members(request)
        try:
            app = self._registration.authenticate(request.headers.get("authorization"), form)
            return JSONResponse(self._given(app, form))
        except OAuthRefused as refusal:
            return refusal.answer()

    def _given(self, app: str, form: dict[str, str]) -> dict[str, Any]:
        match required(form, "grant_type"):
            case "authorization_code":
                code, redirect_uri = required(form, "code"), required(form, "redirect_uri")
                verifier = form.get("code_verifier")
                issued = self._grants.redeem(app, code=code, redirect_uri=redirect_uri, verifier=verifier)
                return self._answer(issued, None if self.in_redirect else self.words(issued.scopes))
            case "refresh_token":
                wanted = Scopes(self.demands.read(form.get("scope", "")))
                issued = self._grants.refresh(app, refresh_token=required(form, "refresh_token"), wanted=wanted)
                return self._answer(issued, self.refreshed(issued.scopes))
            case _:
                raise OAuthRefused("unsupported_grant_type")

    def _answer(self, issued: Issued, told: object) -> dict[str, Any]:
        answer = {"access_token": issued.access_token, "token_type": "Bearer", "expires_in": int(self.life)}
        more = {self.scope_field: told, "refresh_token": issued.refresh_token}
        return answer | {name: value for name, value in more.items() if value is not None}

    async def _revoke(self, request: Request) -> Response:
        """Whatever token the request has in it: how it is written differs."""
        form = await _members(request)
        for value in (bearer_of(request.headers.get("authorization")), *form.values()):
            self._grants.revoke(APP, value)
        return Response(status_code=200)

    async def _userinfo(self, request: Request) -> Response:
        access = self._grants.access(bearer_of(request.headers.get("authorization")))
        if access is None or not self.demands.identifies(access.scopes):
            return JSONResponse({"error": "invalid_request"}, status_code=401)
        login = access.family.person.login
        told = {"sub": login, "email": access.family.person.email}
        # Where the catalogue looks at other providers.
        return JSONResponse({**told, "id": login, "login": login, "data": {"viewer": told | {"id": login}}})

    async def _scoped(self, request: Request) -> Response:
        """GitHub's "Create a scoped access token": the permissions, and metadata besides."""
        body = await request.json()
        permissions = {"metadata": "read", **body["permissions"]}
        access = self._grants.access(body["access_token"])
        if access is None:
            return JSONResponse({"message": "Not Found"}, status_code=404)
        scopes = Scopes(f"{name}:{level}" for name, level in permissions.items())
        token = self._grants.open_family(APP, access.family.person, scopes, renewable=False).access_token
        return JSONResponse({"token": token, "expires_at": None, "installation": {"permissions": permissions}})


async def _members(request: Request) -> dict[str, str]:
    """Of a form or of JSON."""
    body = (await request.body()).decode()
    if request.headers.get("content-type", "").startswith("application/json"):
        return {name: str(value) for name, value in json.loads(body).items()}
    return dict(parse_qsl(body))
