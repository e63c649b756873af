"""Who waits together: requests that arrive while the counter is busy share the next transaction.

A request that comes alone waits for nobody: an idle flusher takes it at once. The queue is bounded, and beyond it
the answer is "try again".
"""

from __future__ import annotations

import asyncio
from collections import deque

from vaultd.errors import TemporarilyUnavailable
from vaultd.release.decide import Ask, Verdict
from vaultd.release.statement import Statement

MAX_WAITING = 5_000
MAX_BATCH = 256

_Waiting = tuple[Ask, "asyncio.Future[Verdict]"]


class Counter:
    """The release room's door. One verdict for each ask, its event committed."""

    def __init__(self, *, statement: Statement, flushers: int = 2) -> None:
        self._statement = statement
        self._idle = flushers
        self._waiting: deque[_Waiting] = deque()
        self._running: set[asyncio.Task[None]] = set()

    async def release(self, ask: Ask) -> Verdict:
        """Decide and record one exchange.

        Raises:
            TemporarilyUnavailable: too many are waiting, or the event could not be made durable.
        """
        if len(self._waiting) >= MAX_WAITING:
            raise TemporarilyUnavailable(retry_after=1, reason="queue_full")
        verdict: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
        self._waiting.append((ask, verdict))
        if self._idle:
            self._idle -= 1
            task = asyncio.create_task(self._flush())
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        return await verdict

    async def drain(self) -> None:
        """Wait until everybody in the queue has an answer."""
        while self._running:
            await asyncio.gather(*self._running, return_exceptions=True)

    async def _flush(self) -> None:
        try:
            while self._waiting:
                size = min(MAX_BATCH, len(self._waiting))
                batch = [self._waiting.popleft() for _ in range(size)]
                # Who went away before the transaction began gets no event; who goes later has one.
                batch = [waiting for waiting in batch if not waiting[1].done()]
                if batch:
                    await self._serve(batch, wait=False)
        finally:
            self._idle += 1

    async def _serve(self, batch: list[_Waiting], *, wait: bool) -> None:
        try:
            verdicts = await self._statement.run([ask for ask, _ in batch], wait=wait)
        except TemporarilyUnavailable as error:
            for _, future in batch:
                _fail(future, error)
        except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to one ask: each is tried alone
            await self._serve_alone(batch, error)
        else:
            for (ask, future), verdict in zip(batch, verdicts, strict=True):
                if verdict is None:
                    await self._serve([(ask, future)], wait=True)
                elif not future.done():
                    future.set_result(verdict)

    async def _serve_alone(self, batch: list[_Waiting], error: Exception) -> None:
        """A poisoned ask must not fail its neighbours."""
        if len(batch) == 1:
            _fail(batch[0][1], error)
            return
        for waiting in batch:
            await self._serve([waiting], wait=True)


def _fail(future: asyncio.Future[Verdict], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
