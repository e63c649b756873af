"""A real HTTP server on a loopback port that answers what a test tells it to, and remembers what it was sent."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from starlette.types import Receive, Scope, Send

from vaultd.sandbox.faults import DROP_EXTENSION
from vaultd.sandbox.servers import LoopbackServers

HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Seen:
    """One request as it arrived."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    client_port: int

    def form(self) -> dict[str, list[str]]:
        return parse_qs(self.body.decode(), keep_blank_values=True, strict_parsing=True)


@dataclass(slots=True)
class ScriptedServer:
    """An ASGI app: every request gets the scripted answer."""

    url: str = ""
    seen: list[Seen] = field(default_factory=list)
    status: int = 200
    headers: list[tuple[str, str]] = field(default_factory=list)
    pieces: Iterable[bytes] = ()
    behaviour: str = "answer"

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def answers(self, body: bytes, *, status: int = 200, content_type: str | None = None, **headers: str) -> None:
        """Answer these bytes; `_` in a header's name stands for `-`."""
        self.status, self.pieces, self.behaviour = status, (body,), "answer"
        self.headers = [(name.replace("_", "-"), value) for name, value in headers.items()]
        if content_type is not None:
            self.headers.append(("content-type", content_type))

    def answers_json(self, value: Any, *, status: int = 200, **headers: str) -> None:
        self.answers(json.dumps(value).encode(), status=status, content_type="application/json", **headers)

    def answers_bomb(self, inflated: int) -> None:
        """That many zero bytes, packed about a thousandfold."""
        self.answers(gzip.compress(bytes(inflated), compresslevel=9), content_encoding="gzip")

    def streams(self, pieces: Iterable[bytes]) -> None:
        """Send these as they come, without a length, for as long as the caller stays."""
        self.status, self.headers, self.pieces, self.behaviour = 200, [], pieces, "answer"

    def hangs(self) -> None:
        """Answer nothing until the caller gives up."""
        self.behaviour = "hang"

    def holds(self) -> None:
        """Answer nothing until told what, as if the answer took its time."""
        self.behaviour = "hold"

    def stalls_after(self, body: bytes) -> None:
        """Send the head and this much, then nothing until the caller gives up."""
        self.answers(body)
        self.behaviour = "stall"

    def drops(self) -> None:
        """Close the connection instead of answering."""
        self.behaviour = "drop"

    @property
    def last(self) -> Seen:
        return self.seen[-1]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        body = b""
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.seen.append(Seen(scope["method"], scope["path"], headers, body, scope["client"][1]))
        while self.behaviour == "hold":
            await asyncio.sleep(0.01)
        if self.behaviour == "drop":
            scope["extensions"][DROP_EXTENSION]["close"]()
        elif self.behaviour == "hang":
            await _gone(receive)
        else:
            await self._answer(receive, send)

    async def _answer(self, receive: Receive, send: Send) -> None:
        headers = [(name.encode(), value.encode()) for name, value in self.headers]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        for piece in self.pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        if self.behaviour == "stall":
            await _gone(receive)
        else:
            await send({"type": "http.response.body", "body": b""})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def serve_scripted(servers: LoopbackServers) -> ScriptedServer:
    """A new one on a port of its own."""
    server = ScriptedServer()
    server.url = servers.serve(server)
    return server


class Names:
    """A name service that says what it is told, and counts."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self._answers = itertools.cycle(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        return next(self._answers)
