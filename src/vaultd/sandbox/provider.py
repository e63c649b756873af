"""A small OAuth 2 provider: pages to click, rotating refresh tokens, revocation, an API, and switches to make it fail.

One object is one provider; `app` can be served at the root of a port or mounted below a path. `github`, `google`,
`slack` and `microsoft` refuse what the real ones refuse, in their words. Everything lies in memory and is gone with the
object.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from vaultd.sandbox.apis import Apis
from vaultd.sandbox.behaviour import Behaviour
from vaultd.sandbox.behaviours import BEHAVIOURS, PLAIN
from vaultd.sandbox.endpoints import Endpoints
from vaultd.sandbox.faults import ProviderFaults
from vaultd.sandbox.grants import Grants, Issued, TokenSource, Witness, nobody, random_token
from vaultd.sandbox.oauth import (
    AuthorizationRequest,
    OAuthRefused,
    Registration,
    SentBack,
    bearer_of,
    form_of,
    json_answer,
    required,
)
from vaultd.sandbox.operate import operator_routes
from vaultd.sandbox.pages import Pages, see_other
from vaultd.sandbox.people import PEOPLE, Person, ordered
from vaultd.terms import Clock, Scopes, Secret, system_clock

WELL_KNOWN_NAMES = {"github": "GitHub", "google": "Google Calendar", "slack": "Slack"}
KINDS = {"authorization_code": "redeem", "refresh_token": "refresh"}


@dataclass(slots=True)
class Pending:
    """An authorization request on its way through the pages."""

    request: AuthorizationRequest
    person: Person | None = None


class SandboxProvider:
    """One provider.

    `clients` maps a client id to its secret (None: a public client). `ttl` is the life of access tokens in seconds.
    With `issuer` set, callbacks carry `iss` (RFC 9207). No redirect URI is good but `redirect_uris`. `reuse_grace` is
    the seconds during which a rotated refresh token is still taken; afterwards its use voids the whole grant.
    `behaviour` is that of the real provider of this name, where there is one.

    `calls` counts `authorize`, `redeem`, `refresh`, `revoke`, `userinfo` and `api`, failing ones too. `faults` makes
    endpoints misbehave. `withheld` are scopes that people do not grant although they were asked for.
    """

    def __init__(
        self,
        *,
        name: str,
        clients: Mapping[str, Secret | None],
        clock: Clock = system_clock,
        ttl: int = 300,
        issuer: str | None = None,
        redirect_uris: Collection[str] = (),
        scopes: Collection[str] = (),
        rotate: bool = True,
        reuse_grace: int = 0,
        token: TokenSource = random_token,
        witness: Witness = nobody,
        behaviour: Behaviour | None = None,
    ) -> None:
        self.name = name
        self.behaviour = behaviour or BEHAVIOURS.get(name, PLAIN)
        self.display_name = WELL_KNOWN_NAMES.get(name, name.capitalize())
        self.calls: Counter[str] = Counter()
        self.faults: Final = ProviderFaults()
        self.withheld = Scopes()
        self.grants = Grants(
            name=name,
            clock=clock,
            token=token,
            ttl=timedelta(seconds=ttl),
            rotate=rotate,
            reuse_grace=timedelta(seconds=reuse_grace),
            witness=witness,
        )
        self._issuer = issuer
        self._scopes = Scopes(scopes)
        self._token_source = token
        self._registration = Registration(clients=dict(clients), redirect_uris=frozenset(redirect_uris))
        self._pages = Pages(service=self.display_name)
        self._endpoints = Endpoints(
            calls=self.calls, faults=self.faults, pages=self._pages, issuer=issuer, refusal=self.behaviour.refusal
        )
        self._pending: dict[str, Pending] = {}
        self.app = Starlette(routes=self._routes(Apis(access=self.grants.access, clock=clock)))

    def issue(self, *, user: str, client_id: str, scopes: Collection[str]) -> dict[str, Any]:
        """A grant without the pages: a token answer for `user` as the token endpoint gives it."""
        return self._answer(self.grants.open_family(client_id, PEOPLE[user], Scopes(scopes)))

    def withdraw(self, user: str) -> None:
        """The person removes every app in their settings here: all their grants are void."""
        self.grants.withdraw(user)

    def _routes(self, apis: Apis) -> list[Route]:
        counted, page = self._endpoints.counted, self._endpoints.page
        return [
            Route("/authorize", counted("authorize", page(self._show_sign_in)), methods=["GET"]),
            Route("/login", page(self._login), methods=["POST"]),
            Route("/consent", page(self._show_consent), methods=["GET"]),
            Route("/consent", page(self._decide), methods=["POST"]),
            Route("/token", self._token, methods=["POST"]),
            Route("/revoke", counted("revoke", self._revoke), methods=["POST"]),
            Route("/userinfo", counted("userinfo", self._userinfo), methods=["GET"]),
            *(Route(path, counted("api", do), methods=["GET"]) for path, do in apis.handlers(self.name).items()),
            *operator_routes(calls=self.calls, faults=self.faults, grants=self.grants),
        ]

    async def _show_sign_in(self, request: Request) -> Response:
        asked = self._registration.authorization(request.query_params)
        asked = replace(asked, scopes=self._read(asked.query.get("scope", "")))
        ticket = self._token_source()
        self._pending[ticket] = Pending(asked)
        people = ordered(asked.login_hint)
        return self._pages.sign_in(ticket=ticket, people=people, app=asked.client_id, hinted=bool(asked.login_hint))

    async def _login(self, request: Request) -> Response:
        form = await form_of(request)
        pending = self._find(form.get("ticket"))
        if "cancel" in form:
            raise SentBack(self._finish(form["ticket"]), "access_denied", "The person did not sign in.")
        pending.person = PEOPLE.get(form.get("user", ""))
        if pending.person is None:
            raise OAuthRefused("access_denied", "There is nobody of that name here.")
        return see_other(f"consent?ticket={form['ticket']}")

    async def _show_consent(self, request: Request) -> Response:
        ticket = request.query_params.get("ticket", "")
        pending = self._find(ticket)
        if pending.person is None:
            raise OAuthRefused("login_required", "Sign in first.")
        asked = self._asked(pending.request)
        return self._pages.consent(ticket=ticket, person=pending.person, app=pending.request.client_id, scopes=asked)

    async def _decide(self, request: Request) -> Response:
        form = await form_of(request)
        person = self._find(form.get("ticket")).person
        if person is None:
            raise OAuthRefused("login_required", "Sign in first.")
        asked = self._finish(form["ticket"])
        if form.get("decision") != "allow":
            raise SentBack(asked, "access_denied", "The person said no.")
        demands = self.behaviour.demands
        granted = Scopes(demands.granted(self._asked(asked), self.withheld))
        again = self.grants.holds(asked.client_id, person)
        renewable = demands.renewable(granted, asked.query, again=again)
        code = self.grants.open_code(asked, person, granted, renewable=renewable)
        return see_other(asked.callback(code=code, iss=self._issuer))

    def _read(self, text: str) -> Scopes:
        return Scopes(self.behaviour.demands.read(text))

    def _asked(self, request: AuthorizationRequest) -> Scopes:
        return request.scopes or self._scopes

    def _find(self, ticket: str | None) -> Pending:
        if ticket not in self._pending:
            raise OAuthRefused("invalid_request", "This page is no longer good. Start again from your app.")
        return self._pending[ticket]

    def _finish(self, ticket: str) -> AuthorizationRequest:
        return self._pending.pop(ticket).request

    async def _token(self, request: Request) -> Response:
        try:
            grant_type = (await form_of(request)).get("grant_type", "")
        except OAuthRefused as refusal:
            return self.behaviour.refusal(refusal)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody is left to read it
        self.calls[KINDS.get(grant_type, "token")] += 1
        return await self._endpoints.attempt("token", self._grant, request)

    async def _grant(self, request: Request) -> Response:
        form = await form_of(request)
        client_id = self._registration.authenticate(request.headers.get("authorization"), form)
        match KINDS.get(form.get("grant_type", "")):
            case "redeem":
                code, redirect_uri = required(form, "code"), required(form, "redirect_uri")
                verifier = form.get("code_verifier")
                issued = self.grants.redeem(client_id, code=code, redirect_uri=redirect_uri, verifier=verifier)
            case "refresh":
                widened = self.faults.token == "widen"  # noqa: S105 - the name of a switch
                wanted = Scopes() if widened else self._read(form.get("scope", ""))
                refresh_token = required(form, "refresh_token")
                issued = self.grants.refresh(client_id, refresh_token=refresh_token, wanted=wanted)
            case _:
                required(form, "grant_type")
                raise OAuthRefused("unsupported_grant_type", about="grant_type")
        return json_answer(self._answer(issued))

    def _answer(self, issued: Issued) -> dict[str, Any]:
        body = {
            "access_token": issued.access_token,
            "token_type": self.behaviour.token_type,
            "expires_in": int(self.grants.ttl.total_seconds()),
        }
        told = self.behaviour.demands.words(issued.scopes)
        more = {"scope": told, "refresh_token": issued.refresh_token}
        return self.behaviour.shaped(body | {name: value for name, value in more.items() if value is not None})

    async def _revoke(self, request: Request) -> Response:
        form = await form_of(request)
        client_id = self._registration.authenticate(request.headers.get("authorization"), form)
        self.grants.revoke(client_id, required(form, "token"))
        return Response(status_code=200)

    async def _userinfo(self, request: Request) -> Response:
        access = self.grants.access(bearer_of(request.headers.get("authorization")))
        if access is None or not self.behaviour.demands.identifies(access.scopes):
            return self.behaviour.no_identity(known=access is not None)
        person = access.family.person
        identity = {"sub": f"{self.name}-{person.number}", "id": person.number, "login": person.login}
        everything = {**identity, "name": person.name, "email": person.email}
        return json_answer(self.behaviour.told(everything, access.scopes))
