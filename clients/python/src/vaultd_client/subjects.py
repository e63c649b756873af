"""For whom a token is asked: a signed-in user by their session token, or a user who is away, by name."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from vaultd_client.errors import NoSubject


@dataclass(frozen=True, slots=True)
class AwayUser:
    """A user who is not there: the client names them by its own signature (`token-vault-req+jwt`).

    Only clients whose configuration says `may_assert_subjects` may, with `private_key_jwt`. `issuer` may be left out
    when the client has exactly one `assert_issuer`. `audit_context` is the reason, for those who read the vault's audit
    log: 1 to 256 characters without control characters. A token that is kept is given without telling the vault again.
    """

    sub: str
    issuer: str | None = None
    audit_context: str | None = None

    def claims(self) -> dict[str, Any]:
        """How the assertion names the user (RFC 9493 §3.2.3)."""
        reason = {} if self.audit_context is None else {"audit_context": self.audit_context}
        if self.issuer is None:
            return {"sub": self.sub, **reason}
        return {"sub_id": {"format": "iss_sub", "iss": self.issuer, "sub": self.sub}, **reason}


@dataclass(frozen=True, slots=True)
class SessionToken:
    """A user's own token, as a value that does not show."""

    value: str = field(repr=False)


Subject = SessionToken | AwayUser
SubjectSource = str | AwayUser | Callable[[], str | AwayUser] | None
"""A session token, a user who is away, a function that gives one, or None: whom the context names (`acting_for`)."""

_acting_for: ContextVar[str | AwayUser] = ContextVar("vaultd_client_acting_for")


@contextmanager
def acting_for(subject_token: str | AwayUser) -> Iterator[None]:
    """Within the block, calls that name nobody are for this user, in its threads and tasks too if they are its own.

    `asyncio` tasks, `asyncio.to_thread` and the agents' frameworks carry the context along; a bare thread does not.
    """
    before = _acting_for.set(subject_token)
    try:
        yield
    finally:
        _acting_for.reset(before)


def resolve(source: SubjectSource) -> Subject:
    """Who it is, at this moment. Raises `NoSubject`."""
    found = source() if callable(source) else source
    if found is None:
        found = _acting_for.get(None)
    if not found:
        raise NoSubject("Nobody to act for: give subject_token, or call within acting_for(…).")
    return found if isinstance(found, AwayUser) else SessionToken(found)


def key_of(subject: Subject, *more: str) -> bytes:
    """A name for something of this user's, which leads nobody back to the session token."""
    if isinstance(subject, SessionToken):
        parts = ("session", subject.value, *more)
    else:
        parts = ("away", subject.issuer or "", subject.sub, *more)
    # JSON, so that no two lists of parts run together to the same text.
    return hashlib.sha256(json.dumps(parts).encode()).digest()


def unverified_end(subject: Subject) -> datetime | None:
    """When a session token says that it ends; None when it does not say, or not as a JWT.

    Nobody has verified it here. It serves only to keep something for a shorter time.
    """
    if isinstance(subject, AwayUser):
        return None
    try:
        claims = subject.value.split(".")[1]
        unverified_exp = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["exp"]
        return datetime.fromtimestamp(unverified_exp, UTC)
    except (IndexError, KeyError, TypeError, ValueError, OverflowError, OSError):
        return None
