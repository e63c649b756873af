"""`vaultd serve`: whatever a stranger sends to either of its ports has an end, and others are served meanwhile."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass

import pytest

from tests.support.exchanging import exchange_form
from tests.support.processes import Running, install, serving
from tests.support.raw import raw
from tests.wire.test_metrics import free_port
from vaultd.sandbox.loopback import loopback_http
from vaultd.sandbox.world import start_world
from vaultd.terms import Secret

END = b"\r\n"
MUCH = 16 * 1024 * 1024
"""Above what the buffers of two sockets hold, so that it is not taken unless it is read."""


@dataclass(frozen=True, slots=True)
class Port:
    """Where a process is asked, and a path that is answered there."""

    url: str
    path: bytes


@dataclass(frozen=True, slots=True)
class Ports:
    process: Running
    service: Port
    metrics: Port


@pytest.fixture(scope="module")
def ports() -> Iterator[Ports]:
    number = free_port()
    table = {"ahead = 0": f'ahead = 0\n\n[metrics]\nhost = "127.0.0.1"\nport = {number}'}
    with start_world(synced=False) as world, serving(install(world, "bounded", table)) as running:
        metrics = Port(f"http://127.0.0.1:{number}", b"/metrics")
        yield Ports(running, Port(running.url, b"/health/live"), metrics)


@pytest.fixture(params=["service", "metrics"])
def port(ports: Ports, request: pytest.FixtureRequest) -> Port:
    return ports.service if request.param == "service" else ports.metrics


def memory(process: Running) -> int:
    """What it has of the machine's memory, in bytes."""
    shown = subprocess.run(
        ["ps", "-o", "rss=", "-p", str(process.process.pid)], capture_output=True, text=True, check=True
    )
    return int(shown.stdout) * 1024


async def serves(port: Port) -> None:
    async with raw(port.url, b"GET " + port.path + b" HTTP/1.1\r\nHost: vault\r\n\r\n") as connection:
        assert (await connection.answer())[0] == 200


ENDLESS = {
    "header lines": (b"GET %s HTTP/1.1\r\n", b"a:b\r\n" * 10_000),
    "a header name": (b"GET %s HTTP/1.1\r\n", b"a" * 50_000),
    "a header value": (b"GET %s HTTP/1.1\r\na: ", b"b" * 50_000),
    "a header of spaces": (b"GET %s HTTP/1.1\r\na:", b" " * 50_000),
    "a folded header": (b"GET %s HTTP/1.1\r\na: b", b"\r\n b" * 10_000),
    "a target": (b"GET %s?", b"x" * 50_000),
    "a host in the target": (b"GET http://", b"x" * 50_000),
    "a method": (b"", b"GET" * 10_000),
    "a version": (b"GET %s HTTP/1.", b"1" * 50_000),
    "empty lines": (b"", b"\r\n" * 25_000),
    "spaces in the request line": (b"GET ", b" " * 50_000),
    "a body": (b"POST %s HTTP/1.1\r\nContent-Length: 1000000000000\r\n\r\n", b"x" * 50_000),
    "chunks": (b"POST %s HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * 10_000),
    "the size of a chunk": (b"POST %s HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", b"0" * 50_000),
    "the extension of a chunk": (b"POST %s HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1;a=", b"b" * 50_000),
    "extensions of a chunk": (b"POST %s HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1", b";a=b" * 10_000),
    "trailers": (b"POST %s HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"a: b\r\n" * 10_000),
    "a trailer": (b"POST %s HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\na: ", b"b" * 50_000),
    "requests": (b"", b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n" * 1_000),
    "what comes after an upgrade": (b"GET %s HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", b"x" * 50_000),
}


@pytest.mark.parametrize("what", ENDLESS)
async def test_nothing_is_without_an_end(port: Port, what: str) -> None:
    begun, more = ENDLESS[what]
    async with raw(port.url, begun.replace(b"%s", port.path)) as connection:
        await connection.send_without_end(more, at_most=MUCH)
    await serves(port)


async def test_pieces_of_one_byte_are_counted_too(port: Port) -> None:
    async with raw(port.url, b"GET " + port.path + b"?") as connection:
        assert (await connection.answer_to(*[b"x"] * 17 * 1024))[0] == 414


def head(path: bytes, *, headers: int = 0, size: int = 0, target: int = 0) -> bytes:
    """A request with this many headers, or one of this size beside those, or so long a target."""
    query = b"?" + b"q" * (target - len(path) - 1) if target else b""
    lines = b"".join(b"x-%d: y\r\n" % number for number in range(headers - 1))
    large = b"x: " + b"y" * size + b"\r\n" if size else b""
    return b"GET " + path + query + b" HTTP/1.1\r\nHost: vault\r\n" + lines + large + END


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({"headers": 100}, 200),
        ({"headers": 101}, 431),
        ({"headers": 50_000}, 431),
        ({"size": 63 * 1024}, 200),
        ({"size": 65 * 1024}, 431),
        ({"size": 512 * 1024}, 431),
        ({"target": 16 * 1024}, 200),
        ({"target": 16 * 1024 + 1}, 414),
        ({"target": 512 * 1024}, 414),
    ],
)
async def test_how_large_a_head_may_be(port: Port, sent: dict[str, int], status: int) -> None:
    whole = head(port.path, **sent)
    async with raw(port.url) as connection:
        assert (await connection.answer_to(whole))[0] == status
    async with raw(port.url) as connection:
        # As it comes from far away.
        assert (await connection.answer_to(*(whole[at : at + 1400] for at in range(0, len(whole), 1400))))[0] == status


async def test_half_sent_requests_keep_nobody_from_an_answer(port: Port) -> None:
    async with AsyncExitStack() as stack:
        for number in range(400):
            half = (b"", b"GET ", b"GET / HTTP/1.1\r\na", b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nx")[number % 4]
            await stack.enter_async_context(raw(port.url, half))
        for _ in range(3):
            await serves(port)


async def test_requests_that_wait_on_many_connections_take_little_memory(ports: Ports) -> None:
    """Each sends many requests at once, of as many small headers as there may be, and reads no answer."""
    request = head(ports.service.path, headers=100)
    before = memory(ports.process)
    async with AsyncExitStack() as stack:
        for _ in range(400):
            connection = await stack.enter_async_context(raw(ports.service.url))
            connection.pause()
            with suppress(ConnectionError):
                await connection.send(request * 64)
        most = memory(ports.process)
        for _ in range(10):
            await serves(ports.service)
            most = max(most, memory(ports.process))
    assert most - before < 100 * 1024 * 1024


async def test_strangers_requests_are_not_kept(ports: Ports) -> None:
    """Each is refused, and leaves nothing behind: neither what it said nor what was made of it."""
    form = exchange_form(Secret("made-up"), "google")
    async with loopback_http(base_url=ports.service.url) as http:
        used = []
        for round_ in range(4):
            for number in range(300):
                answer = await http.post("/oauth/token", data=form, auth=(f"made-up-{round_}-{number}", "s" * 45_000))
                assert answer.status_code == 401, answer.text
            used.append(memory(ports.process))
    assert used[-1] - used[0] < 16 * 1024 * 1024
