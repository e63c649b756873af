"""What a provider said when it did not do what was asked: read for the log, and for nothing that decides.

Errors come from the readers of `replies` and `answers`; here they get the answer's status and the provider's own words.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal, TypeAlias

import structlog

from vaultd.errors import ProviderError, ProviderRefused
from vaultd.outbound import Reply
from vaultd.providers.config import ProviderConfig
from vaultd.providers.paths import at
from vaultd.providers.replies import unverified_members
from vaultd.providers.words import error_code, told_text
from vaultd.terms import Secret

Step: TypeAlias = Literal["authorize", "token", "userinfo", "refresh", "revoke"]
_DESCRIPTIONS = ("error_description", "error.message", "message", "error_message", "errorSummary", "detail", "reason")
"""Where providers write a sentence about an error, the standard's place first."""


@contextmanager
def telling(reply: Reply, config: ProviderConfig, sent: Collection[Secret]) -> Iterator[None]:
    """Errors in this block are about this answer; `sent` are the request's secrets, which nothing may repeat."""
    try:
        yield
    except ProviderError as error:
        if error.status is None:
            error.status = reply.status
            error.said, error.words = _own_words(unverified_members(reply), config, sent)
        raise


@contextmanager
def at_step(step: Step, *, provider: str | None = None) -> Iterator[None]:
    """Errors in this block are of this step; with a `provider`'s name, they are noted too."""
    try:
        yield
    except ProviderError as error:
        error.step = step
        # Where a provider has no way to do it, nobody was asked.
        if provider is not None and error.reason != "unsupported":
            note(provider, error, reason=error.reason)
        raise


def refused_in_redirect(error: str, description: object, *, sent: Collection[Secret]) -> ProviderRefused:
    """The refusal that a provider sends the browser back with (RFC 6749 §4.1.2.1)."""
    refusal = ProviderRefused(error_code(error, sent))
    refusal.step = "authorize"
    refusal.said, refusal.words = told_text(error, sent), told_text(description, sent)
    return refusal


def from_elsewhere(unverified_issuer: str | None) -> ProviderRefused:
    """An answer in the redirect that another issuer gave, or nobody says who (RFC 9207 §2.4)."""
    who = told_text(unverified_issuer, ())
    refusal = ProviderRefused("invalid_issuer", detail=f"the answer is from {who}" if who else "the answer has no iss")
    refusal.step = "authorize"
    return refusal


def note(provider: str, error: ProviderError, *, reason: str) -> None:
    """The line of the log; `reason` is the word in the event, if there is one. The request's id is in every line."""
    structlog.stdlib.get_logger("vaultd.providers").info(
        "a provider did not do what was asked",
        provider=provider,
        step=error.step,
        status=error.status,
        error=error.said,
        description=error.words,
        reason=reason,
        # Without words of the provider's, our own say what was wrong.
        detail=None if error.said or error.words else error.detail,
    )


def _own_words(
    members: Mapping[str, Any], config: ProviderConfig, sent: Collection[Secret]
) -> tuple[str | None, str | None]:
    given = [at(members, config.error_path), members.get("error")]
    codes = (error_code(each, sent) if isinstance(each, dict) else told_text(each, sent) for each in given if each)
    descriptions = (told_text(at(members, path), sent) for path in _DESCRIPTIONS)
    said = next(filter(None, codes), None)
    return said, next((words for words in descriptions if words not in {None, said}), None)
