"""What an event is, and its canonical bytes (RFC 8785), final from version 1 on."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any
from uuid import UUID

import orjson

from vaultd.audit.oversize import shorten
from vaultd.audit.subject_key import SubjectKey
from vaultd.sizes import EVENT
from vaultd.terms import Scopes

VERSION = 1

# An event holds strings, whole numbers below 2^53 and lists of strings under names in ASCII, and for those this writes
# RFC 8785's form letter by letter, in a twentieth of the time of a general writer; a test compares the two.
_AS_JCS = orjson.OPT_SORT_KEYS | orjson.OPT_STRICT_INTEGER


_OPTIONAL = (
    "reason",
    "reported",
    "client_id",
    "connection",
    "generation",
    "revision",
    "subject_presence",
    "request_id",
    "count",
    "window",
)


class EventType(StrEnum):
    """Everything that is ever audited."""

    TOKEN_EXCHANGED = "token.exchanged"
    TOKEN_REFUSED = "token.refused"
    TOKEN_REFRESHED = "token.refreshed"
    OPERATOR_TOKEN = "operator.token"
    OPERATOR_READ = "operator.read"
    OPERATOR_REFUSED = "operator.refused"
    ACCOUNT_REFUSED = "account.refused"
    CONNECTION_CONNECTED = "connection.connected"
    CONNECTION_RECONNECTED = "connection.reconnected"
    CONNECTION_IMPORTED = "connection.imported"
    CONNECTION_REFUSED = "connection.refused"
    CONNECTION_BROKEN = "connection.broken"
    CONNECTION_RETRIED = "connection.retried"
    CONNECTION_REVOKED = "connection.revoked"
    PROVIDER_REVOKED = "provider.revoked"
    PROVIDER_KEPT = "provider.kept"
    SUBJECT_ERASED = "subject.erased"
    SESSION_OPENED = "session.opened"
    SESSION_ENDED = "session.ended"
    SESSION_REFUSED = "session.refused"
    PAGE_REFUSED = "page.refused"
    NOTICE_REFUSED = "notice.refused"
    AWAY_REFUSED = "away.refused"
    AWAY_ALLOWED = "away.allowed"
    KEY_ROTATED = "key.rotated"


class Decision(StrEnum):
    """How it was decided."""

    ALLOWED = "allowed"
    REFUSED = "refused"


class Report(StrEnum):
    """What came of a client's word that the provider refused a token."""

    NOT_CURRENT = "not_current"
    """It is not the one that would be given, so there was nothing to renew."""
    RENEWED = "renewed"
    NO_OTHER = "no_other"
    """It would be given, and there is no other: nothing to renew it with, or what came is the same again."""
    LIMIT_REACHED = "limit_reached"
    NOT_RENEWED = "not_renewed"
    """Renewing it failed for now."""
    ENDED = "ended"
    """The provider says that the grant is over."""


@dataclass(slots=True, kw_only=True)
class Draft:
    """An event before it has a place in a lane. Members below `subject` are sealed under the subject's key.

    Never changed once made; not frozen, because one is made for every request and freezing doubles its price.
    """

    type: EventType
    decision: Decision = Decision.ALLOWED
    reason: str | None = None
    reported: Report | None = None
    client_id: str | None = None
    connection: str | None = None
    scopes: Scopes | None = None
    requested_scopes: Scopes | None = None
    generation: int | None = None
    revision: int | None = None
    subject_presence: str | None = None
    request_id: str | None = None
    count: int | None = None
    window: str | None = None
    subject: SubjectKey | None = None
    connection_id: UUID | None = None
    account: str | None = None
    actor: dict[str, Any] | None = None
    ip: str | None = None
    audit_context: str | None = None

    def canonical(self, *, event_id: UUID, at: str, chain_key: str) -> bytes:
        """The bytes that are stored and chained. Absent members are left out, never null. `at` is RFC 3339's form.

        At most `sizes.EVENT` of them: of an event that would be longer, long members are cut (`oversize`).
        """
        members = self._clear(event_id, at, chain_key)
        private = {} if self.subject is None else self._private(self.subject)
        written = self._written(members, private, event_id)
        if len(written) > EVENT:
            shorten(members, private)
            written = self._written(members, private, event_id)
        return written

    def _clear(self, event_id: UUID, at: str, chain_key: str) -> dict[str, Any]:
        members: dict[str, Any] = {
            "v": VERSION,
            "id": str(event_id),
            "at": at,
            "type": self.type,
            "decision": self.decision,
            "key": chain_key,
        }
        for name in _OPTIONAL:
            value = getattr(self, name)
            if value is not None:
                members[name] = value
        if self.scopes is not None:
            members["scopes"] = sorted(self.scopes)
        if self.requested_scopes is not None:
            members["requested_scopes"] = sorted(self.requested_scopes)
        return members

    def _private(self, subject: SubjectKey) -> dict[str, Any]:
        private = {
            "subject": {"issuer": subject.subject.issuer, "sub": subject.subject.sub},
            "account": self.account,
            "actor": self.actor,
            "ip": self.ip,
            # A client's own words: they may say who the user is, and go when the user does.
            "audit_context": self.audit_context,
            "connection_id": str(self.connection_id) if self.connection_id else None,
        }
        return {name: value for name, value in private.items() if value is not None}

    def _written(self, members: dict[str, Any], private: dict[str, Any], event_id: UUID) -> bytes:
        if self.subject is not None:
            members["subject_ref"] = _ref_text(self.subject.subject_ref)
            connection_ref = self.connection_ref()
            if connection_ref is not None:
                members["connection_ref"] = _ref_text(connection_ref)
            members["private"] = encode(self.subject.seal_private(event_id, json.dumps(private).encode()))
        return orjson.dumps(members, option=_AS_JCS)

    def about(self, generation: int, revision: int, connection_id: UUID, *, account: str, scopes: Scopes) -> Draft:
        """The same event, about one connection. Written out, since it is made for every exchange."""
        return Draft(
            type=self.type,
            decision=self.decision,
            reason=self.reason,
            reported=self.reported,
            client_id=self.client_id,
            connection=self.connection,
            scopes=scopes,
            requested_scopes=self.requested_scopes,
            generation=generation,
            revision=revision,
            subject_presence=self.subject_presence,
            request_id=self.request_id,
            subject=self.subject,
            connection_id=connection_id,
            account=account,
            actor=self.actor,
            ip=self.ip,
            audit_context=self.audit_context,
        )

    def connection_ref(self) -> bytes | None:
        """The connection's keyed hash, unlinkable once the subject's key is erased."""
        if self.subject is None or self.connection_id is None:
            return None
        return self.subject.connection_ref(self.connection_id)


def rfc3339(moment: datetime) -> str:
    """UTC with microseconds and a `Z`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def encode(raw: bytes) -> str:
    """Base64url without padding (RFC 7515 §2)."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


_ref_text = lru_cache(maxsize=10_000)(encode)
"""The same references are written again and again; they are keyed hashes and no secret."""


def decode(text: str) -> bytes:
    """The inverse of `encode`."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
