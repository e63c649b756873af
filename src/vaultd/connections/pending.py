"""Consents under way: single-use values kept as keyed hashes, what they protect sealed under a key of its own (B1, B3).

Every column of a row takes part in deciding whose the consent is, where its browser goes or until when it is good. So
all of them are bound by what is sealed beside them, which is sealed anew with each step.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import structlog
from sqlalchemy import Select, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from vaultd.connections.table import pending_table
from vaultd.errors import CannotOpen
from vaultd.keys.data_keys import DataKeys
from vaultd.keys.envelope import Key, Sealed, bind, microseconds, open_sealed, seal
from vaultd.keys.keyring import Keyring

PURPOSE = "pending"
FORMAT = 2
BOUND = (
    "id",
    "kind",
    "stage",
    "subject_id",
    "client_id",
    "provider",
    "redirect_uri",
    "code_challenge",
    "ticket_hash",
    "state_hash",
    "browser_hash",
    "auth_session_hash",
    "connect_code_hash",
    "data_key_id",
    "created_at",
    "expires_at",
)
"""The columns that what is sealed is bound to: all that are not sealed themselves."""
_p = pending_table.c


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


class PendingGrants:
    """Keeps consents, each method in the caller's transaction."""

    def __init__(self, *, data_keys: DataKeys, keyring: Keyring) -> None:
        self._data_keys = data_keys
        self._keyring = keyring

    def hashed(self, **singles: str) -> dict[str, bytes]:
        """The columns in which these random values are kept."""
        return {f"{name}_hash": self.hash_of(name, value) for name, value in singles.items()}

    def hash_of(self, name: str, value: str) -> bytes:
        """How a random single-use value is kept: keyed, so that nobody without the keyring can write their own."""
        return self._keyring.lookup(f"pending {name}", hashlib.sha256(value.encode()).digest())

    async def begin(
        self,
        connection: AsyncConnection,
        *,
        columns: Mapping[str, Any],
        private: Mapping[str, Any],
        now: datetime,
        expires_at: datetime,
    ) -> UUID:
        """Store a consent that begins; `columns` are those of the table, `private` is sealed."""
        key = await self._data_keys.create(connection, PURPOSE)
        pending_id = uuid4()
        given = {"id": pending_id, "data_key_id": key.id, "created_at": now, "expires_at": expires_at, **columns}
        row = dict.fromkeys(_p.keys()) | given
        await connection.execute(insert(pending_table).values(**row | {"sealed": _seal_private(key, row, private)}))
        return pending_id

    async def advance(
        self,
        connection: AsyncConnection,
        *,
        found_by: Mapping[str, Any],
        stage: str,
        now: datetime,
        set_: Mapping[str, Any],
    ) -> Pending | None:
        """Take the one consent that matches `found_by` and has not expired to the next stage.

        Its row is locked first, so that of any number of concurrent replays exactly one finds it at its stage (B1).
        Raises `CannotOpen`: it is not as it was stored.
        """
        query = select(pending_table).where(_p.expires_at > now).with_for_update()
        row = await self._first(connection, query, found_by)
        if row is None:
            return None
        key, private = await self._open(connection, row)
        changed = {**row, **set_, "stage": stage}
        await self._write(connection, key, changed, private)
        return _pending(changed, private)

    async def find(self, connection: AsyncConnection, **found_by: Any) -> Pending | None:
        """Look at a consent without taking it. Raises `CannotOpen`."""
        row = await self._first(connection, select(pending_table), found_by)
        return None if row is None else _pending(row, (await self._open(connection, row))[1])

    async def keep_grant(
        self, connection: AsyncConnection, pending: Pending, *, grant: Mapping[str, Any], connect_code: str
    ) -> bool:
        """Seal what the provider granted beside the consent, until `complete` takes it; false if the consent is gone.

        Raises `CannotOpen`: it is not as it was stored.
        """
        row = await self._first(connection, select(pending_table).with_for_update(), {"id": pending.id})
        if row is None:
            return False
        key, private = await self._open(connection, row)
        changed = {**row, **self.hashed(connect_code=connect_code), "granted": _seal_granted(key, row, grant)}
        await self._write(connection, key, changed, private)
        return True

    async def open_grant(self, connection: AsyncConnection, pending: Pending) -> dict[str, Any]:
        """What the provider granted. Raises `CannotOpen`."""
        key = await self._data_keys.load(connection, pending.data_key_id, PURPOSE)
        return _open_granted(key, pending.id, pending.subject_id, pending.provider, pending.granted or b"")

    async def forget(self, connection: AsyncConnection, pending: Pending) -> None:
        """Delete a consent and its key."""
        await connection.execute(delete(pending_table).where(_p.id == pending.id))
        await self._data_keys.erase(connection, pending.data_key_id)

    async def expired(self, connection: AsyncConnection, *, now: datetime, limit: int = 100) -> list[Pending]:
        """Consents whose time is over, locked for the caller who forgets them; an altered one has nothing granted."""
        query = select(pending_table).where(_p.expires_at <= now).limit(limit).with_for_update(skip_locked=True)
        return await self._opened_or_empty(connection, query)

    async def lock_of(self, connection: AsyncConnection, subject_id: UUID) -> list[Pending]:
        """A subject's consents under way, locked for the caller who forgets them; as `expired` gives them."""
        query = select(pending_table).where(_p.subject_id == subject_id).order_by(_p.id).with_for_update()
        return await self._opened_or_empty(connection, query)

    async def unopenable(self, connection: AsyncConnection) -> AsyncIterator[tuple[UUID, str]]:
        """Consents that are not as they were stored, and why."""
        for row in (await connection.execute(select(pending_table))).mappings().all():
            try:
                await self._open_whole(connection, row)
            except CannotOpen as error:
                yield row["id"], error.detail

    async def _first(
        self, connection: AsyncConnection, query: Select[Any], found_by: Mapping[str, Any]
    ) -> dict[str, Any] | None:
        for name, value in found_by.items():
            query = query.where(_p[name] == value)
        row = (await connection.execute(query)).mappings().first()
        return None if row is None else dict(row)

    async def _opened_or_empty(self, connection: AsyncConnection, query: Select[Any]) -> list[Pending]:
        found = []
        for row in (await connection.execute(query)).mappings().all():
            try:
                found.append(_pending(row, await self._open_whole(connection, row)))
            except CannotOpen as error:
                # What it held cannot be given back to its provider, and it must not keep the others here.
                _log().error("a consent under way does not open", pending_id=str(row["id"]), detail=error.detail)
                found.append(_pending({**row, "granted": None}, private={}))
        return found

    async def _open(self, connection: AsyncConnection, row: Mapping[Any, Any]) -> tuple[Key, dict[str, Any]]:
        key = await self._data_keys.load(connection, row["data_key_id"], PURPOSE)
        private: dict[str, Any] = json.loads(open_sealed(key, Sealed(row["sealed"]), bound=bound_private(row)))
        return key, private

    async def _open_whole(self, connection: AsyncConnection, row: Mapping[Any, Any]) -> dict[str, Any]:
        """The private part, and a look whether what was granted opens too."""
        key, private = await self._open(connection, row)
        if row["granted"] is not None:
            _open_granted(key, row["id"], row["subject_id"], row["provider"], row["granted"])
        return private

    @staticmethod
    async def _write(connection: AsyncConnection, key: Key, row: Mapping[str, Any], private: Mapping[str, Any]) -> None:
        values = {**row, "sealed": _seal_private(key, row, private)}
        await connection.execute(update(pending_table).where(_p.id == row["id"]).values(**values))


