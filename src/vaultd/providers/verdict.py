"""What a provider's refusal means: one classification for connecting, refreshing, narrowing and giving back.

The entry's own `refusals` come first, since a provider's words are its own. What they do not know is judged by OAuth's
words, as far as those leave no doubt; the rest is unknown, and never final by itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from vaultd.providers.config import ProviderConfig
from vaultd.terms import Verdict

FOR_NOW = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})
"""Statuses below 500 that say nothing about the grant."""
_TOO_OFTEN = re.compile(r"\brate[ _-]?limit|\brate exceeded|too many requests|throttled", re.IGNORECASE)
_STANDARD: Mapping[str, Verdict] = {
    "invalid_grant": Verdict.DEAD,  # RFC 6749 §5.2
    # What names the refresh token itself can mean nothing else.
    "bad_refresh_token": Verdict.DEAD,
    "invalid_refresh_token": Verdict.DEAD,
    "token_expired": Verdict.DEAD,
    "token_revoked": Verdict.DEAD,
    # OpenID Connect Core 1.0 §3.1.2.6: nobody but the person can help.
    "consent_required": Verdict.DEAD,
    "interaction_required": Verdict.DEAD,
    "login_required": Verdict.DEAD,
    "invalid_client": Verdict.APP,  # RFC 6749 §5.2
    # What names the redirect URI can mean nothing but how the app is registered; vaultd sends one URI, and always that.
    "redirect_uri_mismatch": Verdict.APP,
    "unsupported_grant_type": Verdict.APP,
    "fatal_error": Verdict.DOWN,
    "internal_error": Verdict.DOWN,
    # Under another status than 429, nobody knows whether it is this grant alone that has asked too often.
    "rate_limit_exceeded": Verdict.BUSY,
    "too_many_requests": Verdict.BUSY,
    "rate_limited": Verdict.DOWN,
    "ratelimited": Verdict.DOWN,
    "server_error": Verdict.DOWN,  # RFC 6749 §4.1.2.1
    "service_unavailable": Verdict.DOWN,
    "slow_down": Verdict.DOWN,  # RFC 8628 §3.5
    "temporarily_unavailable": Verdict.DOWN,
}
"""`unauthorized_client` is not among them: of some providers it means the app, of others that one grant is dead."""


def by_entry(config: ProviderConfig, status: int, members: Mapping[str, Any], *, refused: bool) -> Verdict | None:
    """What the provider's entry says that this answer means; None where it says nothing.

    A status by which a provider is down means that, whatever stands beside it, unless the entry names the status too.
    So it is with an answer in which nothing else shows that it is `refused`: some refuse under 200, in members of
    their own.
    """
    down = status in FOR_NOW or status >= HTTPStatus.INTERNAL_SERVER_ERROR
    for refusal in config.refusals:
        if refusal.fits(status, members) and (refusal.status or (refused and not down)):
            return Verdict(refusal.means)
    return None


def by_standard(error: str, words: str = "") -> Verdict:
    """What an error's word means, an entry's translation of it included; `words` are the sentence beside it.

    Whoever is only asked too often has not said no, whatever the word is.
    """
    verdict = _STANDARD.get(error, Verdict.UNKNOWN)
    return Verdict.BUSY if verdict is Verdict.UNKNOWN and _TOO_OFTEN.search(words) else verdict
