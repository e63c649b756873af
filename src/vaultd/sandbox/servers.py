"""Several ASGI apps on loopback ports, run by one event loop in a thread of its own."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import uvicorn
from starlette.types import ASGIApp

from vaultd.app.server import BoundedProtocol, Limits, connections, server_config
from vaultd.errors import ConfigurationError
from vaultd.sandbox.faults import DROP_EXTENSION

HOST = "127.0.0.1"
GRACE = 1
"""Seconds that requests under way have at the end, before they are cut off."""


class DroppingProtocol(BoundedProtocol):
    """HTTP as it is spoken in service, plus a way for an app to close the connection without an answer."""

    def on_message_begin(self) -> None:
        """Hand the app the extension."""
        super().on_message_begin()
        self.scope["extensions"] = {DROP_EXTENSION: {"close": self.transport.abort}}


@dataclass(frozen=True, slots=True)
class Listener:
    """A bound loopback port that nobody serves yet: its URL is known before its app is built."""

    socket: socket.socket

    @property
    def port(self) -> int:
        """The port, chosen by the system if none was given."""
        port: int = self.socket.getsockname()[1]
        return port

    @property
    def url(self) -> str:
        """`http://127.0.0.1:port`, without a slash at the end."""
        return f"http://{HOST}:{self.port}"


def listen(port: int = 0) -> Listener:
    """Bind a loopback port, any free one by default. Raises `ConfigurationError` when it is taken."""
    # The protocol is named, because asyncio sends small answers at once only on sockets that say they are TCP.
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((HOST, port))
    except OSError as error:
        bound.close()
        raise ConfigurationError(f"Port {port} on {HOST} cannot be used: {error.strerror}.") from None
    return Listener(bound)


class LoopbackServers:
    """A context manager; `serve` starts an app within it, leaving it stops all of them and ends the thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="loopback-servers", daemon=True)
        self._running: list[tuple[uvicorn.Server, Future[None]]] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.stop()
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def serve(self, app: ASGIApp, listener: Listener | None = None, *, limits: Limits | None = None) -> str:
        """Serve an app, on a free port by default, and return its URL once it answers.

        Raises:
            ConfigurationError: the app did not start; why is in the log.
        """
        listener = listener or listen()
        config = server_config(app, http=connections(limits, protocol=DroppingProtocol), grace=GRACE)
        server = uvicorn.Server(config)
        ended = self._submit(_serve(server, listener))
        self._submit(_until_started(server, ended)).result()
        if ended.done():
            ended.result()
        self._running.append((server, ended))
        return listener.url

    def stop(self) -> None:
        """Stop every app and wait for its end; requests under way are cut off after `GRACE` seconds."""
        for server, _ in self._running:
            server.should_exit = True
        running, self._running = self._running, []
        for _, ended in running:
            ended.result()

    def _submit(self, work: Coroutine[Any, Any, None]) -> Future[None]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)


async def _serve(server: uvicorn.Server, listener: Listener) -> None:
    try:
        await server.serve(sockets=[listener.socket])
    except SystemExit:
        # uvicorn ends the process when an app's start-up fails; here it is one app among others.
        raise ConfigurationError(f"The app for {listener.url} did not start.") from None
    finally:
        listener.socket.close()


async def _until_started(server: uvicorn.Server, ended: Future[None]) -> None:
    # uvicorn tells of its start by a flag only.
    while not (server.started or ended.done()):  # noqa: ASYNC110
        await asyncio.sleep(0.005)
