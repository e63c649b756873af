"""So many calls a second, and no more."""

from __future__ import annotations

import asyncio


class Pace:
    """Lets callers through one by one, evenly."""

    def __init__(self, per_second: int) -> None:
        self._apart = 1 / per_second
        self._next = 0.0

    async def wait(self) -> None:
        """Return when it is this caller's turn."""
        now = asyncio.get_running_loop().time()
        turn = max(now, self._next)
        # Taken before waiting, so that the next caller comes after this one.
        self._next = turn + self._apart
        await asyncio.sleep(turn - now)
