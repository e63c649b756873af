from __future__ import annotations

from collections.abc import Iterator

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from bench.failed import BenchError
from bench.load import http_request
from bench.vault import free_port
from bench.warm import send_all
from vaultd.sandbox.servers import LoopbackServers


async def count(request: Request) -> PlainTextResponse:
    request.app.state.seen.append(request.query_params["n"])
    return PlainTextResponse("no such number", 404 if request.query_params["n"] == "404" else 200)


@pytest.fixture
def app() -> Starlette:
    app = Starlette(routes=[Route("/", count)])
    app.state.seen = []
    return app


@pytest.fixture
def url(app: Starlette) -> Iterator[str]:
    with LoopbackServers() as servers:
        yield servers.serve(app)


def numbered(numbers: range) -> list[bytes]:
    return [http_request("GET", f"/?n={number}", "127.0.0.1") for number in numbers]


async def test_every_request_is_sent_once(app: Starlette, url: str) -> None:
    await send_all(url, numbered(range(100)))

    assert sorted(app.state.seen, key=int) == [str(number) for number in range(100)]


async def test_a_refusal_ends_it_with_the_servers_words(url: str) -> None:
    with pytest.raises(BenchError, match=r"404 Not Found(?s:.*)no such number"):
        await send_all(url, numbered(range(400, 410)))


async def test_a_server_that_is_not_there_ends_it() -> None:
    url, _ = free_port()

    with pytest.raises(BenchError, match="does not answer"):
        await send_all(url, numbered(range(1)))
