"""Which keys there are, and how much hangs on each; never a key."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from vaultd.keys.data_keys import data_keys_table
from vaultd.keys.keyring import keyring_table


@dataclass(frozen=True, slots=True)
class KeyUsage:
    """One key of the ring. `rows` counts the data keys it wraps; None for a purpose that wraps none."""

    id: UUID
    purpose: str
    state: str
    created_at: datetime
    rows: int | None


async def usage(connection: AsyncConnection) -> list[KeyUsage]:
    """All keys as the database has them, oldest first."""
    counts = select(data_keys_table.c.kek_id, func.count().label("rows")).group_by(data_keys_table.c.kek_id).subquery()
    k = keyring_table.c
    query = (
        select(k.id, k.purpose, k.state, k.created_at, func.coalesce(counts.c.rows, 0).label("rows"))
        .outerjoin(counts, counts.c.kek_id == k.id)
        .order_by(k.created_at, k.id)
    )
    return [
        KeyUsage(row.id, row.purpose, row.state, row.created_at, row.rows if row.purpose == "kek" else None)
        for row in (await connection.execute(query)).all()
    ]
