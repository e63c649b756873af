"""Waking who waits for another process's refresh (LISTEN/NOTIFY), with polling where that does not carry.

The process has one connection to PostgreSQL for listening alone, never one of the pool. What stores, breaks or gives
back tells the channel in its own transaction, so that who is woken finds it done. A notification only says "look
again": one that is lost, or that anybody forged, costs one more look at the row.

A connection through a pooler in transaction mode takes LISTEN and then hears nothing. So hearing is proved, again and
again, by a word sent over the pool; while it is not proved, waiters poll.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID, uuid4

import asyncpg
import structlog

from vaultd.connections.lease import CHANNEL, tell
from vaultd.db import Database
from vaultd.errors import TemporarilyUnavailable

POLL = 0.05
"""Seconds between two looks at a row while nothing is heard."""
LOOK_AGAIN = 0.5
"""The same while notifications are heard: a lease that ends with its owner's death is told by nobody."""
PROVE_EVERY = 30.0
PROOF_LASTS = 3.0
"""Seconds within which one's own word must come back."""
CONNECT_AGAIN = 1.0
DEAF_FOR = 60.0
"""Seconds until a connection on which nothing was heard is tried anew."""


class Waiter:
    """Waits for word of one connection. Made before the row is looked at, so that no word is missed in between."""

    def __init__(self, wakeups: Wakeups) -> None:
        self._wakeups = wakeups
        self._word = asyncio.Event()

    def wake(self) -> None:
        """Let it look again."""
        self._word.set()

    async def wait(self) -> None:
        """Return when there is word, or when it is time to look without."""
        try:
            async with asyncio.timeout(self._wakeups.patience):
                await self._word.wait()
        except TimeoutError:
            return
        finally:
            self._word.clear()


class Wakeups:
    """Who waits in this process, and its ear. `listening` says whether notifications are known to arrive."""

    def __init__(self, *, database: Database, look_again: float = LOOK_AGAIN, proof_lasts: float = PROOF_LASTS) -> None:
        self._database = database
        self._look_again = look_again
        self._proof_lasts = proof_lasts
        self._waiting: dict[str, set[Waiter]] = {}
        self._awaited: tuple[str, asyncio.Event] | None = None
        self.listening = False

    @property
    def patience(self) -> float:
        """Seconds until a waiter looks again without word."""
        return self._look_again if self.listening else POLL

    @contextmanager
    def of(self, connection_id: UUID) -> Iterator[Waiter]:
        """A waiter for one connection, for the time of the block."""
        waiter, name = Waiter(self), str(connection_id)
        self._waiting.setdefault(name, set()).add(waiter)
        try:
            yield waiter
        finally:
            self._waiting[name].discard(waiter)
            if not self._waiting[name]:
                del self._waiting[name]

    async def run(self) -> None:
        """Listen for as long as the process serves; connect again by itself."""
        told = False
        while True:
            pause = CONNECT_AGAIN
            try:
                if not await self._listen():
                    pause = DEAF_FOR
                    if not told:
                        told = True
                        _log().warning("notifications do not arrive, so waiters poll: is a pooler in between?")
            except TemporarilyUnavailable:
                # The database is away; who waits finds that out for themselves.
                pass
            finally:
                self._deaf()
            await asyncio.sleep(pause)

    async def _listen(self) -> bool:
        """Listen until the connection ends; False when it heard nothing of what it should have."""
        async with self._database.dedicated() as connection:
            ended = asyncio.Event()
            connection.add_termination_listener(lambda _: ended.set())
            await connection.add_listener(CHANNEL, self._hear)
            while not ended.is_set():
                heard = await self._prove()
                if not heard and not ended.is_set():
                    return False
                self.listening = heard
                try:
                    async with asyncio.timeout(PROVE_EVERY):
                        await ended.wait()
                except TimeoutError:
                    continue
        return True

    async def _prove(self) -> bool:
        """Whether a word that goes out over the pool comes back here."""
        word = f"proof {uuid4().hex}"
        came_back = asyncio.Event()
        self._awaited = (word, came_back)
        async with self._database.transaction() as connection:
            await tell(connection, word)
        try:
            async with asyncio.timeout(self._proof_lasts):
                await came_back.wait()
        except TimeoutError:
            return False
        return True

    def _hear(self, _connection: asyncpg.Connection, _process: int, _channel: str, word: str) -> None:
        if self._awaited is not None and word == self._awaited[0]:
            self._awaited[1].set()
        for waiter in self._waiting.get(word, ()):
            waiter.wake()

    def _deaf(self) -> None:
        self.listening = False
        # Word may have come while nobody listened.
        for waiters in self._waiting.values():
            for waiter in waiters:
                waiter.wake()


def _log() -> structlog.stdlib.BoundLogger:
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger("vaultd.refresh")
    return logger
