"""Consents that were under way in an older release end: nothing in them says whose they really are.

Their users begin again. What a provider has granted for one already goes to the outbox, to be revoked there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from vaultd.connections import outbox
from vaultd.connections.grants import Brought
from vaultd.connections.pending import PURPOSE
from vaultd.connections.sealing import PURPOSE as CONNECTION
from vaultd.connections.sealing import known_account
from vaultd.connections.table import pending_table
from vaultd.errors import CannotOpen
from vaultd.keys.data_keys import DataKeys
from vaultd.keys.envelope import Key, Sealed, bind, open_sealed


async def end_old(connection: AsyncConnection, data_keys: DataKeys, *, now: datetime) -> None:
    """End those that are sealed as an older release did; those of this one, and altered ones, are left to the sweep."""
    for row in (await connection.execute(select(pending_table).with_for_update())).mappings().all():
        key = await _key_of_old(connection, data_keys, row)
        if key is None:
            continue
        await _give_back(connection, data_keys, row, key, now)
        await connection.execute(delete(pending_table).where(pending_table.c.id == row["id"]))
        await data_keys.erase(connection, row["data_key_id"])


async def _key_of_old(connection: AsyncConnection, data_keys: DataKeys, row: Mapping[Any, Any]) -> Key | None:
    try:
        key = await data_keys.load(connection, row["data_key_id"], PURPOSE)
        open_sealed(key, Sealed(row["sealed"]), bound=bind("pending", 1, row["id"], "private"))
    except CannotOpen:
        return None
    return key


async def _give_back(
    connection: AsyncConnection, data_keys: DataKeys, row: Mapping[Any, Any], key: Key, now: datetime
) -> None:
    if row["granted"] is None:
        return
    try:
        opened = open_sealed(key, Sealed(row["granted"]), bound=bind("pending", 1, row["id"], "granted"))
    except CannotOpen:
        # Altered bytes cannot be revoked at the provider.
        return
    brought = Brought.from_json(json.loads(opened))
    await outbox.put(
        connection,
        provider=row["provider"],
        subject_id=row["subject_id"],
        account_id=known_account(brought.account_id),
        key=await data_keys.create(connection, CONNECTION),
        access_token=brought.access_token,
        refresh_token=brought.refresh_token,
        metadata=brought.metadata,
        now=now,
    )
