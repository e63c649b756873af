"""Pages of connections for operators, newest first."""

from __future__ import annotations

import binascii
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias
from uuid import UUID

from sqlalchemy import tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from vaultd.audit.events import decode, encode
from vaultd.connections.store import select_rows
from vaultd.connections.table import ConnectionRow, connections_table
from vaultd.errors import InvalidRequest

Status: TypeAlias = Literal["connected", "reconnect_required", "revoked"]
_c = connections_table.c


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What to look for, from where, and how many."""

    subject_id: UUID | None = None
    provider: str | None = None
    status: Status | None = None
    cursor: str | None = None
    limit: int = 100


async def page(connection: AsyncConnection, query: Query) -> tuple[list[ConnectionRow], str | None]:
    """One page, and the cursor of the next one. Raises `InvalidRequest` for a cursor that was not given out here."""
    statement = select_rows()
    wanted = ((_c.subject_id, query.subject_id), (_c.provider, query.provider), (_c.status, query.status))
    for column, value in wanted:
        if value is not None:
            statement = statement.where(column == value)
    if query.cursor is not None:
        statement = statement.where(tuple_(_c.created_at, _c.id) < tuple_(*_parse(query.cursor)))
    statement = statement.order_by(_c.created_at.desc(), _c.id.desc()).limit(query.limit + 1)
    rows = [ConnectionRow.from_mapping(row) for row in (await connection.execute(statement)).mappings()]
    following = _cursor(rows[query.limit - 1]) if len(rows) > query.limit else None
    return rows[: query.limit], following


def _cursor(row: ConnectionRow) -> str:
    return encode(json.dumps([row.created_at.isoformat(), str(row.id)]).encode())


def _parse(cursor: str) -> tuple[datetime, UUID]:
    try:
        created_at, connection_id = json.loads(decode(cursor))
        place = datetime.fromisoformat(created_at), UUID(connection_id)
    except (ValueError, TypeError, AttributeError, RecursionError, binascii.Error):
        raise _foreign_cursor() from None
    if place[0].tzinfo is None:
        raise _foreign_cursor()
    return place


def _foreign_cursor() -> InvalidRequest:
    return InvalidRequest("The cursor is not one that was given out here.")
