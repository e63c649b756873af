"""Tokens and scopes as they arrive from a provider: what is too much is the provider's fault (`sizes`)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from vaultd.errors import ProviderUnavailable
from vaultd.sizes import LONGEST_SCOPE, LONGEST_TOKEN, MOST_SCOPES
from vaultd.terms import Scopes, Secret

_VISIBLE = re.compile(r"[\x20-\x7e]+")  # RFC 6749 §A.12 and §A.17
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")  # RFC 6749 §3.3
_LONGEST_LIST = MOST_SCOPES * (LONGEST_SCOPE + 2)
"""The longest text in which so many can stand, each with a comma and a space behind it."""


def received_token(holder: Mapping[str, Any], name: str) -> Secret | None:
    """A token in an answer, None where there is none that could be sent. Raises `ProviderUnavailable`."""
    token = sendable_token(holder, name)
    if token is not None and len(token.reveal()) > LONGEST_TOKEN:
        # Not as if there were none: without its refresh token a grant would seem to be one that just ends.
        raise ProviderUnavailable(detail=f"the answer's {name} is longer than {LONGEST_TOKEN} characters", outage=False)
    return token


def sendable_token(holder: Mapping[str, Any], name: str) -> Secret | None:
    """The same, however long it is."""
    value = holder.get(name)
    # A line break in a token would end the header in which it is sent, and around one no header keeps a space
    # (RFC 9110 §5.5).
    text = value.strip() if isinstance(value, str) else ""
    return Secret(text) if _VISIBLE.fullmatch(text) else None


def received_scopes(value: object) -> Scopes | None:
    """The scopes of an answer, a text or a list, None where it says nothing. Raises `ProviderUnavailable`."""
    if value is None:
        return None
    given = value if isinstance(value, list) else [value]
    texts = [text for text in given if isinstance(text, str)]
    if len(texts) < len(given):
        raise _not_readable()
    if sum(map(len, texts)) > _LONGEST_LIST:
        raise _too_many()
    # Commas whatever was configured: GitHub is asked with spaces and answers with commas. No scope has one in it, so
    # that a list may hold several in one text as well.
    return bounded_scopes([piece for text in texts for piece in re.split(r"[,\s]+", text) if piece])


def bounded_scopes(pieces: Sequence[str]) -> Scopes:
    """Scopes, each of them one and not too long, and not too many of them. Raises `ProviderUnavailable`."""
    if len(pieces) > MOST_SCOPES:
        raise _too_many()
    if not all(len(piece) <= LONGEST_SCOPE for piece in pieces):
        raise ProviderUnavailable(
            detail=f"the answer has a scope that is longer than {LONGEST_SCOPE} characters", outage=False
        )
    if not all(_SCOPE.fullmatch(piece) for piece in pieces):
        raise _not_readable()
    return Scopes(pieces)


def _too_many() -> ProviderUnavailable:
    return ProviderUnavailable(detail=f"the answer has more than {MOST_SCOPES} scopes", outage=False)


def _not_readable() -> ProviderUnavailable:
    return ProviderUnavailable(detail="the answer's scope is not readable", outage=False)
