"""A lane: dense numbers and a keyed chain, held in the memory of the process that owns it."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Column, Date, DateTime, LargeBinary, Table, Text, Uuid
from sqlalchemy.ext.asyncio import AsyncConnection
from uuid_utils.compat import uuid7

from vaultd.audit.events import Draft, decode, rfc3339
from vaultd.db import add_rows, metadata
from vaultd.keys.envelope import Key

lanes_table = Table(
    "lanes",
    metadata,
    Column("writer", Uuid, primary_key=True),
    Column("period", Date, nullable=False),
    Column("opened_at", DateTime(timezone=True), nullable=False),
    Column("closed_at", DateTime(timezone=True)),
    Column("last_seq", BigInteger),
)

events_table = Table(
    "events",
    metadata,
    Column("period", Date, primary_key=True),
    Column("writer", Uuid, primary_key=True),
    Column("seq", BigInteger, primary_key=True),
    Column("mac", LargeBinary, nullable=False),
    Column("bytes", LargeBinary, nullable=False),
    Column("id", Uuid, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("type", Text, nullable=False),
    Column("decision", Text, nullable=False),
    Column("client_id", Text),
    Column("connection", Text),
    Column("subject_ref", LargeBinary),
    Column("connection_ref", LargeBinary),
)

COLUMNS = tuple(column.name for column in events_table.columns)


@dataclass(frozen=True, slots=True)
class Position:
    """Where a lane stands: the number and the mac of its last committed event."""

    seq: int
    mac: bytes


def link(chain_key: Key, previous: bytes, event: bytes) -> bytes:
    """The mac that chains an event to the one before it."""
    return hmac.digest(chain_key.material, previous + event, hashlib.sha256)


class Lane:
    """One lane of this process. Its position moves only when a transaction is known to have committed."""

    def __init__(self, *, writer: UUID, period: date, chain_key: Key) -> None:
        self.writer = writer
        self.period = period
        self._chain_key = chain_key
        self._key_name = str(chain_key.id)
        self.position = Position(0, writer.bytes)

    async def append(
        self, connection: AsyncConnection, drafts: Sequence[Draft], *, at: datetime, after: Position
    ) -> Position:
        """Insert the events behind `after` in the caller's transaction; gives the position to take on commit."""
        rows, position = self.number(drafts, at=at, after=after)
        await add_rows(connection, events_table, [dict(zip(COLUMNS, row, strict=True)) for row in rows])
        return position

    def number(
        self, drafts: Sequence[Draft], *, at: datetime, after: Position
    ) -> tuple[list[tuple[Any, ...]], Position]:
        """The rows of these events behind `after`, as `COLUMNS` names them, and the position they lead to."""
        rows, seq, mac, moment = [], after.seq, after.mac, rfc3339(at)
        for draft in drafts:
            event_id = uuid7()
            event = draft.canonical(event_id=event_id, at=moment, chain_key=self._key_name)
            seq, mac = seq + 1, link(self._chain_key, mac, event)
            subject_ref = draft.subject.subject_ref if draft.subject is not None else None
            place = (self.period, self.writer, seq, mac, event, event_id, at)
            clear = (draft.type, draft.decision, draft.client_id, draft.connection)
            rows.append((*place, *clear, subject_ref, draft.connection_ref()))
        return rows, Position(seq, mac)


def columns_of(event: bytes) -> dict[str, Any]:
    """The filter columns of an event: derived from its bytes, so that verification can compare them."""
    members = json.loads(event)
    refs = {name: decode(members[name]) if name in members else None for name in ("subject_ref", "connection_ref")}
    return {
        "id": UUID(members["id"]),
        "at": datetime.fromisoformat(members["at"]),
        "type": members["type"],
        "decision": members["decision"],
        "client_id": members.get("client_id"),
        "connection": members.get("connection"),
        **refs,
    }
