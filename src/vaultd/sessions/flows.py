"""Sign-ins under way: what must not be forgotten while the browser is at the issuer, sealed, for ten minutes.

What is sealed is bound to the row's other columns: by which state and in which browser it is taken, and until when.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

import structlog
from sqlalchemy import Column, DateTime, ForeignKey, LargeBinary, Table, Uuid, delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from vaultd.db import Database, metadata
from vaultd.errors import CannotOpen
from vaultd.keys.data_keys import DataKeys
from vaultd.keys.envelope import Sealed, bind, microseconds, open_sealed, seal
from vaultd.keys.keyring import Keyring
from vaultd.terms import Clock

LASTS = timedelta(minutes=10)
PURPOSE = "sign_in"
_SWEPT = 100
"""Given-up sign-ins that one new sign-in clears away."""

sign_ins_table = Table(
    "sign_ins",
    metadata,
    Column("state_hash", LargeBinary, primary_key=True),
    Column("browser_hash", LargeBinary, nullable=False),
    Column("data_key_id", Uuid, ForeignKey("data_keys.id"), nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
)
_f = sign_ins_table.c


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """One sign-in: PKCE's verifier, the nonce, and where the person wants to go."""

    verifier: str
    nonce: str
    continue_to: str


class Flows:
    """Keeps flows by their `state`, of which only a hash is stored."""

    def __init__(self, *, database: Database, data_keys: DataKeys, keyring: Keyring, clock: Clock) -> None:
        self._database = database
        self._data_keys = data_keys
        self._keyring = keyring
        self._clock = clock

    async def begin(self, flow: Flow, *, state: str, browser: str) -> None:
        """Keep one, for this browser alone."""
        async with self._database.transaction() as connection:
            await self._sweep(connection)
            key = await self._data_keys.create(connection, PURPOSE)
            row = {
                "state_hash": self._hash("state", state),
                "browser_hash": self._hash("browser", browser),
                "data_key_id": key.id,
                "expires_at": self._clock() + LASTS,
            }
            sealed = seal(key, json.dumps(asdict(flow)).encode(), bound=place_of_flow(row)).blob
            await connection.execute(insert(sign_ins_table).values(**row, sealed=sealed))

    async def take(self, *, unverified_state: str, browser: str) -> Flow | None:
        """The flow of a state, once, in the browser that began it; None if there is none, or none that is as it was."""
        statement = (
            delete(sign_ins_table)
            .where(_f.state_hash == self._hash("state", unverified_state))
            .where(_f.browser_hash == self._hash("browser", browser), _f.expires_at > self._clock())
            .returning(sign_ins_table)
        )
        async with self._database.transaction() as connection:
            row = (await connection.execute(statement)).mappings().first()
            if row is None:
                return None
            opened = await self._opened(connection, row)
            # Whatever key the row names, none that another row needs is erased.
            await self._data_keys.erase(connection, row["data_key_id"])
        return None if opened is None else Flow(**json.loads(opened))

    async def _opened(self, connection: AsyncConnection, row: Mapping[Any, Any]) -> bytes | None:
        try:
            key = await self._data_keys.load(connection, row["data_key_id"], PURPOSE)
            return open_sealed(key, Sealed(row["sealed"]), bound=place_of_flow(row))
        except CannotOpen as error:
            _log().error("a sign-in under way does not open", detail=error.detail)
            return None

    def _hash(self, name: str, value: str) -> bytes:
        return sign_in_hash(self._keyring, name, hashlib.sha256(value.encode()).digest())

    async def _sweep(self, connection: AsyncConnection) -> None:
        # Locked first and those of others left out, so that two who sweep never wait for each other.
        over = (
            select(_f.state_hash, _f.data_key_id)
            .where(_f.expires_at <= self._clock())
            .limit(_SWEPT)
            .with_for_update(skip_locked=True)
        )
        rows = (await connection.execute(over)).all()
        if rows:
            await connection.execute(delete(sign_ins_table).where(_f.state_hash.in_([row.state_hash for row in rows])))
        await self._data_keys.erase(connection, *(row.data_key_id for row in rows))


def sign_in_hash(keyring: Keyring, name: str, digest: bytes) -> bytes:
    """How a state or a browser's cookie is kept: as a keyed hash of its SHA-256."""
    return keyring.lookup(f"sign-in {name}", digest)


def place_of_flow(row: Mapping[Any, Any]) -> bytes:
    """What a sign-in's sealed bytes are bound to."""
    clear = (row["state_hash"], row["browser_hash"], row["data_key_id"], microseconds(row["expires_at"]))
    return bind(PURPOSE, 2, *clear)


def _log() -> structlog.stdlib.BoundLogger:
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger("vaultd.sessions")
    return logger
