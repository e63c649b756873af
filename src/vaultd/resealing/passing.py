"""What lasts for minutes or a day: consents and sign-ins under way, and sessions, which older releases bound to little.

They are few, so each table is done in one transaction. A row that is in the new format already is left as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import Table, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from vaultd.connections.pending import PURPOSE as PENDING
from vaultd.connections.pending import PendingGrants
from vaultd.connections.table import pending_table
from vaultd.errors import CannotOpen
from vaultd.keys.data_keys import DataKeys
from vaultd.keys.envelope import Key, Sealed, bind, open_sealed, seal
from vaultd.keys.keyring import Keyring
from vaultd.sessions.flows import PURPOSE as SIGN_IN
from vaultd.sessions.flows import place_of_flow, sign_in_hash, sign_ins_table
from vaultd.sessions.store import mac_of_session, session_hash, sessions_table

LONGEST = timedelta(minutes=10)
"""How long a consent or a sign-in lasts. Older rows could be given a later end by anybody who reaches the table."""
_SINGLES = ("ticket", "state", "browser", "auth_session", "connect_code")


async def reseal_pending(
    connection: AsyncConnection, pending: PendingGrants, data_keys: DataKeys, *, now: datetime
) -> int:
    """Consents under way; gives how many."""
    done = 0
    for row in await _locked(connection, pending_table):
        place = ("pending", 1, row["id"])
        opened = await _opened(connection, data_keys, row, PENDING, bind(*place, "private"))
        if opened is None:
            continue
        key, private = opened
        granted = row["granted"] and open_sealed(key, Sealed(row["granted"]), bound=bind(*place, "granted"))
        hashes = {f"{name}_hash": row[f"{name}_hash"] for name in _SINGLES}
        keyed = {
            column: digest and pending.keyed(column.removesuffix("_hash"), digest) for column, digest in hashes.items()
        }
        changed = {**row, **keyed, "expires_at": min(row["expires_at"], now + LONGEST)}
        await pending.write_anew(connection, key, changed, private=private, granted=granted)
        done += 1
    return done


async def reseal_sign_ins(connection: AsyncConnection, keyring: Keyring, data_keys: DataKeys, *, now: datetime) -> int:
    """Sign-ins under way; gives how many."""
    done = 0
    for row in await _locked(connection, sign_ins_table):
        opened = await _opened(connection, data_keys, row, SIGN_IN, bind(SIGN_IN, 1, row["state_hash"]))
        if opened is None:
            continue
        key, flow = opened
        changed = {
            **row,
            "state_hash": sign_in_hash(keyring, "state", row["state_hash"]),
            "browser_hash": sign_in_hash(keyring, "browser", row["browser_hash"]),
            "expires_at": min(row["expires_at"], now + LONGEST),
        }
        changed["sealed"] = seal(key, flow, bound=place_of_flow(changed)).blob
        this = sign_ins_table.c.state_hash == row["state_hash"]
        await connection.execute(update(sign_ins_table).where(this).values(**changed))
        done += 1
    return done


async def reseal_sessions(connection: AsyncConnection, keyring: Keyring) -> int:
    """Signed-in browsers; gives how many."""
    done = 0
    for row in await _locked(connection, sessions_table):
        if row["mac"] is not None:
            continue
        changed = {**row, "id_hash": session_hash(keyring, row["id_hash"])}
        changed["mac"] = mac_of_session(keyring, changed)
        this = sessions_table.c.id_hash == row["id_hash"]
        await connection.execute(update(sessions_table).where(this).values(**changed))
        done += 1
    return done


async def _locked(connection: AsyncConnection, table: Table) -> list[dict[Any, Any]]:
    return [dict(row) for row in (await connection.execute(select(table).with_for_update())).mappings()]


async def _opened(
    connection: AsyncConnection, data_keys: DataKeys, row: Mapping[Any, Any], purpose: str, bound: bytes
) -> tuple[Key, bytes] | None:
    """The row's key and what it sealed in the old format; None where it is in the new one, or does not open."""
    try:
        key = await data_keys.load(connection, row["data_key_id"], purpose)
        return key, open_sealed(key, Sealed(row["sealed"]), bound=bound)
    except CannotOpen as error:
        structlog.stdlib.get_logger("vaultd.resealing").info(
            "left as it is: sealed anew already, or altered", purpose=purpose, detail=error.detail
        )
        return None
