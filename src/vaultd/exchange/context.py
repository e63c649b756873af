"""The reason that a client gives, in the assertion that it signed, for acting for a user who is away.

It is the client's own text, kept for people who read the log. So it is bounded, and nothing in it may start a line,
steer a terminal or turn the order of what is shown around.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Any

from vaultd.jose import JwtRefused
from vaultd.sizes import LONGEST_CONTEXT

CLAIM = "audit_context"
_NO_TEXT = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Unicode's general categories of control characters, halves of characters, and separators of lines."""
_TURNING = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})
"""UAX #9: what makes the text around it run the other way."""


def read_audit_context(claims: Mapping[str, Any]) -> str | None:
    """The claim of a verified assertion, None where there is none. Raises `JwtRefused`."""
    if CLAIM not in claims:
        return None
    given = claims[CLAIM]
    if not isinstance(given, str) or not 0 < len(given) <= LONGEST_CONTEXT or not _is_plain(given):
        raise JwtRefused("malformed", CLAIM)
    return given


def _is_plain(text: str) -> bool:
    return not any(
        unicodedata.category(each) in _NO_TEXT or unicodedata.bidirectional(each) in _TURNING for each in text
    )
