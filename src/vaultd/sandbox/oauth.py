"""What the sandbox's issuer and providers share: an OAuth 2 server's reading of its two kinds of request."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import parse_qs, unquote_plus, urlencode, urlsplit, urlunsplit

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from vaultd.terms import Scopes, Secret

VERIFIER = re.compile(r"[A-Za-z0-9\-._~]{43,128}")  # RFC 7636 §4.1
CODE_TTL = 60
"""Seconds that an authorization code lives."""
About = Literal[
    "client_id", "client_secret", "code", "redirect_uri", "verifier", "refresh_token", "grant_type", "bearer"
]
"""What is wrong with a request, for providers that have words of their own for it."""
NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}


class OAuthRefused(Exception):
    """An OAuth error answer of a sandbox server (RFC 6749 §5.2); `about` is what was wrong in the request."""

    def __init__(
        self,
        error: str,
        description: str = "",
        *,
        about: About | None = None,
        status: int = 400,
        challenge: bool = False,
    ) -> None:
        self.error = error
        self.about = about
        self.description = description or error.replace("_", " ")
        self.status = status
        self.challenge = challenge
        super().__init__(self.description)

    def answer(self) -> Response:
        """As JSON, with `WWW-Authenticate` when the caller tried the `Authorization` header."""
        headers = NO_STORE | ({"WWW-Authenticate": 'Basic realm="sandbox"'} if self.challenge else {})
        body = {"error": self.error, "error_description": self.description}
        return JSONResponse(body, status_code=self.status, headers=headers)


class SentBack(OAuthRefused):
    """An authorization request whose error goes back to the client that made it (RFC 6749 §4.1.2.1)."""

    def __init__(self, request: AuthorizationRequest, error: str, description: str = "") -> None:
        self.request = request
        super().__init__(error, description)


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """A checked authorization request; `challenge` is the S256 one of RFC 7636, if there was any.

    `query` is all of it, as it came.
    """

    client_id: str
    redirect_uri: str
    state: str | None
    scopes: Scopes
    challenge: str | None
    nonce: str | None
    login_hint: str | None
    query: Mapping[str, str] = field(default_factory=dict)

    def callback(self, **parameters: str | None) -> str:
        """Where the browser goes next: the redirect URI with these parameters and the state."""
        return with_query(self.redirect_uri, **parameters, state=self.state)


@dataclass(frozen=True, slots=True)
class Registration:
    """The clients of one sandbox server. A client without a secret is public; without `redirect_uris` any will do."""

    clients: Mapping[str, Secret | None]
    redirect_uris: frozenset[str] | None = None
    require_pkce: bool = True

    def authorization(self, query: QueryParams) -> AuthorizationRequest:
        """Check an authorization request.

        Raises:
            SentBack: the client is known, and is told.
            OAuthRefused: it is not known, so that only the person can be told.
        """
        client_id, redirect_uri = query.get("client_id", ""), query.get("redirect_uri", "")
        if client_id not in self.clients:
            raise OAuthRefused("invalid_client", "This app is not registered here.")
        if any(len(query.getlist(name)) > 1 for name in ("client_id", "redirect_uri", "state")):
            # Then nobody can say where an answer should go.
            raise OAuthRefused("invalid_request", "A parameter comes twice.")
        self.check_redirect(redirect_uri)
        request = AuthorizationRequest(
            client_id=client_id,
            redirect_uri=redirect_uri,
            state=query.get("state"),
            scopes=Scopes.parse(query.get("scope", "")),
            challenge=query.get("code_challenge"),
            nonce=query.get("nonce"),
            login_hint=query.get("login_hint"),
            query=dict(query),
        )
        repeated = sorted(name for name in query if len(query.getlist(name)) > 1)
        if repeated:
            # RFC 6749 §3.1
            raise SentBack(request, "invalid_request", f"{repeated[0]} comes twice.")
        if query.get("response_type") != "code":
            raise SentBack(request, "unsupported_response_type", "Only the code flow is spoken here.")
        if (request.challenge or self.require_pkce) and query.get("code_challenge_method") != "S256":
            raise SentBack(request, "invalid_request", "PKCE with S256 is required.")
        if self.require_pkce and not request.challenge:
            raise SentBack(request, "invalid_request", "code_challenge is missing.")
        return request

    def check_redirect(self, redirect_uri: str) -> None:
        """Raises `OAuthRefused` for a redirect URI that is none or is not registered."""
        parts = urlsplit(redirect_uri)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.fragment:
            raise OAuthRefused("invalid_request", "The redirect URI is not one.")
        if self.redirect_uris is not None and redirect_uri not in self.redirect_uris:
            raise OAuthRefused("invalid_request", "The redirect URI is not registered for this app.")

    def authenticate(self, authorization: str | None, form: Mapping[str, str]) -> str:
        """The client's id, by client_secret_basic, client_secret_post, or none for a public client.

        Raises:
            OAuthRefused: `invalid_client`, or `invalid_request` for two methods at once (RFC 6749 §2.3).
        """
        client_id, presented = form.get("client_id", ""), form.get("client_secret")
        if authorization is not None:
            if presented is not None:
                raise OAuthRefused("invalid_request", "Two ways of authenticating at once.")
            client_id, presented = _basic(authorization)
            if form.get("client_id", client_id) != client_id:
                raise OAuthRefused("invalid_request", "client_id differs from the Authorization header's.")
        wanted = self.clients.get(client_id)
        expected = wanted.reveal() if wanted is not None else ""
        matches = secrets.compare_digest(expected.encode(), (presented or "").encode())
        if client_id not in self.clients or not matches:
            about: About = "client_secret" if client_id in self.clients else "client_id"
            raise OAuthRefused("invalid_client", about=about, status=401, challenge=authorization is not None)
        return client_id


def _basic(authorization: str) -> tuple[str, str]:
    scheme, _, encoded = authorization.partition(" ")
    try:
        pair = base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        pair = ""
    client_id, colon, secret = pair.partition(":")
    if scheme.lower() != "basic" or not colon:
        raise OAuthRefused("invalid_client", "Not HTTP Basic.", status=401, challenge=True)
    return unquote_plus(client_id), unquote_plus(secret)  # RFC 6749 §2.3.1


def check_verifier(challenge: str | None, verifier: str | None) -> None:
    """RFC 7636 §4.6. Raises `OAuthRefused` (`invalid_grant`)."""
    if challenge is None and verifier is None:
        return
    if challenge is None or verifier is None or not VERIFIER.fullmatch(verifier):
        raise OAuthRefused("invalid_grant", "The code verifier does not go with this code.", about="verifier")
    digest = hashlib.sha256(verifier.encode()).digest()
    if not secrets.compare_digest(base64.urlsafe_b64encode(digest).rstrip(b"=").decode(), challenge):
        raise OAuthRefused("invalid_grant", "The code verifier does not go with this code.", about="verifier")


def with_query(url: str, **parameters: str | None) -> str:
    """The URL with these parameters added to its query; None ones are left out."""
    parts = urlsplit(url)
    added = urlencode({name: value for name, value in parameters.items() if value is not None})
    return urlunsplit(parts._replace(query="&".join(filter(None, (parts.query, added)))))


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a form post. Raises `OAuthRefused` when it is no form or a field comes twice (RFC 6749 §3.2)."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/x-www-form-urlencoded":
        raise OAuthRefused("invalid_request", "Send a form.")
    try:
        fields = parse_qs((await request.body()).decode(), keep_blank_values=True, errors="strict", max_num_fields=100)
    except ValueError:
        raise OAuthRefused("invalid_request", "The form is malformed.") from None
    if any(len(values) > 1 for values in fields.values()):
        raise OAuthRefused("invalid_request", "A parameter comes twice.")
    return {name: values[0] for name, values in fields.items() if values[0]}


def required(form: Mapping[str, str], name: str) -> str:
    """A parameter that has to be there. Raises `OAuthRefused` (RFC 6749 §5.2)."""
    if not form.get(name):
        raise OAuthRefused("invalid_request", f"{name} is missing.")
    return form[name]


def bearer_of(authorization: str | None) -> str:
    """The token of an `Authorization: Bearer` header (RFC 6750 §2.1), empty when there is none."""
    scheme, _, token = (authorization or "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def json_answer(body: Mapping[str, Any]) -> Response:
    """A 200 that nobody may keep."""
    return JSONResponse(dict(body), headers=NO_STORE)
