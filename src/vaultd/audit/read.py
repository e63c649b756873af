"""Reading the log: filters, a cursor that new events do not disturb, and opening what is private.

Whoever may add rows may add any row. So each event of a page is held against its chain before it is shown, and one that
this vault did not write there is shown as that and as nothing else.
"""

from __future__ import annotations

import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.elements import ColumnElement

from vaultd.audit.events import Decision, decode, encode, rfc3339
from vaultd.audit.genuine import judged
from vaultd.audit.lane import events_table
from vaultd.audit.subject_key import SubjectKey
from vaultd.errors import CannotOpen, ForeignCursor
from vaultd.keys.keyring import Keyring
from vaultd.portions import portion

UNVERIFIED = "event.unverified"
"""What is shown in place of the type of an event that this vault did not write. No event has this type."""
_ORDER = (events_table.c.period, events_table.c.at, events_table.c.writer, events_table.c.seq)


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What to look for; a member that is None does not narrow."""

    subject_ref: bytes | None = None
    connection_ref: bytes | None = None
    client_id: str | None = None
    connection: str | None = None
    type: str | None = None
    decision: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    cursor: str | None = None
    limit: int = 100


async def page(connection: AsyncConnection, query: Query) -> tuple[list[dict[str, Any]], str | None]:
    """One page of rows, newest first, and the cursor of the next one. Raises `ForeignCursor`."""
    statement = _narrow(select(events_table), query)
    if query.cursor is not None:
        statement = statement.where(tuple_(*_ORDER) < tuple_(*_parse_cursor(query.cursor)))
    rows, more = await _newest(connection, statement, query.limit)
    return rows, _cursor(rows[-1]) if more else None


@dataclass(frozen=True, slots=True)
class Behind:
    """Where a page of one subject's events ends: at the event of this id, which is one, unless somebody copied it.

    Of copies it is the one of this number, newest first. Places in the log, which count everybody's events, stay here.
    """

    id: UUID
    number: int = 0


async def page_of(
    connection: AsyncConnection, subject_ref: bytes, *, behind: Behind | None, limit: int
) -> tuple[list[dict[str, Any]], Behind | None]:
    """One page of one subject's rows, and its end where more are behind it. Raises `ForeignCursor`."""
    own = events_table.c.subject_ref == subject_ref
    statement = select(events_table).where(own)
    if behind is not None:
        copies = select(*_ORDER).where(own, events_table.c.id == behind.id)
        in_order = copies.order_by(*(column.desc() for column in _ORDER)).offset(behind.number).limit(1)
        place = (await connection.execute(in_order)).first()
        if place is None:
            raise ForeignCursor
        statement = statement.where(tuple_(*_ORDER) < tuple_(*place))
    rows, more = await _newest(connection, statement, limit)
    return rows, await _end_of(connection, own, rows[-1]) if more else None


async def _end_of(connection: AsyncConnection, own: ColumnElement[bool], last: Mapping[str, Any]) -> Behind:
    place = tuple_(*(last[column.name] for column in _ORDER))
    newer = select(func.count()).select_from(events_table).where(own, events_table.c.id == last["id"])
    return Behind(last["id"], (await connection.execute(newer.where(tuple_(*_ORDER) > place))).scalar_one())


class Reader:
    """Reads pages for people and programs; each row has `doubt`, a word against it or None."""

    def __init__(self, *, keyring: Keyring) -> None:
        self._keyring = keyring

    async def page(self, connection: AsyncConnection, query: Query) -> tuple[list[dict[str, Any]], str | None]:
        """As `page` does. Raises `ForeignCursor`."""
        rows, following = await page(connection, query)
        return await judged(connection, self._keyring, rows), following

    async def page_of(
        self, connection: AsyncConnection, subject_ref: bytes, *, behind: Behind | None, limit: int
    ) -> tuple[list[dict[str, Any]], Behind | None]:
        """As `page_of` does. Raises `ForeignCursor`."""
        rows, last = await page_of(connection, subject_ref, behind=behind, limit=limit)
        return await judged(connection, self._keyring, rows), last


async def _newest(connection: AsyncConnection, statement: Select[Any], limit: int) -> tuple[list[dict[str, Any]], bool]:
    size = func.octet_length(events_table.c.bytes)
    return await portion(connection, statement, order=_ORDER, descending=True, size=size, limit=limit)


def _narrow(statement: Select[Any], query: Query) -> Select[Any]:
    equal = ("subject_ref", "connection_ref", "client_id", "connection", "type", "decision")
    for name in equal:
        wanted = getattr(query, name)
        if wanted is not None:
            statement = statement.where(events_table.c[name] == wanted)
    if query.since is not None:
        statement = statement.where(events_table.c.at >= query.since)
    if query.until is not None:
        statement = statement.where(events_table.c.at < query.until)
    return statement


def _cursor(row: Mapping[str, Any]) -> str:
    place = [row["period"].isoformat(), row["at"].isoformat(), str(row["writer"]), row["seq"]]
    return encode(json.dumps(place).encode())


def _parse_cursor(cursor: str) -> tuple[date, datetime, UUID, int]:
    try:
        period, at, writer, seq = json.loads(decode(cursor))
        place = date.fromisoformat(period), datetime.fromisoformat(at), UUID(writer), int(seq)
        if place[1].tzinfo is None or not 0 < place[3] < _BIGINT:
            raise ForeignCursor
        # Into UTC here, since the driver would do it later and fail at the ends of time.
        return place[0], place[1].astimezone(UTC), *place[2:]
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError, binascii.Error):
        raise ForeignCursor from None


_BIGINT = 2**63


def render(row: Mapping[str, Any], subject: SubjectKey | None) -> dict[str, Any]:
    """An event as the API shows it: private members opened where the subject's key is still there.

    One with a `doubt` says nothing about anybody.
    """
    if row.get("doubt") is not None:
        return {
            "id": str(row["id"]),
            "at": rfc3339(row["at"]),
            "type": UNVERIFIED,
            "decision": Decision.REFUSED,
            "reason": row["doubt"],
            "writer": str(row["writer"]),
            "seq": row["seq"],
        }
    members: dict[str, Any] = json.loads(row["bytes"])
    private = members.pop("private", None)
    for hidden in ("v", "key", "subject_ref", "connection_ref"):
        members.pop(hidden, None)
    if private is not None and subject is not None:
        try:
            members |= json.loads(subject.open_private(row["id"], decode(private)))
        except (CannotOpen, binascii.Error):
            members["private"] = "unreadable"
    return members | {"writer": str(row["writer"]), "seq": row["seq"]}
