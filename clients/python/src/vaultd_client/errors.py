"""What can go wrong, as types.

VaultError
├── VaultUnreachable            no answer
├── UnexpectedAnswer            an answer that no vault gives
├── NoSubject                   nobody to act for
├── OriginNotAllowed            a request that would take the token to another server
└── VaultRefused                `error`, `description`, `status`, `request_id`
    ├── InteractionRequired     the user must act: `reason`, `connection`, `connect_uri`, `accounts`
    │   ├── NotConnected
    │   ├── ReconnectRequired
    │   ├── ScopeMissing
    │   └── AccountAmbiguous
    ├── TryLater                `retry_after`
    │   ├── RateLimited
    │   └── TemporarilyUnavailable
    ├── InvalidRequest          malformed, or the user's session token is not accepted
    ├── InvalidClient
    ├── UnauthorizedClient
    ├── InvalidTarget
    ├── InvalidScope
    ├── InvalidToken            the accounts API does not accept the user's token
    └── InsufficientScope       the user's token lacks the scope of the call

No message holds a token or a secret.
"""

from __future__ import annotations

from dataclasses import dataclass


class VaultError(Exception):
    """Everything this package raises by itself, programming mistakes aside."""


class VaultUnreachable(VaultError):
    """The vault gave no answer: a connection that failed, or a timeout."""


class UnexpectedAnswer(VaultError):
    """An answer that no vault gives: a proxy's page, a redirect, a member that is missing."""


class NoSubject(VaultError):
    """Nobody to act for: give `subject_token`, or call within `acting_for`."""


class OriginNotAllowed(VaultError):
    """The request goes to an origin that the token is not meant for; nothing was sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """An error answer, read."""

    error: str
    description: str
    status: int
    request_id: str | None = None
    retry_after: float | None = None
    reason: str = ""
    connection: str = ""
    connect_uri: str = ""
    accounts: tuple[str, ...] = ()


class VaultRefused(VaultError):
    """An error answer. `description` is a sentence; the `request_id` leads to the vault's log and audit event."""

    def __init__(self, refusal: Refusal) -> None:
        self.error = refusal.error
        self.description = refusal.description
        self.status = refusal.status
        self.request_id = refusal.request_id
        # The one argument, so that the error can be copied and pickled as any other.
        super().__init__(refusal)

    def __str__(self) -> str:
        return f"{self.error}: {self.description}" if self.description else self.error


class InteractionRequired(VaultRefused):
    """The user must act, at `connect_uri`. `accounts` are the labels to choose from, when there are several."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal)
        self.reason = refusal.reason
        self.connection = refusal.connection
        self.connect_uri = refusal.connect_uri
        self.accounts = refusal.accounts

    def __str__(self) -> str:
        return self.description


class NotConnected(InteractionRequired):
    """The user never connected it."""


class ReconnectRequired(InteractionRequired):
    """It was connected once; the user disconnected it, withdrew consent, or the grant has ended."""


class ScopeMissing(InteractionRequired):
    """The user did not grant one of the scopes."""


class AccountAmbiguous(InteractionRequired):
    """Several accounts are connected: give one of `accounts` as `login_hint`."""


class TryLater(VaultRefused):
    """Not now. `retry_after` is in seconds, None when the answer did not say."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal)
        self.retry_after = refusal.retry_after


class RateLimited(TryLater):
    """A limit of this client or of this user is used up."""


class TemporarilyUnavailable(TryLater):
    """The provider or a part of the vault is down, and no token that is still good is stored."""


class InvalidRequest(VaultRefused):
    """Malformed, or the user's session token is not accepted; the reason is in the vault's audit event."""


class InvalidClient(VaultRefused):
    """The client is unknown or did not authenticate."""


class UnauthorizedClient(VaultRefused):
    """The client may not do this."""


class InvalidTarget(VaultRefused):
    """There is no such connection, or not for this client."""


class InvalidScope(VaultRefused):
    """The scope goes beyond what this client may hold."""


class InvalidToken(VaultRefused):
    """The accounts API does not accept the user's token."""


class InsufficientScope(VaultRefused):
    """The user's token lacks the scope of the call, such as `read:me:connected_accounts`."""


_BY_REASON: dict[str, type[InteractionRequired]] = {
    "not_connected": NotConnected,
    "reconnect_required": ReconnectRequired,
    "scope_missing": ScopeMissing,
    "account_ambiguous": AccountAmbiguous,
}
_BY_ERROR: dict[str, type[VaultRefused]] = {
    "invalid_request": InvalidRequest,
    "invalid_client": InvalidClient,
    "unauthorized_client": UnauthorizedClient,
    "invalid_target": InvalidTarget,
    "invalid_scope": InvalidScope,
    "invalid_token": InvalidToken,
    "insufficient_scope": InsufficientScope,
    "slow_down": RateLimited,
    "temporarily_unavailable": TemporarilyUnavailable,
}


def error_of(refusal: Refusal) -> VaultRefused:
    """The exception of an error answer; one that this version does not know is a plain `VaultRefused`."""
    if refusal.error == "interaction_required":
        return _BY_REASON.get(refusal.reason, InteractionRequired)(refusal)
    return _BY_ERROR.get(refusal.error, VaultRefused)(refusal)
