"""A believed notice, and the names that a refresh token has in one."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from datetime import datetime

_PREFIX = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Whose grants ended: `accounts` are the provider's immutable ids, `tokens` names as `token_names` gives them.

    `once` is the notice's own id, to act on it one time only; `at` is when it was said, where it is signed too: a
    consent that is younger is not what it speaks of. Where neither is signed, `wording` is a digest of all that is: a
    recording of the notice has the same. `challenge` is to be sent back to a provider that tries us out. Where the
    grant has not `ended` by the provider's own documentation, and is only of no use for now, its tokens may be good
    once more.
    """

    accounts: tuple[str, ...] = ()
    tokens: tuple[str, ...] = ()
    once: str | None = None
    at: datetime | None = None
    wording: str | None = None
    challenge: str | None = None
    ended: bool = True


def token_names(token: str) -> tuple[str, str]:
    """How Google names a refresh token that it speaks of: by its first 16 characters, or by its double hash."""
    twice = hashlib.sha512(hashlib.sha512(token.encode()).digest()).digest()
    return f"prefix:{token[:_PREFIX]}", f"hash_base64_sha512_sha512:{base64.b64encode(twice).decode()}"
