"""What one connection may take of a server, and what all may take together, with limits that a test can wait for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack

import pytest
from starlette.types import Receive, Scope, Send

from tests.support.raw import GET, Raw, raw
from vaultd.app.server import Limits
from vaultd.sandbox.servers import LoopbackServers

SOON = Limits(head_seconds=0.3, body_seconds=0.3, idle_seconds=1, write_seconds=0.3)
POST = b"POST /echo HTTP/1.1\r\nHost: vault\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
END = b"\r\n"


class Echo:
    """Answers with the request's body, and `/large` with more than any buffer holds; `/held` waits for `open`.

    `headers` are those of the last request, as they are when it is answered.
    """

    def __init__(self) -> None:
        self.open = False
        self.headers: list[tuple[bytes, bytes]] = []
        self.busy = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        self.busy += 1
        try:
            await self._answer(scope, receive, send)
        finally:
            self.busy -= 1

    async def until_busy_with(self, requests: int) -> None:
        async with asyncio.timeout(10):
            while self.busy != requests:
                await asyncio.sleep(0.01)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        body, more = b"", True
        while more and scope["path"] != "/early":
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body, more = body + message["body"], message["more_body"]
        while scope["path"] == "/held" and not self.open:
            await asyncio.sleep(0.005)
        if scope["path"] == "/large":
            body = bytes(50_000_000)
        self.headers = list(scope["headers"])
        head = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": body})


@pytest.fixture
def servers() -> Iterator[LoopbackServers]:
    with LoopbackServers() as running:
        yield running


@pytest.fixture
def echo() -> Echo:
    return Echo()


async def asked(connection: Raw) -> bool:
    """Whether it serves one more request."""
    await connection.send(GET + END)
    return (await connection.answer())[0] == 200


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"", None),
        (END + END, 408),
        (b"G", 408),
        (b"GET /health", 408),
        (GET, 408),
        (GET + b"X-Name: val", 408),
        (POST + b"Content-Length: 5\r\n\r\n", 408),
        (POST + b"Content-Length: 5\r\n\r\nabcd", 408),
        (CHUNKED + b"5\r\nabcd", 408),
        (CHUNKED + b"5\r\nabcde\r\n0\r\nTrailer: ", 408),
        (b"POST /early HTTP/1.1\r\nHost: vault\r\nContent-Length: 5\r\n\r\n", 200),
    ],
)
async def test_what_is_half_sent_ends(servers: LoopbackServers, echo: Echo, sent: bytes, status: int | None) -> None:
    url = servers.serve(echo, limits=SOON)
    async with raw(url, sent) as connection:
        assert await connection.status_at_the_end() == status
    async with raw(url) as other:
        assert await asked(other)
    await echo.until_busy_with(0)


@pytest.mark.parametrize(
    ("begun", "drop"),
    [(GET, b"a: b\r\n"), (b"GET /", b"x"), (POST + b"Content-Length: 60000\r\n\r\n", b"x"), (CHUNKED, b"1\r\nx\r\n")],
)
async def test_what_trickles_ends(servers: LoopbackServers, echo: Echo, begun: bytes, drop: bytes) -> None:
    """Each piece comes in time, and there is no end to them."""
    async with raw(servers.serve(echo, limits=SOON), begun) as connection:
        await connection.send_without_end(drop, at_most=20_000, every=0.05)


async def test_a_request_after_another_has_its_own_time(servers: LoopbackServers, echo: Echo) -> None:
    async with raw(servers.serve(echo, limits=SOON)) as connection:
        assert await asked(connection)
        await connection.send(GET)
        assert await connection.status_at_the_end() == 408


async def test_an_idle_connection_ends_also_when_its_request_was_answered_early(
    servers: LoopbackServers, echo: Echo
) -> None:
    """Uvicorn's clock starts with the answer, and stops when the rest of the body comes."""
    early = b"POST /early HTTP/1.1\r\nHost: vault\r\nContent-Length: 5\r\n\r\n"
    url = servers.serve(echo, limits=SOON)
    async with raw(url, early) as connection:
        assert (await connection.answer())[0] == 200
        await connection.send(b"abcde")
        assert await connection.status_at_the_end() is None
    async with raw(url, early) as connection:
        assert (await connection.answer())[0] == 200
        await connection.send(b"abcde")
        assert await asked(connection)


