"""Who speaks to the JSON APIs: a user by a session token, an operators' program by a token of ours (RFC 6750)."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import Request

from vaultd.clients.registry import Client, Clients
from vaultd.errors import InsufficientScope, InvalidToken, SubjectTokenRefused, TokenMissing
from vaultd.operator_tokens import OperatorTokens
from vaultd.subjects.store import KnownSubject, SubjectStore
from vaultd.subjects.verify import SubjectVerifier
from vaultd.terms import ClientId, Secret

_ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - the name of a type


def bearer(request: Request) -> Secret:
    """The bearer token of a request, from its header alone (RFC 6750 §2.1). Raises `InvalidToken`."""
    headers = request.headers.getlist("authorization")
    if not any(_scheme(header) == "bearer" for header in headers):
        raise TokenMissing
    token = headers[0].partition(" ")[2].strip()
    if len(headers) > 1 or not token:
        raise InvalidToken(detail="not one header with one token")
    return Secret(token)


def _scheme(header: str) -> str:
    return header.partition(" ")[0].lower()


@dataclass(frozen=True, slots=True)
class Caller:
    """A user, and the app that acts for them."""

    subject: KnownSubject
    client: Client | None


class Users:
    """Believes users' tokens on the accounts API."""

    def __init__(
        self, *, verifier: SubjectVerifier, subjects: SubjectStore, clients: Clients, default_client: str | None
    ) -> None:
        self._verifier = verifier
        self._subjects = subjects
        self._clients = clients
        self._default_client = default_client

    async def caller(self, request: Request, verb: str) -> Caller:
        """The user of a call that needs `<verb>:me:connected_accounts`. Raises `BearerRefused`."""
        scope = f"{verb}:me:connected_accounts"
        try:
            verified = await self._verifier.verify(bearer(request), _ACCESS_TOKEN)
        except SubjectTokenRefused as error:
            raise InvalidToken(detail=error.reason) from None
        client = self._clients.for_presenter(verified.presenter)
        if client is None and verified.presenter is None and self._default_client is not None:
            client = self._clients.get(self._default_client)
        if verified.only_trusted and (client is None or client.id not in verified.trusted_clients):
            raise InvalidToken(detail="the token names no audience and no trusted client")
        if verified.account_scopes == "required" and scope not in verified.scopes:
            raise InsufficientScope(scope)
        return Caller(await self._subjects.ensure(verified.subject), client)


class Operators:
    """Believes operators' tokens on `/v1`."""

    def __init__(self, *, tokens: OperatorTokens) -> None:
        self._tokens = tokens

    def caller(self, request: Request, scope: str) -> ClientId:
        """The operators' client of a call. Raises `BearerRefused`."""
        return self._tokens.verify(bearer(request), scope=scope)
