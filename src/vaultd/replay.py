"""What may be used once, remembered for all replicas in PostgreSQL (security A9).

A `jti` is remembered until the token that carries it has ended; after that the token is refused for its time.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime

from sqlalchemy import Column, DateTime, LargeBinary, Table, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from vaultd.db import Database, metadata
from vaultd.errors import Replayed, TemporarilyUnavailable
from vaultd.keys.envelope import bind
from vaultd.terms import Clock

EVERY = 60
"""Seconds between two looks for what may be forgotten."""

replay_table = Table(
    "replay",
    metadata,
    Column("jti_hash", LargeBinary, primary_key=True),
    Column("expires_at", DateTime(timezone=True), nullable=False),
)
_FORGET = text("SELECT vaultd_forget_replayed(:ended)")


class ReplayMemory:
    """Shared by every process on the database."""

    def __init__(self, *, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def use(self, purpose: str, issuer: str, jti: str, *, until: datetime) -> None:
        """Use up a `jti` of one issuer for one purpose.

        Raises:
            Replayed: it was used before.
            TemporarilyUnavailable: the memory cannot be asked, so that nothing may be believed.
        """
        async with self._database.transaction() as connection:
            await self.use_within(connection, purpose, issuer, jti, until=until)

    async def use_within(
        self, connection: AsyncConnection, purpose: str, issuer: str, jti: str, *, until: datetime
    ) -> None:
        """The same in the caller's transaction: it is used up only if that commits. Raises `Replayed`."""
        if not await _insert(connection, _hash(purpose, issuer, jti), until):
            raise Replayed

    async def is_used(self, connection: AsyncConnection, purpose: str, issuer: str, jti: str) -> bool:
        """Whether it was used up, and is remembered."""
        known = select(replay_table.c.jti_hash).where(replay_table.c.jti_hash == _hash(purpose, issuer, jti))
        return (await connection.execute(known)).first() is not None

    async def use_one_within(
        self, connection: AsyncConnection, purpose: str, issuer: str, jtis: Iterable[str], *, until: datetime
    ) -> None:
        """Use up the first of these that is left, as `use_within` does. Raises `Replayed` where none is."""
        hashes = [_hash(purpose, issuer, jti) for jti in jtis]
        known = select(replay_table.c.jti_hash).where(replay_table.c.jti_hash.in_(hashes))
        used = set((await connection.execute(known)).scalars())
        for left in hashes:
            if left not in used and await _insert(connection, left, until):
                return
        raise Replayed

    async def sweep(self) -> None:
        """Forget what has ended."""
        async with self._database.transaction() as connection:
            # The serving role has no other way to forget one, and this takes none whose token is still good.
            await connection.execute(_FORGET, {"ended": self._clock()})

    async def run(self) -> None:
        """Sweep for as long as the process serves."""
        while True:
            await asyncio.sleep(EVERY)
            with suppress(TemporarilyUnavailable):
                await self.sweep()


def _hash(purpose: str, issuer: str, jti: str) -> bytes:
    return hashlib.sha256(bind(purpose, issuer, jti)).digest()


async def _insert(connection: AsyncConnection, jti_hash: bytes, until: datetime) -> bool:
    statement = (
        insert(replay_table)
        .values(jti_hash=jti_hash, expires_at=until)
        .on_conflict_do_nothing(index_elements=["jti_hash"])
        .returning(replay_table.c.jti_hash)
    )
    return (await connection.execute(statement)).first() is not None