async def test_who_waits_for_us_is_not_cut_off(servers: LoopbackServers, echo: Echo) -> None:
    """The next request may be half here while the one before it is worked on."""
    async with raw(servers.serve(echo, limits=SOON), GET.replace(b"/health/live", b"/held") + END, GET) as connection:
        await asyncio.sleep(3 * SOON.head_seconds)
        echo.open = True
        assert (await connection.answer())[0] == 200
        await connection.send(END)
        assert (await connection.answer())[0] == 200


async def test_who_does_not_read_the_answer_is_cut_off(servers: LoopbackServers, echo: Echo) -> None:
    url = servers.serve(echo, limits=SOON)
    async with raw(url) as connection:
        connection.pause()
        await connection.send(GET.replace(b"/health/live", b"/large") + END)
        await asyncio.sleep(5 * SOON.write_seconds)
        connection.resume()
        assert len(await connection.rest()) < 50_000_000


async def test_who_reads_slowly_gets_the_whole_answer(servers: LoopbackServers, echo: Echo) -> None:
    limits = Limits(head_seconds=0.1, linger_seconds=0.1, write_seconds=30)
    async with raw(servers.serve(echo, limits=limits)) as connection:
        await connection.send(GET.replace(b"/health/live", b"/large") + b"Connection: close\r\n" + END)
        connection.pause()
        await asyncio.sleep(1)
        connection.resume()
        assert len(await connection.rest()) > 50_000_000


@pytest.mark.parametrize("half", [b"", b"GET / HT", GET, POST + b"Content-Length: 5\r\n\r\nabcd"])
async def test_half_sent_requests_make_room_for_whole_ones(servers: LoopbackServers, echo: Echo, half: bytes) -> None:
    url = servers.serve(echo, limits=Limits(connections=20, idle_seconds=60))
    async with AsyncExitStack() as stack:
        kept = await stack.enter_async_context(raw(url))
        assert await asked(kept)
        held = await stack.enter_async_context(raw(url, GET.replace(b"/health/live", b"/held") + END))
        for _ in range(60):
            await stack.enter_async_context(raw(url, half))
        async with raw(url) as other:
            assert await asked(other)
        assert await asked(kept)
        echo.open = True
        assert (await held.answer())[0] == 200


async def test_idle_and_unread_connections_make_room_too(servers: LoopbackServers, echo: Echo) -> None:
    url = servers.serve(echo, limits=Limits(connections=20))
    for path in (b"/health/live", b"/large"):
        async with AsyncExitStack() as stack:
            for _ in range(30):
                idle = await stack.enter_async_context(raw(url))
                idle.pause()
                await idle.send(GET.replace(b"/health/live", path) + END)
                await asyncio.sleep(0.02)
            async with raw(url) as other:
                assert await asked(other)


async def test_whole_requests_are_never_given_up(servers: LoopbackServers, echo: Echo) -> None:
    url = servers.serve(echo, limits=Limits(connections=5))
    async with AsyncExitStack() as stack:
        held = [
            await stack.enter_async_context(raw(url, GET.replace(b"/health/live", b"/held") + END)) for _ in range(5)
        ]
        await echo.until_busy_with(5)
        async with raw(url) as other:
            assert await other.status_at_the_end() is None
        echo.open = True
        assert [(await each.answer())[0] for each in held] == [200] * 5


async def test_requests_whose_senders_have_gone_are_counted(servers: LoopbackServers, echo: Echo) -> None:
    url = servers.serve(echo, limits=Limits(requests=5))
    held = GET.replace(b"/health/live", b"/held") + END
    for number in range(1, 6):
        async with raw(url, held):
            await echo.until_busy_with(number)
    async with raw(url, GET + END) as connection:
        status, body = await connection.answer()
        assert (status, b"temporarily_unavailable" in body) == (503, True)
    echo.open = True
    await echo.until_busy_with(0)
    async with raw(url) as connection:
        assert await asked(connection)


