"""The whole tree of domain errors. None of them knows HTTP; `web/wire.py` has the one table for that.

VaultdError
├── ConfigurationError            the file, the keyring or the database is not as it must be; start is refused
│   ├── KeyringError              a key is missing, foreign, or readable by others
│   │   └── NoKeysYet             nothing was served from this database so far
│   └── SchemaError               migrations are not at head, or a role is wrong
├── RequestRefused                an answer of the token endpoint; `reason` goes into the audit event
│   ├── InvalidRequest
│   │   ├── BodyTooLarge
│   │   ├── ForeignCursor         a page's cursor that was not given out here
│   │   ├── SettingsNeeded        where the user's provider is: missing, or not accepted
│   │   ├── InvalidInput          says where the mistakes are
│   │   ├── SubjectTokenRefused   the real reason is for the log and the event, never for the answer
│   │   └── LogoutTokenRefused    the same for what an issuer sends when somebody signs out there
│   ├── InvalidClient
│   ├── InvalidGrant
│   ├── UnauthorizedClient
│   ├── UnsupportedGrantType
│   ├── InvalidTarget
│   ├── InvalidScope
│   ├── InteractionRequired       the user must act: connect, reconnect, allow more, say which account
│   ├── SlowDown
│   └── TemporarilyUnavailable
│       ├── SignInUnavailable     the issuer of sign-ins does not answer
│       └── SubjectErased         the user was erased while they were looked at
├── Replayed                      a single-use value was used before
├── BearerRefused
│   ├── InvalidToken              RFC 6750 §3.1
│   │   ├── TokenMissing          none was presented at all
│   │   └── InvalidDpopProof      RFC 9449 §7.1
│   └── InsufficientScope         RFC 6750 §3.1
├── NoticeRefused                 a provider's notice that is not believed
├── ConsentRefused                a step of the consent flow that must not go on
├── NotFound
├── CannotOpen                    sealed bytes that do not belong here, or were altered
├── AuditUnavailable              the event could not be made durable, so nothing may leave
├── OutboundError                 a call to another server did not succeed
│   ├── AddressRefused            its address is one that we do not call
│   └── OutboundFailed            no usable answer: time, connection, TLS
│       └── AnswerUnusable        one that is too large, or not in its own encoding
└── ProviderError
    ├── ProviderUnavailable       not final: 5xx, 429, no answer, nonsense; tried again later
    └── ProviderRefused           final: the provider's own OAuth error
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from vaultd.terms import Verdict


class VaultdError(Exception):
    """Base of the tree. `detail` is for the log and never for an answer."""

    code: ClassVar[str] = "server_error"
    description: str = "Something went wrong on our side."

    def __init__(self, description: str | None = None, *, reason: str | None = None, detail: str = "") -> None:
        self.description = description or type(self).description
        self.reason = reason or type(self).code
        self.detail = detail
        super().__init__(f"{self.description} {detail}".strip())


class ConfigurationError(VaultdError):
    """What the operator must mend before vaultd starts."""

    code = "configuration"
    description = "The configuration is not usable."


class KeyringError(ConfigurationError):
    code = "keyring"
    description = "The keyring is not usable."


class NoKeysYet(KeyringError):
    """A migrated database that no process has served yet: its keys are made at the first start."""

    description = "The database holds no keys yet. They are made at the first start."


class SchemaError(ConfigurationError):
    """The database is not migrated to this version, or the serving role is wrong."""

    code = "schema"
    description = "The database is not ready. Run `vaultd migrate`."


class RequestRefused(VaultdError):
    """An OAuth error answer. `reason` is the closed-set word that the audit event carries."""


class InvalidRequest(RequestRefused):
    code = "invalid_request"
    description = "The request is malformed."


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing that is wrong: `source` is `body` or `query`, `place` the names and indices that lead to it."""

    detail: str
    source: str
    place: tuple[str | int, ...]


