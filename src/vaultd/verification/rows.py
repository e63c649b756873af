"""Rows by themselves: whether each is as it was written."""

from __future__ import annotations

import hmac
from collections.abc import AsyncIterator

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from vaultd.connections import outbox as outbox_rows
from vaultd.connections.pending import PendingGrants
from vaultd.errors import CannotOpen
from vaultd.keys.data_keys import DataKeys, data_keys_table
from vaultd.keys.envelope import Sealed
from vaultd.keys.keyring import Keyring
from vaultd.sessions.store import mac_of_session, sessions_table

_UNCOMMON = text(
    """SELECT id, next_try_at FROM revocations
    WHERE next_try_at > clock_timestamp() + cast(:longest AS interval) + interval '2 minutes'"""
)


async def data_keys(connection: AsyncConnection, keys: DataKeys) -> AsyncIterator[str]:
    """Each opens for the purpose that its row names, and is wrapped by the key that its row names."""
    result = await connection.stream(select(data_keys_table).order_by(data_keys_table.c.id))
    async for row in result:
        try:
            keys.unwrap(row.id, row.purpose, row.wrapped)
            wrapped_by = Sealed(row.wrapped).key_id
        except CannotOpen as error:
            yield f"data key {row.id}: it does not open as one for a {row.purpose} ({error.detail})"
            continue
        if wrapped_by != row.kek_id:
            yield f"data key {row.id}: its row names {row.kek_id}, and {wrapped_by} wrapped it"


async def passing(connection: AsyncConnection, keyring: Keyring, pending: PendingGrants) -> AsyncIterator[str]:
    """Sessions carry their own MAC, and consents under way open."""
    for row in (await connection.execute(select(sessions_table))).mappings():
        if not hmac.compare_digest(row["mac"], mac_of_session(keyring, row)):
            yield f"a session of subject {row['subject_id']}: it is not as it was written"
    async for pending_id, detail in pending.unopenable(connection):
        yield f"consent {pending_id}: it does not open ({detail})"


async def outbox(connection: AsyncConnection, keys: DataKeys) -> AsyncIterator[str]:
    """Tokens on their way out open, and none waits longer than one may."""
    async for revocation in outbox_rows.everything(connection, keys):
        if revocation.access_token is None:
            yield f"revocation {revocation.id}: it does not open"
    for row in await connection.execute(_UNCOMMON, {"longest": outbox_rows.LONGEST_WAIT}):
        yield f"revocation {row.id}: its next try is put off to {row.next_try_at}"
