"""Who waits together: requests that arrive while the counter is busy share the next transaction.

A request that comes alone waits for nobody: an idle flusher takes it at once. The queue is bounded, and beyond it
the answer is "try again". An ask whose row is locked, by a revocation for instance, goes back to the queue's end after
a pause: meanwhile it holds no transaction and no lane, so that it stalls nobody else.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass
from typing import Any

from vaultd.audit.events import Draft
from vaultd.db import STATEMENT_REFUSED, unavailable
from vaultd.errors import SubjectErased, TemporarilyUnavailable
from vaultd.release.decide import Ask, Gone, Verdict
from vaultd.release.statement import Entry, Statement
from vaultd.telemetry.metrics import Spread

MAX_WAITING = 5_000
MAX_BATCH = 256
PAUSE = 0.01
"""Seconds until a locked row is tried again."""
PATIENCE = 10.0
"""Seconds for which a locked row is tried."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    entry: Entry
    verdict: asyncio.Future[Any]
    until: float


class Counter:
    """The release room's door. One verdict for each ask, its event committed."""

    def __init__(
        self,
        *,
        statement: Statement,
        flushers: int = 2,
        patience: float = PATIENCE,
        max_waiting: int = MAX_WAITING,
        sizes: Spread | None = None,
    ) -> None:
        self._statement = statement
        self._max_waiting = max_waiting
        self._idle = flushers
        self._patience = patience
        self._waiting: deque[_Waiting] = deque()
        self._sizes = sizes
        self._skipped = 0
        self._running: set[asyncio.Task[None]] = set()

    async def release(self, ask: Ask) -> Verdict:
        """Decide and record one exchange.

        Raises:
            TemporarilyUnavailable: too many are waiting, the connection's row stayed locked, or the event could not
                be made durable.
            SubjectErased: look the subject up again.
        """
        verdict: Verdict = await self._wait(ask)
        return verdict

    async def record(self, draft: Draft) -> None:
        """Make an event durable that is decided already, together with whoever waits. Raises as `release` does."""
        await self._wait(draft)

    async def _wait(self, entry: Entry) -> Any:
        if self.waiting >= self._max_waiting:
            raise TemporarilyUnavailable(retry_after=1, reason="queue_full")
        loop = asyncio.get_running_loop()
        verdict = loop.create_future()
        self._enqueue([_Waiting(entry, verdict, loop.time() + self._patience)])
        answer = await verdict
        if isinstance(answer, Gone):
            raise SubjectErased
        return answer

    @property
    def waiting(self) -> int:
        """How many are in the queue."""
        return len(self._waiting) + self._skipped

    async def drain(self) -> None:
        """Wait until everybody in the queue has an answer."""
        while self._running:
            await asyncio.gather(*self._running, return_exceptions=True)

    def _enqueue(self, arrivals: Iterable[_Waiting]) -> None:
        self._waiting.extend(arrivals)
        if self._idle:
            self._idle -= 1
            self._start(self._flush())

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _flush(self) -> None:
        try:
            while self._waiting:
                size = min(MAX_BATCH, len(self._waiting))
                batch = [self._waiting.popleft() for _ in range(size)]
                # Who went away before the transaction began gets no event; who goes later has one.
                batch = [waiting for waiting in batch if not waiting.verdict.done()]
                if batch:
                    if self._sizes is not None:
                        self._sizes.add(len(batch))
                    await self._serve(batch)
        finally:
            self._idle += 1

    async def _serve(self, batch: list[_Waiting]) -> None:
        try:
            verdicts = await self._statement.run([waiting.entry for waiting in batch])
        except TemporarilyUnavailable as error:
            for waiting in batch:
                _fail(waiting, error)
        except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to one ask: each is tried alone
            await self._serve_alone(batch, error)
        else:
            skipped = []
            for waiting, verdict in zip(batch, verdicts, strict=True):
                if verdict is None:
                    skipped.append(waiting)
                elif not waiting.verdict.done():
                    waiting.verdict.set_result(verdict)
            if skipped:
                self._start(self._try_later(skipped))

    async def _serve_alone(self, batch: list[_Waiting], error: Exception) -> None:
        """A poisoned ask must not fail its neighbours."""
        if len(batch) == 1:
            _fail(batch[0], unavailable(error) if isinstance(error, STATEMENT_REFUSED) else error)
            return
        for waiting in batch:
            await self._serve([waiting])

    async def _try_later(self, skipped: list[_Waiting]) -> None:
        self._skipped += len(skipped)
        try:
            await asyncio.sleep(PAUSE)
        finally:
            self._skipped -= len(skipped)
        now = asyncio.get_running_loop().time()
        for waiting in skipped:
            if waiting.until <= now:
                _fail(waiting, TemporarilyUnavailable(retry_after=1, reason="connection_locked"))
        self._enqueue(waiting for waiting in skipped if not waiting.verdict.done())


def _fail(waiting: _Waiting, error: Exception) -> None:
    if not waiting.verdict.done():
        waiting.verdict.set_exception(error)
