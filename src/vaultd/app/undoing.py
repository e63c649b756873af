"""`vaultd connections retry`, wired."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from vaultd.app.ground import lay_ground
from vaultd.app.refreshing import undo_of
from vaultd.refresh import Undo
from vaultd.settings import Settings
from vaultd.terms import Clock, system_clock


@asynccontextmanager
async def open_undo(settings: Settings, *, clock: Clock = system_clock) -> AsyncIterator[Undo]:
    """Open database, keyring and log as the service does, as the serving role.

    Raises:
        ConfigurationError: the keyring, the schema or the serving role is not as it must be.
        TemporarilyUnavailable: the database is away.
    """
    async with AsyncExitStack() as stack:
        yield undo_of(await lay_ground(settings, clock, stack))
