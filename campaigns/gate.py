"""A gate on the way to a provider: bytes go through it, are held, or are late."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Self

LOOPBACK = "127.0.0.1"


class Gate:
    """A TCP proxy. Requests pass while `requests` is set, answers while `answers` is; each as late as `latest` says."""

    def __init__(self, target: str, *, latest: float = 0.0) -> None:
        self._target = int(target.rpartition(":")[2])
        self._latest = latest
        self._server: asyncio.Server | None = None
        self._ways: set[asyncio.Future[tuple[None, None]]] = set()
        self._begun = False
        self.requests = asyncio.Event()
        self.answers = asyncio.Event()
        self.asked = asyncio.Event()
        self.answered = asyncio.Event()
        self.open()

    @property
    def url(self) -> str:
        """Where it stands."""
        if self._server is None:
            raise RuntimeError("the gate is not up")
        port: int = self._server.sockets[0].getsockname()[1]
        return f"http://{LOOPBACK}:{port}"

    @classmethod
    @asynccontextmanager
    async def before(cls, target: str, *, latest: float = 0.0) -> AsyncIterator[Self]:
        """A gate before this URL, up for the time of the block."""
        gate = cls(target, latest=latest)
        gate._server = await asyncio.start_server(gate._pass, LOOPBACK, 0)
        try:
            yield gate
        finally:
            gate._server.close()
            gate.cut()

    def open(self) -> None:
        """Let everything through."""
        self.requests.set()
        self.answers.set()

    def cut(self) -> None:
        """Drop what is held, and every connection: who sent it has died, and it never left."""
        for way in self._ways:
            way.cancel()

    def close(self, *, requests: bool = False, answers: bool = False, begun: bool = False) -> None:
        """Hold what comes from now on; with `begun` all of a request but its last byte passes."""
        self.asked.clear()
        self.answered.clear()
        self._begun = begun
        requests = requests or begun
        if requests:
            self.requests.clear()
        if answers:
            self.answers.clear()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(LOOPBACK, self._target)
        there = self._pump(reader, far_writer, self.asked, self.requests)
        back = self._pump(far_reader, writer, self.answered, self.answers)
        way = asyncio.gather(there, back)
        self._ways.add(way)
        with suppress(asyncio.CancelledError):
            await way
        self._ways.discard(way)
        for one in (writer, far_writer):
            one.close()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, came: asyncio.Event, may_pass: asyncio.Event
    ) -> None:
        with suppress(ConnectionError):
            while piece := await reader.read(65_536):
                await asyncio.sleep(random.uniform(0, self._latest))  # noqa: S311 - not a secret
                if self._begun and came is self.asked:
                    writer.write(piece[:-1])
                    piece = piece[-1:]
                came.set()
                await may_pass.wait()
                writer.write(piece)
                await writer.drain()
        writer.close()
