"""Pages of connections: for operators, newest first, and for the user whose they are, oldest first.

A cursor is a place in that order and not a number of rows, so that what is added or taken away meanwhile moves nothing
from one page to another.
"""

from __future__ import annotations

import binascii
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias
from uuid import UUID

from sqlalchemy import Select, and_, func, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from vaultd.audit.events import decode, encode
from vaultd.connections.store import select_rows
from vaultd.connections.table import ConnectionRow, connections_table
from vaultd.errors import ForeignCursor
from vaultd.portions import portion
from vaultd.sizes import PAGE

Status: TypeAlias = Literal["connected", "reconnect_required", "revoked"]
_c = connections_table.c
_OTHER_MEMBERS = 300
"""Bytes of what a list shows of a connection beside its scopes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What to look for, from where, and how many."""

    subject_id: UUID | None = None
    provider: str | None = None
    status: Status | None = None
    cursor: str | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnQuery:
    """Whose connections, at which provider, from where, and how many."""

    subject_id: UUID
    provider: str | None = None
    cursor: str | None = None
    limit: int = 100
    room: int = PAGE


async def page(connection: AsyncConnection, query: Query) -> tuple[list[ConnectionRow], str | None]:
    """One page, and the cursor of the next one. Raises `ForeignCursor`."""
    statement = select_rows()
    wanted = ((_c.subject_id, query.subject_id), (_c.provider, query.provider), (_c.status, query.status))
    for column, value in wanted:
        if value is not None:
            statement = statement.where(column == value)
    if query.cursor is not None:
        statement = statement.where(tuple_(_c.created_at, _c.id) < tuple_(*_parse(query.cursor)))
    return await _cut(connection, statement, query.limit, descending=True)


async def own_page(connection: AsyncConnection, query: OwnQuery) -> tuple[list[ConnectionRow], str | None]:
    """The same of a user's own connections, without those that were disconnected. Raises `ForeignCursor`."""
    statement = select_rows().where(_c.subject_id == query.subject_id, _c.status != "revoked")
    if query.provider is not None:
        statement = statement.where(_c.provider == query.provider)
    if query.cursor is not None:
        statement = statement.where(tuple_(_c.created_at, _c.id) > tuple_(*_parse(query.cursor)))
    return await _cut(connection, statement, query.limit, room=query.room)


async def live_at(connection: AsyncConnection, subject_id: UUID, *, now: datetime) -> dict[str, bool]:
    """The providers at which a user has connections, and whether one of these is of use just now."""
    lasts = or_(_c.refresh_token.isnot(None), _c.expires_at.is_(None), _c.expires_at > now)
    live = func.bool_or(and_(_c.status == "connected", lasts))
    own = select(_c.provider, live).where(_c.subject_id == subject_id, _c.status != "revoked")
    return {row[0]: row[1] for row in await connection.execute(own.group_by(_c.provider))}


async def _cut(
    connection: AsyncConnection, statement: Select[Any], limit: int, *, descending: bool = False, room: int = PAGE
) -> tuple[list[ConnectionRow], str | None]:
    found, more = await portion(
        connection,
        statement,
        order=(_c.created_at, _c.id),
        descending=descending,
        size=func.octet_length(_c.granted_scopes) + _OTHER_MEMBERS,
        limit=limit,
        room=room,
    )
    rows = [ConnectionRow.from_mapping(row) for row in found]
    return rows, _cursor(rows[-1]) if more else None


def _cursor(row: ConnectionRow) -> str:
    return encode(json.dumps([row.created_at.isoformat(), str(row.id)]).encode())


def _parse(cursor: str) -> tuple[datetime, UUID]:
    try:
        created_at, connection_id = json.loads(decode(cursor))
        moment, identifier = datetime.fromisoformat(created_at), UUID(connection_id)
        if moment.tzinfo is None:
            raise ForeignCursor
        # Into UTC here, since the driver would do it later and fail at the ends of time.
        return moment.astimezone(UTC), identifier
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError, binascii.Error):
        raise ForeignCursor from None
