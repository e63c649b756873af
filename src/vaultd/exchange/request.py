"""What is asked, what is answered, and what is known of a request while it is looked at."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from vaultd.audit.events import Draft, EventType
from vaultd.clients.credentials import PresentedCredentials
from vaultd.clients.registry import Client
from vaultd.providers.registry import Provider
from vaultd.subjects.store import KnownSubject
from vaultd.terms import Scopes, Secret

ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - the name of a type
FEDERATED_TOKEN = "http://auth0.com/oauth/token-type/federated-connection-access-token"  # noqa: S105 - the same
TOKEN_VAULT_TOKEN = "http://auth0.com/oauth/token-type/token-vault-access-token"  # noqa: S105 - the same
REQUESTABLE = frozenset({ACCESS_TOKEN, FEDERATED_TOKEN, TOKEN_VAULT_TOKEN})
"""Three names for what leaves the vault: a provider's access token. The last is that of Auth0's worker exchange."""


@dataclass(slots=True, kw_only=True)
class ExchangeRequest:
    """The parameters of RFC 8693 §2.1, parsed and not yet believed. `dpop` are the headers of that name (RFC 9449).

    `refused_token` is a parameter of our own: a token from here that the provider's API did not accept.
    """

    credentials: PresentedCredentials | None
    subject_token: Secret
    subject_token_type: str
    requested_token_type: str = ACCESS_TOKEN
    audience: tuple[str, ...] = ()
    resource: tuple[str, ...] = ()
    scope: Scopes | None = None
    actor_token: Secret | None = None
    actor_token_type: str | None = None
    login_hint: str | None = None
    refused_token: Secret | None = None
    dpop: tuple[Secret, ...] = ()
    ip: str | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeAnswer:
    """What leaves the vault. `expires_in` is in whole seconds."""

    access_token: Secret
    issued_token_type: str
    expires_in: int
    scope: Scopes
    connection: str
    account: str
    connection_metadata: dict[str, Any]


@dataclass(slots=True)
class Attempt:
    """What is known of a request so far, for the event if it is refused now."""

    request: ExchangeRequest
    client: Client | None = None
    provider: Provider | None = None
    subject: KnownSubject | None = None
    presence: Literal["present", "asserted"] | None = None
    actor: dict[str, Any] | None = field(default=None)
    audit_context: str | None = None

    def draft(self) -> Draft:
        """The event of this request as far as it has come."""
        return Draft(
            type=EventType.TOKEN_EXCHANGED,
            client_id=self.client.id if self.client else None,
            connection=self.provider.name if self.provider else None,
            requested_scopes=self.request.scope,
            subject_presence=self.presence,
            request_id=self.request.request_id,
            subject=self.subject.key if self.subject else None,
            actor=self.actor,
            ip=self.request.ip,
            audit_context=self.audit_context,
        )
