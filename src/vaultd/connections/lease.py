"""The lease under which one process refreshes a connection, and how its end is told to whoever waits (C5)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Text, cast, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.elements import ColumnElement

from vaultd.connections.table import ConnectionRow, connections_table

CHANNEL = "vaultd_connections"
"""Where the end of each lease is told, with the connection's id, by the transaction that ends it."""

LASTS = timedelta(seconds=15)
"""Longer than the provider's total timeout, so that a live owner never loses it."""
CLOCKS = timedelta(minutes=2)
"""By so much the database's clock may have been put back while a lease lasts (E7)."""

_c = connections_table.c


async def take(connection: AsyncConnection, row: ConnectionRow, *, owner: UUID, now: datetime) -> int | None:
    """Take the refresh lease and write the intent; gives the fencing number, or None when another holds it.

    None too where the row is no longer as the caller saw it: what the caller knows of an intent would be outdated.
    """
    statement = (
        update(connections_table)
        .where(_c.id == row.id, _c.generation == row.generation, _c.revision == row.revision, _c.status == "connected")
        .where(_c.lease_fence == row.lease_fence)
        # No owner holds a lease for longer than one lasts, by whatever clock: a later end is somebody else's.
        .where(or_(_c.lease_until.is_(None), _c.lease_until < func.now(), _c.lease_until > _longest()))
        .values(
            lease_owner=owner,
            lease_fence=_c.lease_fence + 1,
            # The database's clock for both ends of the lease, since replicas' clocks may differ.
            lease_until=func.now() + LASTS,
            intent_fence=_c.lease_fence + 1,
            intent_at=now,
        )
        .returning(_c.lease_fence)
    )
    fence: int | None = (await connection.execute(statement)).scalar_one_or_none()
    return fence


def _longest() -> ColumnElement[Any]:
    # Of this moment: a transaction's own time is that of its beginning, before another lease may have begun.
    return func.clock_timestamp() + LASTS + CLOCKS


async def give_back(connection: AsyncConnection, row: ConnectionRow, *, fence: int, keep_intent: bool) -> None:
    """End a lease that stored nothing. The intent stays where the provider may have rotated unheard."""
    forgotten = {} if keep_intent else {"intent_fence": None, "intent_at": None}
    await connection.execute(
        update(connections_table)
        .where(_c.id == row.id, _c.lease_fence == fence)
        .values(lease_owner=None, lease_until=None, **forgotten)
        .returning(told())
    )


async def tell(connection: AsyncConnection, word: str) -> None:
    """Send a word to everybody who listens, when the transaction commits."""
    await connection.execute(select(func.pg_notify(CHANNEL, word)))


def told() -> ColumnElement[Any]:
    """For a RETURNING: who waits for the row is told when the transaction commits, if the row was changed at all."""
    return func.pg_notify(CHANNEL, cast(_c.id, Text))
