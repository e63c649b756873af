"""Why a consent came to nothing at the provider: what the person and the app are told, and what log and event say."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal, TypeAlias

from vaultd.errors import ProviderError, ProviderRefused, ProviderUnavailable
from vaultd.terms import Verdict

Kind: TypeAlias = Literal["declined", "setup", "down", "late"]
"""What a person can do about it: nothing needs to be done; tell the operator; come back later; begin again."""
DECLINED = "access_denied"  # RFC 6749 §4.1.2.1
UNUSABLE = "unusable_answer"
_NOT_NOW = frozenset({"temporarily_unavailable", "server_error"})  # RFC 6749 §4.1.2.1
OURS = frozenset(
    {
        UNUSABLE,
        "account_ambiguous",
        "account_limit",
        "assert_provider",
        "auth_session",
        "away_refused",
        "body_too_large",
        "cannot_open",
        "client_limit",
        "code_verifier",
        "connect_code",
        "cursor",
        "disconnected",
        "forbidden_provider",
        "foreign",
        "gave_up",
        "grant_unknown",
        "invalid_issuer",
        "issuer",
        "kept_shared_grant",
        "kept_unknown_account",
        "narrowing_refused",
        "no_refresh_token",
        "no_scope_in_common",
        "not_connected",
        "not_found",
        "provider_paused",
        "provider_unavailable",
        "reconnect_required",
        "redirect_uri",
        "reported",
        "revoked_at_provider",
        "revoked_by_operator",
        "rotation_lost",
        "scope_missing",
        "scope_not_allowed",
        "scope_unclear",
        "setup",
        "signed_out",
        "subject_erased",
        "subject_limit",
        "unknown_provider",
        "unnamed_before",
        "unsupported_media_type",
        "wider_grant",
    }
)
"""Words of our own, with sentences on the users' pages: from a provider they would tell of what has not happened."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """`reason` is the word in the event and in the log, `error` the one that the app gets."""

    kind: Kind
    reason: str

    @property
    def error(self) -> str:
        """An app knows OAuth's words: an answer of no use is a fault that will not pass by itself."""
        return "server_error" if self.reason == UNUSABLE else self.reason


def trouble_of(error: ProviderError, *, declined: Collection[str]) -> Trouble:
    """What an error at any step of a consent comes to; `declined` are the provider's own words for a person's no."""
    if isinstance(error, ProviderUnavailable):
        # Whoever says when to come again has not said no.
        later = error.outage or error.retry_after
        return Trouble("down", "temporarily_unavailable") if later else Trouble("setup", UNUSABLE)
    if not isinstance(error, ProviderRefused):
        return Trouble("setup", UNUSABLE)
    if error.verdict is Verdict.BUSY:
        return Trouble("down", "temporarily_unavailable")
    word = "unknown_error" if error.error in OURS else error.error
    if error.step == "authorize":
        return _in_redirect(word, declined)
    if word == "invalid_grant" or (error.verdict is Verdict.DEAD and error.step == "token"):
        return _code_refused(error)
    # A person's no comes in the redirect alone; here, some call the app's wrong secret `access_denied`.
    return Trouble("setup", "unauthorized_client" if word == DECLINED else word)


def _code_refused(error: ProviderRefused) -> Trouble:
    # RFC 6749 §5.2 has one word for a code that has ended or was used before, and for another redirect URI than that of
    # the authorization. Where the provider's own word is about the URI, the app is registered with another one.
    of_the_app = error.verdict is Verdict.APP
    # A description alone may tell of the URI among other causes, unless the entry knows that it is the app's.
    about = f"{error.said} {error.words}" if of_the_app else f"{error.said}"
    if "redirect" in about.lower():
        return Trouble("setup", "redirect_uri_mismatch")
    if of_the_app:
        return Trouble("setup", "unauthorized_client")
    return Trouble("late", "invalid_grant") if error.step == "token" else Trouble("setup", UNUSABLE)


def _in_redirect(word: str, declined: Collection[str]) -> Trouble:
    if word == DECLINED or word in declined:
        return Trouble("declined", DECLINED)
    if word == "invalid_grant":
        # Nothing was granted yet that could have ended.
        word = "invalid_request"
    return Trouble("down" if word in _NOT_NOW else "setup", word)
