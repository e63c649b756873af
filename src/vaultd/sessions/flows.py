"""Sign-ins under way: what must not be forgotten while the browser is at the issuer, sealed, for ten minutes."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import timedelta

from sqlalchemy import Column, DateTime, ForeignKey, LargeBinary, Table, Uuid, delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from vaultd.db import Database, metadata
from vaultd.keys.data_keys import DataKeys
from vaultd.keys.envelope import Sealed, bind, open_sealed, seal
from vaultd.terms import Clock

LASTS = timedelta(minutes=10)
_PURPOSE = "sign_in"
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

    def __init__(self, *, database: Database, data_keys: DataKeys, clock: Clock) -> None:
        self._database = database
        self._data_keys = data_keys
        self._clock = clock

    async def begin(self, flow: Flow, *, state: str, browser: str) -> None:
        """Keep one, for this browser alone."""
        async with self._database.transaction() as connection:
            await self._sweep(connection)
            key = await self._data_keys.create(connection, _PURPOSE)
            await connection.execute(
                insert(sign_ins_table).values(
                    state_hash=_hash(state),
                    browser_hash=_hash(browser),
                    data_key_id=key.id,
                    sealed=seal(key, json.dumps(asdict(flow)).encode(), bound=_place(state)).blob,
                    expires_at=self._clock() + LASTS,
                )
            )

    async def take(self, *, unverified_state: str, browser: str) -> Flow | None:
        """The flow of a state, once, in the browser that began it; None if there is none."""
        statement = (
            delete(sign_ins_table)
            .where(_f.state_hash == _hash(unverified_state), _f.browser_hash == _hash(browser))
            .where(_f.expires_at > self._clock())
            .returning(_f.data_key_id, _f.sealed)
        )
        async with self._database.transaction() as connection:
            row = (await connection.execute(statement)).first()
            if row is None:
                return None
            key = await self._data_keys.load(connection, row.data_key_id, _PURPOSE)
            opened = open_sealed(key, Sealed(row.sealed), bound=_place(unverified_state))
            await self._data_keys.erase(connection, key.id)
        return Flow(**json.loads(opened))

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
        for row in rows:
            await self._data_keys.erase(connection, row.data_key_id)


def _place(state: str) -> bytes:
    return bind(_PURPOSE, 1, _hash(state))


def _hash(value: str) -> bytes:
    return hashlib.sha256(value.encode()).digest()
