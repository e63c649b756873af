"""`client_credentials` for operators' programs: a short token of vaultd's own (RFC 9068), and its verification."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from uuid import uuid4

from vaultd.audit.events import Decision, Draft, EventType
from vaultd.audit.log import AuditLog
from vaultd.clients.credentials import PresentedCredentials
from vaultd.clients.limits import ClientLimits
from vaultd.clients.refused import RefusedClients
from vaultd.clients.registry import Clients
from vaultd.errors import (
    InvalidClient,
    InvalidScope,
    InvalidToken,
    RequestRefused,
    SlowDown,
    UnauthorizedClient,
)
from vaultd.jose import JwtRefused, SigningKey, access_token_claims, sign_access_token, verify_access_token
from vaultd.jose.sign import ACCESS_TOKEN_SECONDS
from vaultd.terms import ClientId, Clock, Scopes, Secret


@dataclass(frozen=True, slots=True)
class Issued:
    """A token and its life in seconds."""

    token: Secret
    expires_in: int
    scopes: Scopes


@dataclass(frozen=True, slots=True)
class Presented:
    """An operators' client that has proven itself by its token, and the scopes that this is good for."""

    client_id: ClientId
    scopes: Scopes


class OperatorTokens:
    """Issues and verifies operators' tokens."""

    def __init__(
        self,
        *,
        public_url: str,
        clients: Clients,
        limits: ClientLimits,
        keys: Collection[SigningKey],
        log: AuditLog,
        refused: RefusedClients,
        clock: Clock,
    ) -> None:
        self._public_url = public_url
        self._clients = clients
        self._limits = limits
        self._keys = list(keys)
        self._log = log
        self._refused = refused
        self._clock = clock

    async def issue(
        self,
        credentials: PresentedCredentials | None,
        requested: Scopes | None,
        *,
        ip: str | None,
        request_id: str | None,
    ) -> Issued:
        """Give an operators' client a token. Raises `RequestRefused`; either way the event is committed before."""
        draft = Draft(type=EventType.OPERATOR_TOKEN, requested_scopes=requested, request_id=request_id, ip=ip)
        client = None
        try:
            if credentials is None:
                raise InvalidClient(reason="no_credentials")
            client = await self._clients.authenticate(credentials, ip=ip)
            draft = replace(draft, client_id=client.id)
            if not client.public:
                self._limits.take(client)
            scopes = _granted(Scopes(client.config.operator_scopes), requested)
        except RequestRefused as refusal:
            refused = replace(draft, decision=Decision.REFUSED, reason=refusal.reason)
            # A11: one event each, unless nobody is proven to have asked, or somebody asks too often.
            if client is None or client.public or isinstance(refusal, SlowDown):
                unverified = credentials if client is None else None
                await self._refused.count(refused, refusal, unverified=unverified, ip=ip)
            else:
                await self._log.record(refused)
            raise
        claims = access_token_claims(
            issuer=self._public_url, client_id=client.id, scopes=scopes, now=self._clock(), jti=uuid4().hex
        )
        await self._log.record(replace(draft, scopes=scopes))
        return Issued(sign_access_token(self._keys[0], claims), ACCESS_TOKEN_SECONDS, scopes)

    def verify(self, token: Secret) -> Presented:
        """Whose a bearer token is, and what it may. Raises `InvalidToken`."""
        try:
            verified = verify_access_token(token, keys=self._keys, issuer=self._public_url, now=self._clock())
        except JwtRefused as error:
            raise InvalidToken(reason=error.reason, detail=error.detail) from None
        client = self._clients.get(str(verified.claims["client_id"]))
        if client is None:
            raise InvalidToken(reason="unknown_client", detail="the client is gone")
        granted = Scopes.parse(str(verified.claims.get("scope", "")))
        # What the configuration has taken away since is not in the token's power any more.
        return Presented(client.id, Scopes(granted & Scopes(client.config.operator_scopes)))


def _granted(held: Scopes, requested: Scopes | None) -> Scopes:
    if not held:
        raise UnauthorizedClient(reason="no_operator_scopes")
    if requested is None:
        return held
    if not requested <= held:
        raise InvalidScope(reason="scope_not_allowed")
    return requested
