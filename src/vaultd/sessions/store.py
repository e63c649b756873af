"""The browser's sessions, kept on the server: only a keyed hash of the cookie is stored (security B7).

Nothing in a row is sealed, so a MAC binds it: whose it is, whose session at the issuer it follows, and until when it is
good. A row that anybody else wrote or changed is no session.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import (
    Column,
    DateTime,
    ForeignKey,
    LargeBinary,
    Table,
    Uuid,
    and_,
    delete,
    insert,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.elements import ColumnElement

from vaultd.audit.events import Draft
from vaultd.audit.log import AuditLog
from vaultd.db import Database, metadata
from vaultd.keys.envelope import microseconds
from vaultd.keys.keyring import Keyring
from vaultd.terms import Clock

_NOTED_EVERY = timedelta(minutes=1)
_SWEPT = 100
"""Dead sessions that one new session clears away."""

sessions_table = Table(
    "sessions",
    metadata,
    Column("id_hash", LargeBinary, primary_key=True),
    Column("subject_id", Uuid, ForeignKey("subjects.id", ondelete="CASCADE"), nullable=False),
    Column("sid_lookup", LargeBinary),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("last_seen_at", DateTime(timezone=True), nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    Column("mac", LargeBinary, nullable=False),
)
_s = sessions_table.c


@dataclass(frozen=True, slots=True)
class Session:
    """A signed-in browser, and the token that its forms carry."""

    subject_id: UUID
    csrf_token: str


@dataclass(frozen=True, slots=True)
class Lifetime:
    """How long a session may be unused, and how long it lasts in any case."""

    idle: timedelta
    absolute: timedelta


class Sessions:
    """Opens, finds and ends sessions; their beginnings and ends are in the audit log."""

    def __init__(
        self, *, database: Database, log: AuditLog, keyring: Keyring, clock: Clock, lifetime: Lifetime
    ) -> None:
        self._database = database
        self._log = log
        self._keyring = keyring
        self._clock = clock
        self._lifetime = lifetime

    async def open(
        self, subject_id: UUID, *, issuer: str, sid: str | None, instead_of: str | None, draft: Draft
    ) -> str:
        """A new session for a user who has just signed in; gives the cookie's value, never used before.

        `sid` is the issuer's own session. The one that the browser brought, `instead_of`, ends: an id never survives a
        sign-in (B7).
        """
        cookie = secrets.token_urlsafe(32)
        now = self._clock()
        async with self._log.transaction() as transaction:
            await self._sweep(transaction.connection)
            if instead_of:
                await transaction.connection.execute(delete(sessions_table).where(self._is(instead_of)))
            row = {
                "id_hash": self._hash(cookie),
                "subject_id": subject_id,
                "sid_lookup": self._sid_lookup(issuer, sid) if sid else None,
                "created_at": now,
                "last_seen_at": now,
                "expires_at": now + self._lifetime.absolute,
            }
            await transaction.connection.execute(
                insert(sessions_table).values(**row, mac=mac_of_session(self._keyring, row))
            )
            await transaction.append(draft)
        return cookie

    async def find(self, cookie: str | None) -> Session | None:
        """The live session of a cookie."""
        if not cookie:
            return None
        now = self._clock()
        query = select(sessions_table).where(self._is(cookie), ~self._is_over())
        async with self._database.transaction() as connection:
            row = (await connection.execute(query)).mappings().first()
            if row is None:
                return None
            if not hmac.compare_digest(row["mac"], mac_of_session(self._keyring, row)):
                _log().error("a session's row is not as it was written", subject_id=str(row["subject_id"]))
                return None
            if row["last_seen_at"] < now - _NOTED_EVERY:
                seen = {"last_seen_at": now, "mac": mac_of_session(self._keyring, {**row, "last_seen_at": now})}
                # Not over a later moment that another request has written.
                unseen = _s.last_seen_at == row["last_seen_at"]
                await connection.execute(update(sessions_table).where(self._is(cookie), unseen).values(**seen))
        return Session(row["subject_id"], csrf_token(cookie))

    async def end(self, cookie: str, *, draft: Draft) -> None:
        """Sign out; the cookie is worth nothing from now on."""
        async with self._log.transaction() as transaction:
            statement = delete(sessions_table).where(self._is(cookie)).returning(_s.subject_id)
            if (await transaction.connection.execute(statement)).first() is not None:
                await transaction.append(draft)

    async def end_named(
        self, connection: AsyncConnection, issuer: str, *, sid: str | None, subject_id: UUID | None
    ) -> Sequence[UUID]:
        """End the sessions that an issuer names, in the caller's transaction; gives whose they were.

        Those of `sid`, and of nobody but `subject_id` where both are given; without `sid` all of `subject_id`'s. One
        that the issuer gave no `sid` for may be the one it means, and ends with any of its user's.
        """
        named: ColumnElement[bool] = true()
        if sid:
            is_it = _s.sid_lookup == self._sid_lookup(issuer, sid)
            named = is_it if subject_id is None else or_(is_it, _s.sid_lookup.is_(None))
        elif subject_id is None:
            return ()
        if subject_id is not None:
            named = and_(named, _s.subject_id == subject_id)
        statement = delete(sessions_table).where(named).returning(_s.subject_id)
        return list(dict.fromkeys((await connection.execute(statement)).scalars()))

    def _is_over(self) -> ColumnElement[bool]:
        # By both columns: a configuration with shorter lifetimes is true of the sessions that are there already.
        now = self._clock()
        return or_(
            _s.expires_at <= now,
            _s.created_at <= now - self._lifetime.absolute,
            _s.last_seen_at <= now - self._lifetime.idle,
        )

    async def _sweep(self, connection: AsyncConnection) -> None:
        # Locked first and those of others left out, so that two who sweep never wait for each other.
        over = select(_s.id_hash).where(self._is_over()).limit(_SWEPT).with_for_update(skip_locked=True)
        ids = list((await connection.execute(over)).scalars())
        if ids:
            await connection.execute(delete(sessions_table).where(_s.id_hash.in_(ids)))

    def _is(self, cookie: str) -> ColumnElement[bool]:
        return _s.id_hash == self._hash(cookie)

    def _hash(self, cookie: str) -> bytes:
        return session_hash(self._keyring, hashlib.sha256(cookie.encode()).digest())

    def _sid_lookup(self, issuer: str, sid: str) -> bytes:
        return self._keyring.lookup("sid", issuer, sid)


def csrf_token(cookie: str) -> str:
    """The token of a session's forms: made from the cookie, so that only its own pages know it."""
    return hmac.new(cookie.encode(), b"vaultd csrf v1", hashlib.sha256).hexdigest()


def session_hash(keyring: Keyring, digest: bytes) -> bytes:
    """How a session is found: by a keyed hash of its cookie's SHA-256."""
    return keyring.lookup("session", digest)


def mac_of_session(keyring: Keyring, row: Mapping[Any, Any]) -> bytes:
    """What binds a session's columns to each other."""
    moments = (microseconds(row[name]) for name in ("created_at", "last_seen_at", "expires_at"))
    return keyring.row_mac("sessions", row["id_hash"], row["subject_id"], row["sid_lookup"], *moments)


def _log() -> structlog.stdlib.BoundLogger:
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger("vaultd.sessions")
    return logger
