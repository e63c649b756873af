"""Connections that send what no HTTP client would."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

GET = b"GET /health/live HTTP/1.1\r\nHost: vault\r\n"
PATIENCE = 30
"""Seconds after which a test gives up; nothing is judged by time."""


class Raw:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self._writer.write(piece)
            await self._writer.drain()

    async def send_without_end(self, piece: bytes, *, at_most: int, every: float = 0.0) -> None:
        """Send it again and again until the server closes. Fails when more than `at_most` bytes are taken."""
        sent = 0
        with suppress(ConnectionError):
            while not self._reader.at_eof():
                assert sent <= at_most, f"{sent} bytes were taken"
                await self.send(piece)
                sent += len(piece)
                await asyncio.sleep(every)

    async def answer_to(self, *pieces: bytes) -> tuple[int, bytes]:
        """The same for what is sent in these pieces; the answer may come before the last of them."""
        sending = asyncio.create_task(self._send_as_far_as_possible(pieces))
        try:
            return await self.answer()
        finally:
            await sending

    async def _send_as_far_as_possible(self, pieces: tuple[bytes, ...]) -> None:
        with suppress(ConnectionError):
            await self.send(*pieces)

    async def answer(self) -> tuple[int, bytes]:
        """The status and the body of one answer with a length."""
        async with asyncio.timeout(PATIENCE):
            head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
            return int(head.split(b" ")[1]), await self._reader.readexactly(length)

    async def rest(self) -> bytes:
        """Everything until the server closes."""
        said = bytearray()
        async with asyncio.timeout(PATIENCE):
            with suppress(ConnectionError):
                while piece := await self._reader.read(65536):
                    said += piece
        return bytes(said)

    async def status_at_the_end(self) -> int | None:
        """The status of the only answer before the server closes, or None where it closes without one."""
        said = await self.rest()
        return int(said.split(b" ")[1]) if said else None

    async def until(self, end: bytes) -> bytes:
        """Everything up to these bytes."""
        async with asyncio.timeout(PATIENCE):
            return await self._reader.readuntil(end)

    def pause(self) -> None:
        """Read nothing that comes from now on."""
        self._writer.transport.pause_reading()  # type: ignore[attr-defined]

    def resume(self) -> None:
        """Read again."""
        self._writer.transport.resume_reading()  # type: ignore[attr-defined]


@asynccontextmanager
async def raw(url: str, *pieces: bytes) -> AsyncIterator[Raw]:
    """A connection that has sent these."""
    at = urlsplit(url)
    reader, writer = await asyncio.open_connection(at.hostname, at.port)
    try:
        connection = Raw(reader, writer)
        await connection.send(*pieces)
        yield connection
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
