"""Sends each of many requests once and looks at every answer, as fast as the server takes them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

from bench.failed import BenchError

CONNECTIONS = 16
_OK = b"HTTP/1.1 200 "


async def send_all(url: str, requests: Sequence[bytes]) -> None:
    """Raises `BenchError` with the first answer that is no success, or when the server is not there."""
    waiting = iter(requests)
    try:
        await asyncio.gather(*(_send(url, waiting) for _ in range(CONNECTIONS)))
    except (OSError, EOFError) as error:
        raise BenchError(f"{url} does not answer: {error}") from error


async def _send(url: str, waiting: Iterator[bytes]) -> None:
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        for request in waiting:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
            body = await reader.readexactly(int(fields.get(b"content-length", b"0")))
            if not head.startswith(_OK):
                raise BenchError(f"{url} refused a request: {(head + body).decode(errors='replace')}")
    finally:
        writer.close()
