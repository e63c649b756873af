"""Who speaks to the JSON APIs: a user by a session token, an operators' program by a token of ours (RFC 6750).

A user's token that is bound to a key comes under the scheme DPoP, with a proof (RFC 9449 §7.1).
"""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import Request

from vaultd.clients.limits import ClientLimits
from vaultd.clients.registry import Client, Clients
from vaultd.errors import InsufficientScope, InvalidDpopProof, InvalidToken, SubjectTokenRefused, TokenMissing
from vaultd.operator_tokens import OperatorTokens
from vaultd.subjects.possession import Possession, PresentedProofs
from vaultd.subjects.store import KnownSubject, SubjectStore
from vaultd.subjects.strangers import Stranger
from vaultd.subjects.tokens import VerifiedSubject
from vaultd.subjects.verify import SubjectVerifier
from vaultd.terms import ClientId, Secret
from vaultd.web.peer import client_ip
from vaultd.web.standing import standing

_ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - the name of a type


def bearer(request: Request) -> Secret:
    """The bearer token of a request, from its header alone (RFC 6750 §2.1). Raises `InvalidToken`."""
    return credentials(request, "bearer")[1]


def credentials(request: Request, *schemes: str) -> tuple[str, Secret]:
    """The scheme, one of `schemes`, and the token of a request. Raises `InvalidToken`."""
    headers = request.headers.getlist("authorization")
    if not any(_scheme(header) in schemes for header in headers):
        raise TokenMissing
    token = headers[0].partition(" ")[2].strip()
    if len(headers) > 1 or not token:
        raise InvalidToken(reason="malformed", detail="not one header with one token")
    return _scheme(headers[0]), Secret(token)


def _scheme(header: str) -> str:
    return header.partition(" ")[0].lower()


@dataclass(frozen=True, slots=True)
class Caller:
    """A user, and the app that acts for them."""

    subject: KnownSubject
    client: Client | None


class Users:
    """Believes users' tokens on the accounts API.

    `limits` are its own, so that a page which asks too often does not keep the agent's backend from its tokens. Only a
    client's `subject_limits` count: its `limits` are for the client in all, and whoever has a user's token is not it.
    """

    def __init__(
        self,
        *,
        public_url: str,
        verifier: SubjectVerifier,
        possession: Possession,
        subjects: SubjectStore,
        clients: Clients,
        limits: ClientLimits,
        default_client: str | None,
    ) -> None:
        self._public_url = public_url
        self._verifier = verifier
        self._possession = possession
        self._subjects = subjects
        self._clients = clients
        self._limits = limits
        self._default_client = default_client

    async def caller(self, request: Request, verb: str) -> Caller:
        """The user of a call that needs `<verb>:me:connected_accounts`. Raises `BearerRefused`, `SlowDown`."""
        scope = f"{verb}:me:connected_accounts"
        known = standing(request)
        # 1. a token that is believed here, and the app that it was issued to
        verified = await self._verified(request)
        client = self._client_of(verified)
        # 2. not too often, also not with a token that lacks the scope: each of those is an event of its own
        if client is not None:
            known.client_id = client.id
            self._limits.take_for(client, verified.subject)
        known.subject = subject = await self._subjects.current(verified.subject)
        # 3. what the token is good for
        if verified.account_scopes == "required" and scope not in verified.scopes:
            raise InsufficientScope(scope)
        return Caller(subject, client)

    def _client_of(self, verified: VerifiedSubject) -> Client | None:
        client = self._clients.for_presenter(verified.presenter)
        if client is None and verified.presenter is None and self._default_client is not None:
            client = self._clients.get(self._default_client)
        if verified.only_trusted and (client is None or client.id not in verified.trusted_clients):
            detail = "the token names no audience and no trusted client"
            raise InvalidToken(reason="wrong_presenter", detail=detail)
        if verified.account_scopes == "off" and client is None and verified.presenter is not None:
            # A5: no scope says that this app may, and no client here is it.
            detail = "the token was issued to an app that no client lists in subject_azp"
            raise InvalidToken(reason="wrong_presenter", detail=detail)
        return client

    async def _verified(self, request: Request) -> VerifiedSubject:
        scheme, token = credentials(request, "bearer", "dpop")
        try:
            verified = await self._verifier.verify(token, _ACCESS_TOKEN, stranger=Stranger(client_ip(request)))
        except SubjectTokenRefused as error:
            raise InvalidToken(reason=error.reason, detail=error.detail) from None
        if (scheme == "dpop") is not (verified.jkt is not None):
            # RFC 9449 §7.2: a bound token as a bearer token would be bound no longer. One without a binding under
            # DPoP is not what its sender takes it for.
            raise InvalidToken(reason="wrong_scheme", detail="the scheme does not fit the token's binding")
        try:
            await self._possession.check(verified, token, self._proofs(request), ath_required=True)
        except SubjectTokenRefused as error:
            raise InvalidDpopProof(reason=error.reason, detail=error.detail) from None
        return verified

    def _proofs(self, request: Request) -> PresentedProofs:
        headers = tuple(Secret(proof) for proof in request.headers.getlist("dpop"))
        path = request.scope["raw_path"].decode("ascii")
        return PresentedProofs(headers, request.method, self._public_url + path)


class Operators:
    """Believes operators' tokens on `/v1`."""

    def __init__(self, *, tokens: OperatorTokens) -> None:
        self._tokens = tokens

    def caller(self, request: Request, scope: str) -> ClientId:
        """The operators' client of a call. Raises `BearerRefused`."""
        presented = self._tokens.verify(bearer(request))
        standing(request).client_id = presented.client_id
        if scope not in presented.scopes:
            raise InsufficientScope(scope)
        return presented.client_id
