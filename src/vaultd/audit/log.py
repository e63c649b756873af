"""The committed log: transactions that run on a lane, so that a change and its event stand or fall together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID, uuid4

import asyncpg
from sqlalchemy import insert, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from vaultd.audit.events import Draft
from vaultd.audit.lane import COLUMNS, Lane, Position, lanes_table
from vaultd.db import DATABASE_AWAY, STATEMENT_REFUSED, Database, unavailable
from vaultd.errors import AuditUnavailable, VaultdError
from vaultd.keys.keyring import Keyring
from vaultd.terms import Clock

Watch = Callable[[Sequence[Draft]], None]
"""Told of events once they are committed."""


class AuditTransaction:
    """An open transaction that may append events."""

    def __init__(self, connection: AsyncConnection, lane: Lane, clock: Clock) -> None:
        self.connection = connection
        self._lane = lane
        self._clock = clock
        self.position: Position = lane.position
        self.appended: list[Draft] = []

    async def append(self, *drafts: Draft) -> datetime:
        """Append events in order. Their time is taken now, when the caller holds the rows they speak of."""
        self.appended += drafts
        at = self._clock().astimezone(UTC)
        self.position = await self._lane.append(self.connection, drafts, at=at, after=self.position)
        return at


class AuditBatch:
    """An open transaction over the driver's own connection, whose events go in together."""

    def __init__(self, driver: asyncpg.Connection, lane: Lane, clock: Clock) -> None:
        self.driver = driver
        self._lane = lane
        self._clock = clock
        self.position: Position = lane.position
        self.appended: list[Draft] = []

    async def append(self, drafts: Sequence[Draft]) -> None:
        """Append events in order, their time taken now, when the caller holds the rows they speak of."""
        if drafts:
            self.appended += drafts
            at = self._clock().astimezone(UTC)
            rows, self.position = self._lane.number(drafts, at=at, after=self.position)
            # COPY, since it takes any number of rows in one go and costs least on both sides.
            await self.driver.copy_records_to_table("events", records=rows, columns=COLUMNS)


@dataclass(slots=True)
class _Turn:
    """A lane in the hands of one transaction. `usable` goes back: None where it is not known how far it came."""

    lane: Lane | None
    usable: Lane | None


class AuditLog:
    """This process's lanes. Each runs one transaction at a time."""

    def __init__(
        self, *, database: Database, keyring: Keyring, clock: Clock, lanes: int = 2, watch: Watch | None = None
    ) -> None:
        self._database = database
        self._keyring = keyring
        self._clock = clock
        self._watch = watch
        self._free: asyncio.LifoQueue[Lane | None] = asyncio.LifoQueue()
        for _ in range(lanes):
            self._free.put_nowait(None)
        self._lanes = lanes
        self._given_up: set[UUID] = set()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AuditTransaction]:
        """A transaction on a free lane, committed with its events when the block ends well.

        Raises:
            TemporarilyUnavailable: the database is away or did not take the events; nothing was committed,
                or it is not known whether it was, and then the lane is given up.
        """
        try:
            async with self._turn() as turn, self._database.engine.connect() as connection:
                lane = await self._lane_for_now(turn)
                transaction = AuditTransaction(connection, lane, self._clock)
                yield transaction
                # From here until the answer it is not known whether the events are there.
                turn.usable = None
                await connection.commit()
                lane.position = transaction.position
                turn.usable = lane
                self._tell(transaction.appended)
        except VaultdError:
            raise
        except DATABASE_AWAY as error:
            raise unavailable(error) from error

    @asynccontextmanager
    async def batch(self) -> AsyncIterator[AuditBatch]:
        """The same for the release counter, over the driver's own connection.

        Raises:
            TemporarilyUnavailable: as `transaction` does. What the database says of one statement alone comes
                through as the driver raised it, so that its cause can be told from its neighbours.
        """
        try:
            async with self._turn() as turn, self._database.direct() as driver:
                lane = await self._lane_for_now(turn)
                batch = AuditBatch(driver, lane, self._clock)
                begun = driver.transaction()
                await begun.start()
                try:
                    yield batch
                except BaseException:
                    await begun.rollback()
                    raise
                turn.usable = None
                await begun.commit()
                lane.position = batch.position
                turn.usable = lane
                self._tell(batch.appended)
        except STATEMENT_REFUSED:
            raise
        except DATABASE_AWAY as error:
            raise unavailable(error) from error

    def _tell(self, committed: Sequence[Draft]) -> None:
        if self._watch is not None and committed:
            self._watch(committed)

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[_Turn]:
        lane = await self._free.get()
        turn = _Turn(lane, lane)
        try:
            yield turn
        except (IntegrityError, asyncpg.UniqueViolationError):
            # A number that is taken means that this lane is not ours alone.
            turn.usable = None
            raise
        finally:
            if turn.usable is None and turn.lane is not None:
                self._given_up.add(turn.lane.writer)
            self._free.put_nowait(turn.usable)

    async def record(self, *drafts: Draft) -> None:
        """Make events durable that stand for themselves."""
        async with self.transaction() as transaction:
            await transaction.append(*drafts)

    async def close(self) -> None:
        """Record the end of this process's lanes, so that a missing tail shows."""
        # All are taken before the first is closed: the queue gives back the newest first.
        taken = [await self._free.get() for _ in range(self._lanes)]
        try:
            for lane in taken:
                if lane is not None:
                    await self._close_lane(lane)
            given_up = set(self._given_up)
            async with self._database.transaction() as connection:
                await self._close_unfinished(connection, given_up)
            self._given_up -= given_up
        finally:
            for _ in taken:
                self._free.put_nowait(None)

    async def _lane_for_now(self, turn: _Turn) -> Lane:
        period = self._clock().astimezone(UTC).date().replace(day=1)
        lane = turn.lane
        if lane is not None and lane.period == period:
            return lane
        if lane is not None:
            await self._close_lane(lane)
        fresh = Lane(writer=uuid4(), period=period, chain_key=self._keyring.active("chain"))
        given_up = set(self._given_up)
        async with self._database.transaction() as connection:
            await connection.execute(text("SELECT vaultd_ensure_partition(:period)"), {"period": period})
            await connection.execute(
                insert(lanes_table).values(writer=fresh.writer, period=period, opened_at=self._clock())
            )
            await self._close_unfinished(connection, given_up)
        self._given_up -= given_up
        turn.lane = turn.usable = fresh
        return fresh

    async def _close_unfinished(self, connection: AsyncConnection, writers: set[UUID]) -> None:
        """How far a given up lane came is not known, so it is closed without a last number."""
        if writers:
            await connection.execute(
                update(lanes_table)
                .where(lanes_table.c.writer.in_(writers), lanes_table.c.closed_at.is_(None))
                .values(closed_at=self._clock())
            )

    async def _close_lane(self, lane: Lane) -> None:
        async with self._database.transaction() as connection:
            await connection.execute(
                update(lanes_table)
                # Once: an earlier try may have closed it, and not have got as far as the next lane.
                .where(lanes_table.c.writer == lane.writer, lanes_table.c.closed_at.is_(None))
                .values(closed_at=self._clock(), last_seq=lane.position.seq)
            )

    async def ready(self) -> None:
        """Raise `AuditUnavailable` when the log cannot be read."""
        try:
            async with self._database.transaction() as connection:
                await connection.execute(select(lanes_table.c.writer).limit(1))
        except VaultdError as error:
            raise AuditUnavailable(detail=error.detail) from error
