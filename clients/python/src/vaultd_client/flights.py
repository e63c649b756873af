"""Single flight: who asks for what is being asked for already waits for that answer."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from functools import partial
from typing import Any, Generic, TypeVar

from vaultd_client.errors import VaultUnreachable

T = TypeVar("T")


class ThreadFlights(Generic[T]):
    """Among threads: the first does the work, the others wait for it and get its result or its error."""

    def __init__(self) -> None:
        self._flying: dict[bytes, Future[T]] = {}
        self._lock = threading.Lock()

    def join(self, key: bytes, work: Callable[[], T]) -> T:
        """The result of `work`, or of the one that is under way. `work` looks into the cache first."""
        with self._lock:
            flight = self._flying.get(key)
            leads = flight is None
            if flight is None:
                flight = self._flying[key] = Future()
        return self._lead(key, flight, work) if leads else flight.result()

    def _lead(self, key: bytes, flight: Future[T], work: Callable[[], T]) -> T:
        try:
            result = work()
        except BaseException as error:
            self._land(key)
            # A Ctrl-C is meant for the thread that got it.
            interrupted = VaultUnreachable("The thread that was asking the vault was interrupted.")
            flight.set_exception(error if isinstance(error, Exception) else interrupted)
            raise
        self._land(key)
        flight.set_result(result)
        return result

    def _land(self, key: bytes) -> None:
        with self._lock:
            del self._flying[key]


class TaskFlights(Generic[T]):
    """Among tasks of one event loop. The work is a task of its own, so that no waiter's end ends it for the others."""

    def __init__(self) -> None:
        self._flying: dict[bytes, asyncio.Task[T]] = {}

    async def join(self, key: bytes, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The result of `work`, or of the one that is under way."""
        flight = self._flying.get(key)
        if flight is None:
            flight = self._flying[key] = asyncio.create_task(work())
            flight.add_done_callback(partial(self._land, key))
        return await asyncio.shield(flight)

    async def aclose(self) -> None:
        """End what is under way."""
        flying = list(self._flying.values())
        for flight in flying:
            flight.cancel()
        await asyncio.gather(*flying, return_exceptions=True)

    def _land(self, key: bytes, flight: asyncio.Task[T]) -> None:
        del self._flying[key]
        if not flight.cancelled():
            # Those who waited may all be gone; then nobody else takes note of an error.
            flight.exception()
