"""Storing what is nowhere else: tokens in hand, while the database may be away."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from vaultd.errors import TemporarilyUnavailable

PERSISTENCE = 60.0
"""Seconds for which a database that is away is waited for."""
PERSIST_AGAIN = 0.2


async def persist(write: Callable[[bool], Awaitable[None]]) -> None:
    """Write, again and again while the database is away.

    `write` is told whether it has been tried before: the first try may have been committed all the same.

    Raises:
        TemporarilyUnavailable: the database stayed away.
    """
    loop = asyncio.get_running_loop()
    deadline, again = loop.time() + PERSISTENCE, False
    while True:
        try:
            return await write(again)
        except TemporarilyUnavailable:
            if loop.time() >= deadline:
                raise
        again = True
        await asyncio.sleep(PERSIST_AGAIN)
