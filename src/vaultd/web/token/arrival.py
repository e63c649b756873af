"""A token request as it arrived, before anything in it is read."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope

from vaultd.web.peer import peer_ip

MAX_BODY = 64 * 1024
_READ = frozenset({b"authorization", b"content-type", b"dpop"})


@dataclass(slots=True)
class Arrival:
    """The headers that mean something here, by lower-case names, each as often as it came.

    `ip` is the peer's address, as the server sees it.
    """

    headers: dict[bytes, list[str]]
    query: bytes
    ip: str | None
    request_id: str

    @classmethod
    def of(cls, scope: Scope, request_id: str) -> Arrival:
        """What ASGI says of it."""
        headers: dict[bytes, list[str]] = {}
        for name, value in scope["headers"]:
            if name in _READ:
                headers.setdefault(name, []).append(value.decode("latin-1"))
        return cls(headers, scope["query_string"], peer_ip(scope), request_id)

    def header(self, name: bytes) -> str | None:
        """The first value of a header."""
        values = self.headers.get(name)
        return values[0] if values else None


async def read_body(receive: Receive) -> bytes | None:
    """The body, or None when it is larger than allowed; a larger one is not read to its end.

    Raises:
        ClientDisconnect: the caller went away before all of it was here. Half a request may mean something else.
    """
    message = await _next(receive)
    body: bytes = message.get("body", b"")
    if not message.get("more_body", False):
        return body if len(body) <= MAX_BODY else None
    read = bytearray(body)
    while message.get("more_body", False):
        if len(read) > MAX_BODY:
            return None
        message = await _next(receive)
        read += message.get("body", b"")
    return bytes(read) if len(read) <= MAX_BODY else None


async def _next(receive: Receive) -> Message:
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientDisconnect
    return message
