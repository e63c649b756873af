"""Whatever was issued for a consent and is not stored is given back at the provider (B3).

This is the one place that sees to it. From the moment tokens are in an answer, whatever refuses them or goes wrong on
the way to their storing leaves them in the outbox: a malformed answer, a kind of token that nobody can use, an account
that cannot be named, an event that cannot be written, a user who is gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import structlog

from vaultd.connections.grants import Brought, GrantStore
from vaultd.connections.pending import Pending
from vaultd.db import Database
from vaultd.persistence import persist

ANSWERED_AFTER = 1.0
"""Seconds after which nobody waits any longer for that with their browser; it goes on."""


class Held:
    """What was issued for one consent, for as long as it is neither stored nor given back."""

    def __init__(self) -> None:
        self.brought: Brought | None = None

    def settle(self) -> None:
        """It has been stored, or put into the outbox."""
        self.brought = None


class Keeping:
    """Gives back what was not kept, in this process's own time."""

    def __init__(self, *, database: Database, grants: GrantStore) -> None:
        self._database = database
        self._grants = grants
        self._under_way: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def holding(self, waiting: Pending) -> AsyncIterator[Held]:
        """Around all that happens between a code's redemption and its grant's storing."""
        held = Held()
        try:
            yield held
        finally:
            if held.brought is not None:
                # A task of its own, since the request may be given up by now.
                task = asyncio.create_task(self._give_back(waiting.provider, waiting.subject_id, held.brought))
                self._under_way.add(task)
                task.add_done_callback(self._under_way.discard)
                await asyncio.wait({task}, timeout=ANSWERED_AFTER)

    async def drain(self) -> None:
        """Let what is under way come to its end."""
        await asyncio.gather(*self._under_way, return_exceptions=True)

    async def _give_back(self, provider: str, subject_id: UUID, brought: Brought) -> None:
        """Into the outbox, without an event: the one that says what became of it follows from there."""

        async def put(_: bool) -> None:  # noqa: FBT001 - `persist` calls it
            async with self._database.transaction() as connection:
                await self._grants.give_back(connection, provider, subject_id, brought)

        log = structlog.stdlib.get_logger("vaultd.connect")
        try:
            await persist(put)
        except Exception:
            log.exception("tokens that were not stored could not be put aside, and may be alive", provider=provider)
