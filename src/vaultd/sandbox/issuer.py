"""A small OpenID Connect issuer: it signs the sandbox's people in by a click and mints their session tokens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from joserfc import jwt
from joserfc.jwk import ECKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from vaultd.sandbox.endpoints import Endpoints
from vaultd.sandbox.faults import IssuerFaults
from vaultd.sandbox.grants import TokenSource, Witness, nobody, random_token
from vaultd.sandbox.oauth import (
    CODE_TTL,
    NO_STORE,
    AuthorizationRequest,
    OAuthRefused,
    Registration,
    SentBack,
    check_verifier,
    form_of,
    json_answer,
    with_query,
)
from vaultd.sandbox.pages import Pages, see_other
from vaultd.sandbox.people import PEOPLE, Person, ordered
from vaultd.terms import Clock, Scopes, Secret, system_clock

ALGORITHM = "ES256"


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Who a code stands for, and until when."""

    request: AuthorizationRequest
    person: Person
    at: datetime

    def is_stale(self, now: datetime) -> bool:
        """Whether the code has outlived its minute."""
        return now - self.at > timedelta(seconds=CODE_TTL)


class SandboxIssuer:
    """One issuer at the URL `issuer`, which is also where `app` must be served.

    `clients` maps a client id to its secret (None: a public client). `audience` is what access tokens are for when
    nothing else is said, `ttl` their life in seconds. `calls` counts `discovery`, `jwks`, `authorize` and `token`.
    """

    def __init__(
        self,
        *,
        issuer: str,
        clients: Mapping[str, Secret | None],
        audience: str,
        clock: Clock = system_clock,
        ttl: int = 3600,
        redirect_uris: Collection[str] | None = None,
        token: TokenSource = random_token,
        witness: Witness = nobody,
    ) -> None:
        self.issuer = issuer
        self.audience = audience
        self.ttl = ttl
        self.calls: Counter[str] = Counter()
        self.faults: Final = IssuerFaults()
        self._base = issuer.rstrip("/")
        self._clock = clock
        self._token_source = token
        self._witness = witness
        self._keys = [_new_key(token())]
        self._registration = Registration(
            clients=dict(clients), redirect_uris=None if redirect_uris is None else frozenset(redirect_uris)
        )
        self._pages = Pages(service="Orchard")
        self._endpoints = Endpoints(calls=self.calls, faults=self.faults, pages=self._pages, issuer=issuer)
        self._pending: dict[str, AuthorizationRequest] = {}
        self._codes: dict[str, SignedIn] = {}
        self.app = Starlette(routes=self._routes())

    def mint(
        self,
        sub: str,
        *,
        aud: str | list[str] | None = None,
        azp: str | None = None,
        scope: str = "",
        ttl: int | None = None,
        claims: Mapping[str, Any] | None = None,
    ) -> str:
        """A session token (RFC 9068). `ttl` is in seconds and may be negative; a claim of None is left out."""
        registered = {"aud": aud or self.audience, "azp": azp, "client_id": azp, "scope": scope or None}
        return self._sign("at+jwt", sub, ttl, {**registered, **(claims or {})})

    def mint_id_token(
        self, sub: str, *, client_id: str, nonce: str | None = None, ttl: int | None = None, **claims: object
    ) -> str:
        """An ID token (OpenID Connect Core §2) for one of the people, or for any other `sub`, who then has no name."""
        person = PEOPLE.get(sub)
        about = {"name": person.name, "email": person.email, "email_verified": True} if person else {}
        standard = {"aud": client_id, "azp": client_id, "nonce": nonce, "auth_time": int(self._clock().timestamp())}
        return self._sign("JWT", sub, ttl, {**standard, **about, **claims})

    def rotate_key(self, *, forget_old: bool = False) -> None:
        """Sign with a new key from now on; the old ones stay published unless forgotten."""
        self._keys = [*([] if forget_old else self._keys), _new_key(self._token_source())]

    def jwks(self) -> dict[str, Any]:
        """The public keys, as served."""
        return {"keys": [{**key.as_dict(private=False), "use": "sig", "alg": ALGORITHM} for key in self._keys]}

    def _sign(self, kind: str, sub: str, ttl: int | None, claims: Mapping[str, Any]) -> str:
        now = int(self._clock().timestamp())
        life = self.ttl if ttl is None else ttl
        # Times and id first, so that a test may overwrite any of them.
        standard = {"iss": self.issuer, "sub": sub, "iat": now, "exp": now + life, "jti": self._token_source()}
        key = self._keys[-1]
        header = {"alg": ALGORITHM, "kid": key.kid, "typ": kind}
        signed = jwt.encode(
            header, {name: value for name, value in {**standard, **claims}.items() if value is not None}, key
        )
        self._witness(signed)
        return signed

    def _routes(self) -> list[Route]:
        counted, page = self._endpoints.counted, self._endpoints.page
        return [
            Route("/.well-known/openid-configuration", counted("discovery", self._discovery), methods=["GET"]),
            Route("/jwks", counted("jwks", self._jwks), methods=["GET"]),
            Route("/authorize", counted("authorize", page(self._show_sign_in)), methods=["GET"]),
            Route("/login", page(self._login), methods=["POST"]),
            Route("/token", counted("token", self._token), methods=["POST"]),
            Route("/end_session", page(self._end_session), methods=["GET"]),
            Route("/_sandbox/token/{user}", page(self._mint_for), methods=["GET"]),
        ]

    async def _discovery(self, _: Request) -> Response:
        return JSONResponse(
            {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self._base}/authorize",
                "token_endpoint": f"{self._base}/token",
                "jwks_uri": f"{self._base}/jwks",
                "end_session_endpoint": f"{self._base}/end_session",
                "response_types_supported": ["code"],
                "grant_types_supported": ["authorization_code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": [ALGORITHM],
                "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
                "code_challenge_methods_supported": ["S256"],
                "authorization_response_iss_parameter_supported": True,
                "scopes_supported": ["openid", "profile", "email"],
                "claims_supported": ["sub", "name", "email", "email_verified", "nonce", "auth_time"],
            }
        )

    async def _jwks(self, _: Request) -> Response:
        return JSONResponse(self.jwks())

    async def _show_sign_in(self, request: Request) -> Response:
        asked = self._registration.authorization(request.query_params)
        if "openid" not in asked.scopes:
            raise SentBack(asked, "invalid_scope", "The scope openid is missing.")
        if request.query_params.get("prompt") == "none":
            raise SentBack(asked, "login_required", "Nobody stays signed in here.")
        ticket = self._token_source()
        self._pending[ticket] = asked
        people = ordered(asked.login_hint)
        return self._pages.sign_in(ticket=ticket, people=people, app=asked.client_id, hinted=bool(asked.login_hint))

    async def _login(self, request: Request) -> Response:
        form = await form_of(request)
        asked = self._pending.get(form.get("ticket", ""))
        if asked is None:
            raise OAuthRefused("invalid_request", "This page is no longer good. Start again from your app.")
        person = PEOPLE.get(form.get("user", ""))
        if person is None and "cancel" not in form:
            raise OAuthRefused("access_denied", "There is nobody of that name here.")
        del self._pending[form["ticket"]]
        if person is None:
            raise SentBack(asked, "access_denied", "The person did not sign in.")
        code = self._token_source()
        self._codes[code] = SignedIn(request=asked, person=person, at=self._clock())
        return see_other(asked.callback(code=code, iss=self.issuer))

    async def _token(self, request: Request) -> Response:
        form = await form_of(request)
        client_id = self._registration.authenticate(request.headers.get("authorization"), form)
        if form.get("grant_type") != "authorization_code":
            raise OAuthRefused("unsupported_grant_type")
        found = self._codes.pop(form.get("code", ""), None)
        if found is None or found.is_stale(self._clock()) or found.request.client_id != client_id:
            raise OAuthRefused("invalid_grant", "The code is not good.")
        if found.request.redirect_uri != form.get("redirect_uri"):
            raise OAuthRefused("invalid_grant", "The redirect URI is not the one that was asked with.")
        check_verifier(found.request.challenge, form.get("code_verifier"))
        return json_answer(self._tokens(found, client_id))

    def _tokens(self, found: SignedIn, client_id: str) -> dict[str, Any]:
        login, scopes = found.person.login, found.request.scopes
        return {
            "access_token": self.mint(login, azp=client_id, scope=str(scopes)),
            "id_token": self.mint_id_token(login, client_id=client_id, nonce=found.request.nonce),
            "token_type": "Bearer",
            "expires_in": self.ttl,
            "scope": str(scopes),
        }

    async def _end_session(self, request: Request) -> Response:
        """OpenID Connect RP-Initiated Logout; nobody stays signed in here, so there is only the way back."""
        back = request.query_params.get("post_logout_redirect_uri")
        if back is None:
            return self._pages.message("Signed out", "You are signed out.")
        self._registration.check_redirect(back)
        return see_other(with_query(back, state=request.query_params.get("state")))

    async def _mint_for(self, request: Request) -> Response:
        """A session token as plain text, for `curl`. No page of another origin can read it."""
        user, query = request.path_params["user"], request.query_params
        if user not in PEOPLE:
            raise OAuthRefused("invalid_request", "There is nobody of that name here.")
        scope = str(Scopes.parse(query.get("scope", "")))
        return PlainTextResponse(self.mint(user, azp=query.get("azp"), scope=scope), headers=NO_STORE)


def _new_key(kid: str) -> ECKey:
    return ECKey.generate_key("P-256", {"kid": kid})