class InvalidInput(InvalidRequest):
    """A body or a query that is not what was agreed. No mistake repeats what was sent."""

    description = "A parameter is missing or malformed."

    def __init__(
        self, mistakes: tuple[Mistake, ...], description: str | None = None, *, reason: str | None = None
    ) -> None:
        self.mistakes = mistakes
        super().__init__(description, reason=reason)


class ForeignCursor(InvalidRequest):
    description = "The cursor is not one that was given out here."

    def __init__(self) -> None:
        super().__init__(reason="cursor")


class BodyTooLarge(InvalidRequest):
    description = "The body is too large."

    def __init__(self) -> None:
        super().__init__(reason="body_too_large")


class SettingsNeeded(InvalidRequest):
    """A connection setting is missing or not accepted; the user can give another."""

    def __init__(self, description: str) -> None:
        super().__init__(description, reason="connection_settings")


class SubjectTokenRefused(InvalidRequest):
    """RFC 8693 §2.2.2: a bad subject or actor token is `invalid_request`."""

    description = "The subject token is not accepted."


class LogoutTokenRefused(InvalidRequest):
    """OpenID Connect Back-Channel Logout 1.0 §2.8: a bad logout token is `invalid_request`."""

    description = "The logout token is not accepted."


class InvalidClient(RequestRefused):
    code = "invalid_client"
    description = "Client authentication failed."


class InvalidGrant(RequestRefused):
    code = "invalid_grant"
    description = "The grant is not accepted."


class UnauthorizedClient(RequestRefused):
    code = "unauthorized_client"
    description = "This client may not use this grant."


class UnsupportedGrantType(RequestRefused):
    code = "unsupported_grant_type"
    description = "This grant type is not supported."


class InvalidTarget(RequestRefused):
    code = "invalid_target"
    description = "This target is not available to this client."


class InvalidScope(RequestRefused):
    code = "invalid_scope"
    description = "The scope goes beyond what this client may hold."


class InteractionRequired(RequestRefused):
    """The user must act: `not_connected`, `reconnect_required`, `scope_missing` or `account_ambiguous`.

    `display_name` is the provider as a person knows it; `accounts` are the labels to choose from; `connect_uri` is
    where the user goes to act. `granted` is what they have allowed already.
    """

    code = "interaction_required"

    def __init__(
        self,
        reason: str,
        *,
        connection: str,
        display_name: str,
        accounts: tuple[str, ...] = (),
        granted: frozenset[str] = frozenset(),
    ) -> None:
        self.granted = granted
        self.connection = connection
        self.display_name = display_name
        self.accounts = accounts
        self.connect_uri: str | None = None
        super().__init__(self.sentence(reason, display_name), reason=reason)

    @staticmethod
    def sentence(reason: str, provider: str) -> str:
        """What to tell a person, the provider called by this name."""
        return {
            "not_connected": f"{provider} is not connected. Connect it to continue.",
            "reconnect_required": f"{provider} access was revoked. Reconnect required.",
            "scope_missing": f"{provider} needs more permissions for this. Connect it again to allow them.",
            "account_ambiguous": f"Several {provider} accounts are connected. Say which one to use.",
        }[reason]


class SlowDown(RequestRefused):
    """`retry_after` is in seconds."""

    code = "slow_down"
    description = "Too many requests."

    def __init__(self, *, retry_after: int, reason: str | None = None) -> None:
        self.retry_after = retry_after
        super().__init__(reason=reason)


class TemporarilyUnavailable(RequestRefused):
    """`retry_after` is in seconds."""

    code = "temporarily_unavailable"
    description = "This cannot be answered right now. Try again shortly."

    def __init__(self, *, retry_after: int = 2, reason: str | None = None, detail: str = "") -> None:
        self.retry_after = retry_after
        super().__init__(reason=reason, detail=detail)


class SubjectErased(TemporarilyUnavailable):
    """The user was erased since their row was read: nothing may be written under their key any more (E6)."""

    def __init__(self) -> None:
        super().__init__(retry_after=1, reason="subject_erased")


class SignInUnavailable(TemporarilyUnavailable):
    description = "The sign-in service cannot be reached. Try again later."

    def __init__(self, *, detail: str = "") -> None:
        super().__init__(reason="login_issuer", detail=detail)


