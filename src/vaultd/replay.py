"""What may be used once, remembered for all replicas in PostgreSQL (security A9).

A `jti` is remembered until the token that carries it has ended; after that the token is refused for its time.
"""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import suppress
from datetime import datetime

from sqlalchemy import Column, DateTime, LargeBinary, Table, text
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
        statement = (
            insert(replay_table)
            .values(jti_hash=hashlib.sha256(bind(purpose, issuer, jti)).digest(), expires_at=until)
            .on_conflict_do_nothing(index_elements=["jti_hash"])
            .returning(replay_table.c.jti_hash)
        )
        if (await connection.execute(statement)).first() is None:
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
