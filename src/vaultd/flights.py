"""Calls to another server that several callers wait for together."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class Flights(Generic[K, T]):
    """At most one call for a key at a time; whoever asks meanwhile waits for that one and gets what it brings."""

    def __init__(self) -> None:
        self._under_way: dict[K, asyncio.Task[T]] = {}

    def under_way(self, key: K) -> bool:
        """Whether who joins starts no call."""
        return key in self._under_way

    async def join(self, key: K, start: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """What the call brings. Raises what it raises."""
        task = self._under_way.get(key)
        if task is None:
            task = asyncio.create_task(start())
            self._under_way[key] = task
            task.add_done_callback(lambda done: self._land(key, done))
        # Shielded: a caller who goes away must not end the call for the others.
        return await asyncio.shield(task)

    async def drain(self) -> None:
        """Let what is under way come to its end."""
        while self._under_way:
            await asyncio.gather(*self._under_way.values(), return_exceptions=True)

    async def aclose(self) -> None:
        """End what is under way."""
        for task in list(self._under_way.values()):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await task

    def _land(self, key: K, done: asyncio.Task[T]) -> None:
        self._under_way.pop(key, None)
        if not done.cancelled():
            # Looked at, so that a failure which nobody waited for to the end is not reported as forgotten.
            done.exception()