class Replayed(VaultdError):
    """A `jti` that must be used once came again."""

    code = "replayed"
    description = "This was used before."


class BearerRefused(VaultdError):
    """A bearer token that a resource of ours does not accept (RFC 6750 §3.1)."""


class InvalidToken(BearerRefused):
    code = "invalid_token"
    description = "The access token is missing, expired or not accepted here."


class TokenMissing(InvalidToken):
    """The request says nothing about who sends it, so it is told how to, and of no error (RFC 6750 §3.1)."""

    def __init__(self) -> None:
        super().__init__(reason="no_token")


class InvalidDpopProof(InvalidToken):
    """The token may be good, but the proof that its sender holds its key is not."""

    code = "invalid_dpop_proof"
    description = "The DPoP proof is missing, used before or not for this request."


class InsufficientScope(BearerRefused):
    """`scope` is what the call would have needed."""

    code = "insufficient_scope"
    description = "The access token lacks the scope for this call."

    def __init__(self, scope: str) -> None:
        self.scope = scope
        super().__init__()


class NoticeRefused(VaultdError):
    """A provider's notice whose signature or form is not good; `reason` is a word of a closed set."""

    code = "notice_refused"
    description = "The notice is not accepted."


class ConsentRefused(VaultdError):
    """A consent flow that stops here: `reason` says why, `description` is for the person in the browser."""

    code = "consent_refused"
    description = "This link is no longer valid. Start again from your app."


class NotFound(VaultdError):
    code = "not_found"
    description = "There is no such thing here."


class NothingKept(VaultdError):
    """A connection that cannot be tried again: `reason` is its status, or that its tokens are gone or do not open."""

    code = "nothing_kept"
    description = "There are no tokens of this connection to try again with."


class CannotOpen(VaultdError):
    """Sealed bytes whose key, place or content is not what it was when they were sealed."""

    code = "cannot_open"
    description = "A sealed value could not be opened."


class AuditUnavailable(VaultdError):
    code = "audit_unavailable"
    description = "The audit log cannot be written."


class OutboundError(VaultdError):
    code = "outbound"
    description = "A call to another server failed."


class AddressRefused(OutboundError):
    code = "address_refused"
    description = "That address is not one we call."


class OutboundFailed(OutboundError):
    code = "outbound_failed"
    description = "The other server gave no usable answer."


class AnswerUnusable(OutboundFailed):
    """It did answer: too much, or not in the encoding that it named."""


class ProviderError(VaultdError):
    """What a provider did instead of what was asked, and for the log, as far as it is known, in its own words.

    `step` is `authorize`, `token`, `userinfo`, `refresh` or `revoke`, `status` that of its answer; `said` and `words`
    are its own error and description, bounded and without anything that may be a secret.
    """

    code = "provider_error"
    description = "The provider did not do what was asked."
    step: str | None = None
    status: int | None = None
    said: str | None = None
    words: str | None = None


class ProviderUnavailable(ProviderError):
    """Not final. `retry_after` is in seconds, where the provider named one.

    It is an `outage` unless something came that says the provider is there, and this one answer is of no use; `word` is
    what stands for the answer then, where it may be a refusal.
    """

    code = "provider_unavailable"
    description = "The provider cannot be reached right now."

    def __init__(
        self, *, detail: str = "", retry_after: int | None = None, outage: bool = True, word: str | None = None
    ) -> None:
        self.retry_after = retry_after
        self.outage = outage
        self.word = word
        super().__init__(detail=detail)


class ProviderRefused(ProviderError):
    """The provider's own OAuth `error` (RFC 6749 §5.2), and what it means; whether it is final is for its `verdict`."""

    code = "provider_refused"
    description = "The provider refused."

    def __init__(self, error: str, *, detail: str = "", verdict: Verdict = Verdict.UNKNOWN) -> None:
        self.error = error
        self.verdict = verdict
        super().__init__(reason=error, detail=detail)
