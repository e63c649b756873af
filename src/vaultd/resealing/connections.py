"""Connections of format 1, whose access tokens are bound to less than they are now."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import func, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from vaultd.connections.lookups import NoticeLookups
from vaultd.connections.sealing import (
    FORMAT,
    Beside,
    Place,
    beside_of,
    data_key_of,
    open_connection,
    seal_access_token,
)
from vaultd.connections.store import select_rows
from vaultd.connections.table import ConnectionRow, connections_table
from vaultd.errors import CannotOpen
from vaultd.keys.data_keys import DataKeys

_c = connections_table.c
_FINISHED = text("SELECT 1 FROM pg_constraint WHERE conname = 'connections_sealed_anew' AND convalidated")
_FINISH = (
    "ALTER TABLE connections DROP CONSTRAINT IF EXISTS connections_sealed_anew",
    # In two steps, so that only a short lock is needed: rows are looked at while exchanges go on.
    "ALTER TABLE connections ADD CONSTRAINT connections_sealed_anew CHECK (format = 2) NOT VALID",
)
_VALIDATE = "ALTER TABLE connections VALIDATE CONSTRAINT connections_sealed_anew"


async def finished(connection: AsyncConnection) -> bool:
    """Whether the database has no connection of the old format, and takes none."""
    return (await connection.execute(_FINISHED)).first() is not None


async def finish(connection: AsyncConnection) -> None:
    """Have the database take no connection of the old format any more."""
    for statement in _FINISH:
        await connection.execute(text(statement))


async def validate(connection: AsyncConnection) -> None:
    """Have the database look whether it holds any."""
    await connection.execute(text(_VALIDATE))


async def left(connection: AsyncConnection) -> int:
    """How many there are."""
    query = select(func.count()).select_from(connections_table).where(_c.format != FORMAT)
    return (await connection.execute(query)).scalar_one()


async def reseal_some(
    connection: AsyncConnection, data_keys: DataKeys, lookups: NoticeLookups, *, after: UUID, limit: int
) -> tuple[int, UUID | None]:
    """Seal some anew, in the order of their ids; gives how many, and the last one's id."""
    query = select_rows().where(_c.format != FORMAT, _c.id > after).order_by(_c.id).limit(limit)
    # Exchanges go on meanwhile: their key share locks do not conflict with this one.
    held = query.with_for_update(of=connections_table, key_share=True)
    rows = [ConnectionRow.from_mapping(row) for row in (await connection.execute(held)).mappings()]
    for row in rows:
        values = _sealed_anew(row, data_keys, lookups)
        await connection.execute(update(connections_table).where(_c.id == row.id).values(**values, format=FORMAT))
    return len(rows), rows[-1].id if rows else None


def _sealed_anew(row: ConnectionRow, data_keys: DataKeys, lookups: NoticeLookups) -> dict[str, Any]:
    if row.status != "connected":
        # Without an access token nothing leaves, so nothing is bound by one.
        return {}
    try:
        key = data_key_of(row, data_keys)
        opened = open_connection(key, row)
    except CannotOpen as error:
        # It did not open before, and does not in the new format: `vaultd audit verify` names it.
        _log().error("a connection does not open and stays closed", connection_id=str(row.id), detail=error.detail)
        return {}
    # Worked out anew: older rows have none, and those that are there were not bound.
    found_by = lookups.of(row.provider, opened)
    beside = beside_of(row)
    bound = Beside(
        row.account_ref,
        found_by.account,
        found_by.tokens,
        beside.created_at,
        beside.connected_at,
        beside.refreshed_at,
    )
    return {
        "account_lookup": found_by.account,
        "token_lookups": list(found_by.tokens) or None,
        "access_token": seal_access_token(key, Place.of(row), bound, opened),
    }


def _log() -> structlog.stdlib.BoundLogger:
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger("vaultd.resealing")
    return logger
