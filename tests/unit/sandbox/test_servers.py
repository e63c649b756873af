"""Apps on loopback ports: they start, they answer, they stop and leave nothing."""

from __future__ import annotations

import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from vaultd.errors import ConfigurationError
from vaultd.sandbox.servers import LoopbackServers, listen


def app_named(name: str, seen: list[str]) -> Starlette:
    async def say(_: Request) -> Response:
        return PlainTextResponse(name)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        seen.append(f"{name} starts")
        yield
        seen.append(f"{name} stops")

    return Starlette(routes=[Route("/", say)], lifespan=lifespan)


def test_apps_start_and_stop() -> None:
    seen: list[str] = []
    # Other tests of the run may have servers of their own.
    before = set(threading.enumerate())
    with LoopbackServers() as servers:
        urls = [servers.serve(app_named(name, seen)) for name in ("one", "two")]
        assert [httpx.get(url, trust_env=False).text for url in urls] == ["one", "two"]
    assert sorted(seen) == ["one starts", "one stops", "two starts", "two stops"]
    assert "loopback-servers" not in [thread.name for thread in set(threading.enumerate()) - before]
    for url in urls:
        with pytest.raises(httpx.ConnectError):
            httpx.get(url, trust_env=False)


def test_the_url_is_known_before_the_app_is_built(servers: LoopbackServers) -> None:
    listener = listen()
    assert servers.serve(app_named(listener.url, []), listener) == listener.url
    assert httpx.get(listener.url, trust_env=False).text == listener.url


def test_a_taken_port_is_a_clear_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"Port {port}"):
            listen(port)


def test_a_port_can_be_used_again_at_once() -> None:
    listener = listen()
    port = listener.port
    with LoopbackServers() as servers:
        httpx.get(servers.serve(app_named("one", []), listener), trust_env=False)
    with LoopbackServers() as servers:
        assert httpx.get(servers.serve(app_named("two", []), listen(port)), trust_env=False).text == "two"


def test_an_app_that_does_not_start(servers: LoopbackServers) -> None:
    seen: list[str] = []

    @asynccontextmanager
    async def broken(_: Starlette) -> AsyncIterator[None]:
        if seen == []:
            raise RuntimeError("no database")
        yield

    with pytest.raises(ConfigurationError, match="did not start"):
        servers.serve(Starlette(lifespan=broken))
    assert httpx.get(servers.serve(app_named("one", [])), trust_env=False).text == "one", "the others go on"