def _pending(row: Mapping[Any, Any], private: dict[str, Any]) -> Pending:
    names = [name for name in Pending.__dataclass_fields__ if name != "private"]
    return Pending(private=private, **{name: row[name] for name in names})


def _seal_private(key: Key, row: Mapping[str, Any], private: Mapping[str, Any]) -> bytes:
    return seal(key, json.dumps(dict(private)).encode(), bound=bound_private(row)).blob


def _seal_granted(key: Key, row: Mapping[str, Any], grant: Mapping[str, Any]) -> bytes:
    bound = _place_of_granted(row["id"], row["subject_id"], row["provider"])
    return seal(key, json.dumps(dict(grant)).encode(), bound=bound).blob


def _open_granted(key: Key, pending_id: UUID, subject_id: UUID, provider: str, granted: bytes) -> dict[str, Any]:
    bound = _place_of_granted(pending_id, subject_id, provider)
    document: dict[str, Any] = json.loads(open_sealed(key, Sealed(granted), bound=bound))
    return document


def bound_private(row: Mapping[Any, Any]) -> bytes:
    """What binds a consent's private part: every column that is not sealed."""
    values = (row[name] for name in BOUND)
    fields = (microseconds(value) if isinstance(value, datetime) else value for value in values)
    return bind("pending", FORMAT, "private", row["granted"] is not None, *fields)


def _place_of_granted(pending_id: UUID, subject_id: UUID, provider: str) -> bytes:
    return bind("pending", FORMAT, "granted", pending_id, subject_id, provider)


def _log() -> structlog.stdlib.BoundLogger:
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger("vaultd.connections")
    return logger