async def test_pipelined_requests_are_answered_in_turn(servers: LoopbackServers, echo: Echo) -> None:
    requests = [POST + b"Content-Length: %d\r\n\r\n%s" % (len(text), text) for text in (b"a" * n for n in range(50))]
    url = servers.serve(echo)
    async with raw(url, b"".join(requests)) as connection:
        assert [len((await connection.answer())[1]) for _ in requests] == list(range(50))
        assert await asked(connection)
    for size in (1, 7, 100):
        stream = b"".join(requests)
        async with raw(url) as connection:
            await connection.send(*(stream[at : at + size] for at in range(0, len(stream), size)))
            assert [len((await connection.answer())[1]) for _ in requests] == list(range(50))


async def test_pipelined_requests_may_be_large(servers: LoopbackServers, echo: Echo) -> None:
    """A piece may hold the end of one body and the beginning of the next head: neither is counted as the other."""
    body = b"b" * 64_000
    requests = [POST + b"X: " + b"h" * 30_000 + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body] * 20
    async with raw(servers.serve(echo)) as connection:
        sending = asyncio.create_task(connection.send(*requests))
        for _ in requests:
            assert await connection.answer() == (200, body)
        await sending


async def test_only_so_many_requests_wait_on_one_connection(servers: LoopbackServers, echo: Echo) -> None:
    async with raw(servers.serve(echo), (GET + END) * 5_000) as connection:
        assert len(await connection.rest()) < 1_000_000


async def test_trailers_are_dropped(servers: LoopbackServers, echo: Echo) -> None:
    """RFC 9110 §6.5.1: they do not become headers, of this request or of the next one."""
    url = servers.serve(echo)
    sent = CHUNKED + b"2\r\nab\r\n0\r\nAuthorization: Basic eDp5\r\nDPoP: x\r\n\r\n"
    for pieces in ([sent], [sent[at : at + 1] for at in range(len(sent))]):
        async with raw(url, *pieces) as connection:
            assert await connection.answer() == (200, b"ab")
            assert {name for name, _ in echo.headers} == {b"host", b"transfer-encoding"}
            assert await asked(connection)
            assert {name for name, _ in echo.headers} == {b"host"}


@pytest.mark.parametrize("apart", [False, True])
async def test_what_comes_with_an_upgrade_is_no_request(servers: LoopbackServers, echo: Echo, *, apart: bool) -> None:
    """A body that the parser does not see, since it expects another protocol there, must not be read as a request."""
    smuggled = GET + END
    head = b"POST /echo HTTP/1.1\r\nHost: vault\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: %d\r\n\r\n"
    sent = (head % len(smuggled), smuggled)
    async with raw(servers.serve(echo), *(sent if apart else [b"".join(sent)])) as connection:
        said = await connection.rest()
        assert said.count(b"HTTP/1.1 ") == 1
        assert b"connection: close" in said


@pytest.mark.parametrize(
    "sent",
    [
        b"GET http://[ HTTP/1.1\r\nHost: vault\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: vault\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : vault\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: va\0ult\r\n\r\n",
        b"no such thing\r\n\r\n",
        CHUNKED + b"x\r\n",
    ],
)
async def test_what_is_not_http_is_answered_and_cut_off(servers: LoopbackServers, echo: Echo, sent: bytes) -> None:
    url = servers.serve(echo)
    async with raw(url, sent) as connection:
        assert await connection.status_at_the_end() == 400
    async with raw(url, GET + END) as connection:
        assert (await connection.answer())[0] == 200
        await connection.send(sent)
        assert await connection.status_at_the_end() == 400
    await echo.until_busy_with(0)


async def test_a_continue_is_given_and_the_body_taken(servers: LoopbackServers, echo: Echo) -> None:
    async with raw(servers.serve(echo), POST + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n") as connection:
        assert await connection.until(END + END) == b"HTTP/1.1 100 Continue\r\n\r\n"
        await connection.send(b"ab")
        assert await connection.answer() == (200, b"ab")
