"""Consents under way: single-use secrets kept as hashes, what they protect sealed under a key of its own (B1, B3)."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from vaultd.connections.table import pending_table
from vaultd.errors import CannotOpen
from vaultd.keys.data_keys import DataKeys
from vaultd.keys.envelope import Sealed, bind, open_sealed, seal

PURPOSE = "pending"
_p = pending_table.c


def digest(secret: str) -> bytes:
    """How a random single-use value is stored. It has 256 bits, so a plain hash does not help to guess it."""
    return hashlib.sha256(secret.encode()).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """One consent under way, its private part opened."""

    id: UUID
    kind: str
    stage: str
    subject_id: UUID
    client_id: str | None
    provider: str
    redirect_uri: str
    code_challenge: str | None
    browser_hash: bytes | None
    auth_session_hash: bytes | None
    data_key_id: UUID
    granted: bytes | None
    expires_at: datetime
    private: dict[str, Any]


async def begin(
    connection: AsyncConnection,
    data_keys: DataKeys,
    *,
    columns: dict[str, Any],
    private: dict[str, Any],
    now: datetime,
    expires_at: datetime,
) -> UUID:
    """Store a consent that begins; `columns` are those of the table, `private` is sealed."""
    pending_id = uuid4()
    key = await data_keys.create(connection, PURPOSE)
    sealed = seal(key, json.dumps(private).encode(), bound=_place(pending_id, "private")).blob
    await connection.execute(
        insert(pending_table).values(
            id=pending_id, data_key_id=key.id, sealed=sealed, created_at=now, expires_at=expires_at, **columns
        )
    )
    return pending_id


async def advance(
    connection: AsyncConnection,
    data_keys: DataKeys,
    *,
    found_by: dict[str, Any],
    stage: str,
    now: datetime,
    set_: dict[str, Any],
) -> Pending | None:
    """Take the one consent that matches `found_by` and has not expired to the next stage.

    One statement, so that of any number of concurrent replays exactly one gets a row (B1).
    """
    statement = update(pending_table).where(_p.expires_at > now)
    for name, value in found_by.items():
        statement = statement.where(_p[name] == value)
    row = (await connection.execute(statement.values(stage=stage, **set_).returning(pending_table))).mappings().first()
    return await _opened(connection, data_keys, row) if row else None


async def find(connection: AsyncConnection, data_keys: DataKeys, **found_by: Any) -> Pending | None:
    """Look at a consent without taking it."""
    statement = select(pending_table)
    for name, value in found_by.items():
        statement = statement.where(_p[name] == value)
    row = (await connection.execute(statement)).mappings().first()
    return await _opened(connection, data_keys, row) if row else None


async def keep_grant(
    connection: AsyncConnection, data_keys: DataKeys, pending: Pending, *, grant: dict[str, Any], code_hash: bytes
) -> bool:
    """Seal what the provider granted beside the consent, until `complete` takes it; false if the consent is gone."""
    try:
        key = await data_keys.load(connection, pending.data_key_id, PURPOSE)
    except CannotOpen:
        return False
    granted = seal(key, json.dumps(grant).encode(), bound=_place(pending.id, "granted")).blob
    kept = update(pending_table).where(_p.id == pending.id).values(granted=granted, connect_code_hash=code_hash)
    return (await connection.execute(kept.returning(_p.id))).first() is not None


async def open_grant(connection: AsyncConnection, data_keys: DataKeys, pending: Pending) -> dict[str, Any]:
    """What the provider granted. Raises `CannotOpen`."""
    key = await data_keys.load(connection, pending.data_key_id, PURPOSE)
    document: dict[str, Any] = json.loads(
        open_sealed(key, Sealed(pending.granted or b""), bound=_place(pending.id, "granted"))
    )
    return document


async def forget(connection: AsyncConnection, data_keys: DataKeys, pending: Pending) -> None:
    """Delete a consent and its key."""
    await connection.execute(delete(pending_table).where(_p.id == pending.id))
    await data_keys.erase(connection, pending.data_key_id)


async def expired(
    connection: AsyncConnection, data_keys: DataKeys, *, now: datetime, limit: int = 100
) -> list[Pending]:
    """Consents whose time is over, locked for the caller who forgets them."""
    query = select(pending_table).where(_p.expires_at <= now).limit(limit).with_for_update(skip_locked=True)
    rows = (await connection.execute(query)).mappings().all()
    return [await _opened(connection, data_keys, row) for row in rows]


async def lock_of(connection: AsyncConnection, data_keys: DataKeys, subject_id: UUID) -> list[Pending]:
    """A subject's consents under way, locked for the caller who forgets them; an altered one has nothing granted."""
    query = select(pending_table).where(_p.subject_id == subject_id).order_by(_p.id).with_for_update()
    found = []
    for row in (await connection.execute(query)).mappings().all():
        try:
            found.append(await _opened(connection, data_keys, row))
        except CannotOpen:
            found.append(_pending(dict(row) | {"granted": None}, private={}))
    return found


async def _opened(connection: AsyncConnection, data_keys: DataKeys, row: Any) -> Pending:
    key = await data_keys.load(connection, row["data_key_id"], PURPOSE)
    private = json.loads(open_sealed(key, Sealed(row["sealed"]), bound=_place(row["id"], "private")))
    return _pending(row, private)


def _pending(row: Any, private: dict[str, Any]) -> Pending:
    names = [name for name in Pending.__dataclass_fields__ if name != "private"]
    return Pending(private=private, **{name: row[name] for name in names})


def _place(pending_id: UUID, field: str) -> bytes:
    return bind("pending", 1, pending_id, field)
