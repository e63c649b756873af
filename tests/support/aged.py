"""Rows as an older release left them: what the newest migration finds in a database that has been in use."""

from __future__ import annotations

import hashlib
import json
from typing import Any
from uuid import UUID

from sqlalchemy import insert, text, update

from tests.support.house import House
from vaultd.connections.sealing import Place, data_key_of, open_connection
from vaultd.connections.table import connections_table, pending_table
from vaultd.db import Database
from vaultd.keys.envelope import bind, seal


async def age(house: House, superuser: Database, connection_id: UUID, **columns: Any) -> None:
    """Seal a connection as release 0.1 did, which bound the access token to less."""
    row = await house.row(connection_id)
    key = data_key_of(row, house.data_keys)
    opened = open_connection(key, row)
    bound = Place.of(row).bound("access_token", opened.account_id)
    sealed = seal(key, opened.access_token.reveal().encode(), bound=bound).blob
    async with superuser.transaction() as connection:
        await connection.execute(text("ALTER TABLE connections DROP CONSTRAINT IF EXISTS connections_sealed_anew"))
        this = connections_table.c.id == connection_id
        values = {"access_token": sealed, "format": 1, **columns}
        await connection.execute(update(connections_table).where(this).values(**values))


def plain(value: str) -> bytes:
    """How single-use values and cookies were kept."""
    return hashlib.sha256(value.encode()).digest()


async def old_consent(house: House, superuser: Database, *, columns: dict[str, Any], private: dict[str, Any]) -> None:
    """A consent under way as it was kept; `granted` of the columns is what the provider gave, in the clear."""
    async with superuser.transaction() as connection:
        key = await house.data_keys.create(connection, "pending")
        place = ("pending", 1, columns["id"])
        granted = columns.get("granted")
        values = {
            **columns,
            "data_key_id": key.id,
            "sealed": seal(key, json.dumps(private).encode(), bound=bind(*place, "private")).blob,
            "granted": granted and seal(key, json.dumps(granted).encode(), bound=bind(*place, "granted")).blob,
        }
        await connection.execute(insert(pending_table).values(**values))
