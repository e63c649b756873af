"""The browser's sessions, kept on the server: only a hash of the cookie is stored (security B7)."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import Column, DateTime, ForeignKey, LargeBinary, Table, Uuid, delete, insert, or_, select, update

from vaultd.db import Database, metadata
from vaultd.terms import Clock

IDLE = timedelta(hours=8)
ABSOLUTE = timedelta(days=7)
_NOTED_EVERY = timedelta(minutes=1)

sessions_table = Table(
    "sessions",
    metadata,
    Column("id_hash", LargeBinary, primary_key=True),
    Column("subject_id", Uuid, ForeignKey("subjects.id", ondelete="CASCADE"), nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("last_seen_at", DateTime(timezone=True), nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
)
_s = sessions_table.c


@dataclass(frozen=True, slots=True)
class Session:
    """A signed-in browser, and the token that its forms carry."""

    subject_id: UUID
    csrf_token: str


class Sessions:
    """Opens, finds and ends sessions."""

    def __init__(self, *, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def open(self, subject_id: UUID) -> str:
        """A new session for a user who has just signed in; gives the cookie's value, never used before."""
        cookie = secrets.token_urlsafe(32)
        now = self._clock()
        async with self._database.transaction() as connection:
            await connection.execute(delete(sessions_table).where(_s.expires_at <= now))
            await connection.execute(
                insert(sessions_table).values(
                    id_hash=_hash(cookie),
                    subject_id=subject_id,
                    created_at=now,
                    last_seen_at=now,
                    expires_at=now + ABSOLUTE,
                )
            )
        return cookie

    async def find(self, cookie: str | None) -> Session | None:
        """The live session of a cookie."""
        if not cookie:
            return None
        now = self._clock()
        query = select(_s.subject_id, _s.last_seen_at).where(
            _s.id_hash == _hash(cookie), _s.expires_at > now, _s.last_seen_at > now - IDLE
        )
        async with self._database.transaction() as connection:
            row = (await connection.execute(query)).first()
            if row is None:
                return None
            if row.last_seen_at < now - _NOTED_EVERY:
                await connection.execute(
                    update(sessions_table).where(_s.id_hash == _hash(cookie)).values(last_seen_at=now)
                )
        return Session(row.subject_id, csrf_token(cookie))

    async def end(self, cookie: str | None) -> None:
        """Sign out; the cookie is worth nothing from now on."""
        if not cookie:
            return
        async with self._database.transaction() as connection:
            await connection.execute(
                delete(sessions_table).where(or_(_s.id_hash == _hash(cookie), _s.expires_at <= self._clock()))
            )


def csrf_token(cookie: str) -> str:
    """The token of a session's forms: made from the cookie, so that only its own pages know it."""
    return hmac.new(cookie.encode(), b"vaultd csrf v1", hashlib.sha256).hexdigest()


def _hash(cookie: str) -> bytes:
    return hashlib.sha256(cookie.encode()).digest()
