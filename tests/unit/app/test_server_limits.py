"""What one connection may take of a server, and what all may take together, with limits that a test can wait for."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from urllib.parse import urlsplit

import pytest
import structlog.testing
import uvicorn
from starlette.types import Receive, Scope, Send

from tests.support.raw import GET, Raw, raw
from vaultd.app.server import Limits, connections, server_config
from vaultd.sandbox.servers import LoopbackServers, listen

SOON = Limits(head_seconds=0.3, body_seconds=0.3, idle_seconds=1, write_seconds=0.3)
POST = b"POST /echo HTTP/1.1\r\nHost: vault\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
END = b"\r\n"


class Echo:
    """Answers with the request's body, and `/large` with more than any buffer holds; `/held` waits for `open`.

    `/early` reads no body, and neither does `/unread` while it waits for `open`.

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
        while more and scope["path"] not in {"/early", "/unread"}:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body, more = body + message["body"], message["more_body"]
        while scope["path"] in {"/held", "/unread"} and not self.open:
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


async def test_a_request_in_one_piece_with_the_rest_of_an_earlier_one_is_not_idle(
    servers: LoopbackServers, echo: Echo
) -> None:
    limits = Limits(idle_seconds=1)
    async with raw(servers.serve(echo, limits=limits), POST.replace(b"/echo", b"/early")) as connection:
        await connection.send(b"Content-Length: 5\r\n\r\n")
        assert (await connection.answer())[0] == 200
        await connection.send(b"abcde" + GET.replace(b"/health/live", b"/held") + END)
        await asyncio.sleep(1.5 * limits.idle_seconds)
        echo.open = True
        assert (await connection.answer())[0] == 200
        assert await asked(connection)


@asynccontextmanager
async def serving(app: Echo, limits: Limits) -> AsyncIterator[tuple[str, uvicorn.Server]]:
    """A server whose connections can be counted."""
    listener = listen()
    server = uvicorn.Server(server_config(app, http=connections(limits), grace=1, lifespan="off"))
    ended = asyncio.create_task(server.serve(sockets=[listener.socket]))
    try:
        await until(lambda: server.started)
        yield listener.url, server
    finally:
        server.should_exit = True
        await ended
        listener.socket.close()


@pytest.mark.parametrize("end", [b"\r\nZZ\r\n", b""])
async def test_a_refused_body_that_nobody_reads_keeps_no_connection(echo: Echo, end: bytes) -> None:
    """Reading had stopped, and goes on: only so is it seen that the peer has gone."""
    limits = Limits(linger_seconds=0.2, body_seconds=0.3, idle_seconds=1)
    begun = CHUNKED.replace(b"/echo", b"/unread") + b"%x\r\n" % 70_000 + b"x" * 70_000
    async with serving(echo, limits) as (url, server):
        for _ in range(5):
            async with raw(url, begun + end):
                await echo.until_busy_with(1)
            echo.open = not end
            await until(lambda: not server.server_state.connections)
            echo.open = True
            await echo.until_busy_with(0)
            echo.open = False


async def until(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not reached():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("path", [b"/echo", b"/early"])
async def test_who_sends_too_much_can_read_why(servers: LoopbackServers, echo: Echo, path: bytes) -> None:
    """As clients do it: the whole body first, then a look at the answer. It ends as it should, and not in a reset."""
    sent = POST.replace(b"/echo", path) + b"Content-Length: %d\r\n\r\n" % (2 << 20)
    url = urlsplit(servers.serve(echo))

    def post() -> bytes:
        said = b""
        with socket.create_connection((url.hostname, url.port), timeout=10) as connection:
            connection.sendall(sent + bytes(3 << 19))
            connection.recv(1, socket.MSG_PEEK)
            for _ in range(8):
                connection.sendall(bytes(65536))
            while piece := connection.recv(65536):
                said += piece
        return said

    for _ in range(10):
        answer = await asyncio.to_thread(post)
        assert answer.startswith(b"HTTP/1.1 200" if path == b"/early" else b"HTTP/1.1 413")


async def test_what_is_cut_off_is_told_once_a_second(servers: LoopbackServers, echo: Echo) -> None:
    url = servers.serve(echo)
    with structlog.testing.capture_logs() as told:
        for _ in range(50):
            async with raw(url, b"no such thing\r\n\r\n") as connection:
                assert await connection.status_at_the_end() == 400
        async with raw(url, GET + b"X: y\r\n" * 101) as connection:
            assert await connection.status_at_the_end() == 431
    cut = [line for line in told if line["event"] == "request cut off"]
    assert {line["reason"] for line in cut} == {"not HTTP", "there are too many headers"}
    assert len(cut) < 25


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
        held = await stack.enter_async_context(raw(url, GET.replace(b"/health/live", b"/held") + END))
        await echo.until_busy_with(1)
        for _ in range(60):
            await stack.enter_async_context(raw(url, half))
        async with raw(url) as other:
            assert await asked(other)
        echo.open = True
        assert (await held.answer())[0] == 200


@pytest.mark.parametrize("half", [b"", GET, POST + b"Content-Length: 5\r\n\r\nabcd"])
async def test_who_has_just_come_is_not_given_up_while_others_are_idle(
    servers: LoopbackServers, echo: Echo, half: bytes
) -> None:
    url = servers.serve(echo, limits=Limits(connections=20, idle_seconds=60))
    async with AsyncExitStack() as stack:
        for _ in range(19):
            assert await asked(await stack.enter_async_context(raw(url)))
        newcomer = await stack.enter_async_context(raw(url, half))
        for _ in range(10):
            await stack.enter_async_context(raw(url))
        await newcomer.send({b"": GET + END, GET: END}.get(half, b"e"))
        assert (await newcomer.answer())[0] == 200


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
    url = servers.serve(echo, limits=Limits(pipelined=64))
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
    url = servers.serve(echo)
    async with raw(url, (GET + END) * 5_000) as connection:
        assert len(await connection.rest()) < 1_000_000
    held, most = GET.replace(b"/health/live", b"/held") + END, Limits().pipelined
    async with raw(url, held + (GET + END) * most) as connection:
        echo.open = True
        assert [(await connection.answer())[0] for _ in range(1 + most)] == [200] * (1 + most)
    echo.open = False
    async with raw(url, held + (GET + END) * (most + 1)) as connection:
        assert await connection.rest() == b""
    assert most <= 8


async def test_nothing_is_read_while_a_request_waits(servers: LoopbackServers, echo: Echo) -> None:
    """Also when the app before it asks for more; so no more than one read's worth waits."""
    url = servers.serve(echo, limits=Limits(pipelined=1))
    held = GET.replace(b"/health/live", b"/held") + END
    async with raw(url, held + GET + END) as connection:
        await echo.until_busy_with(1)
        await connection.send(*[GET + END] * 2)
        await asyncio.sleep(0.1)
        echo.open = True
        assert [(await connection.answer())[0] for _ in range(3)] == [200] * 3


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


async def test_trailers_are_not_counted_for_the_next_request(servers: LoopbackServers, echo: Echo) -> None:
    trailers = (b"T: " + b"t" * 8_000 + b"\r\n") * 3
    async with raw(servers.serve(echo)) as connection:
        for _ in range(5):
            await connection.send(CHUNKED + b"0\r\n" + trailers + END)
            assert await connection.answer() == (200, b"")
            assert await asked(connection)


ASKS = POST + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\nX-Empty:\r\n"


@pytest.mark.parametrize("size", [1, 7, 150, 100_000])
@pytest.mark.parametrize(
    "framing", [b"Content-Length: %d\r\n\r\n%s", b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n"]
)
async def test_who_asks_for_another_protocol_is_served_in_this_one(
    servers: LoopbackServers, echo: Echo, framing: bytes, size: int
) -> None:
    """RFC 9110 §7.8. The body, which the parser takes for the other protocol, must not be read as a request."""
    url = servers.serve(echo)
    for smuggled in (GET + END, ASKS + b"Content-Length: 0\r\n\r\n"):
        sent = (ASKS + framing % (len(smuggled), smuggled)) * 3
        async with raw(url, *(sent[at : at + size] for at in range(0, len(sent), size))) as connection:
            for _ in range(3):
                assert await connection.answer() == (200, smuggled)
            names = [name for name, _ in echo.headers]
            assert names[:4] == [b"host", b"connection", b"http2-settings", b"x-empty"]
            assert await asked(connection)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (ASKS + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (ASKS + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n", 400),
        (ASKS + b"Transfer-Encoding: x\r\n\r\nhello", 400),
        (ASKS + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n", 400),
        (ASKS + b"X: a\r\n b\r\n\r\n", 400),
        (ASKS + b"Content-Length: 5\r\n\r\nabc", 408),
        (ASKS + b"Content-Length: 2000000\r\n\r\n" + b"x" * 1_200_000, 413),
        (ASKS + b"X: y\r\n" * 100 + END, 431),
    ],
)
async def test_what_asks_for_another_protocol_has_the_same_limits(
    servers: LoopbackServers, echo: Echo, sent: bytes, status: int
) -> None:
    limits = Limits(body_seconds=0.3, idle_seconds=1)
    async with raw(servers.serve(echo, limits=limits)) as connection:
        assert (await connection.answer_to(sent))[0] == status


async def test_nothing_that_follows_a_connect_is_looked_at(servers: LoopbackServers, echo: Echo) -> None:
    """A CONNECT has no body (RFC 9110 §9.3.6)."""
    async with raw(servers.serve(echo), b"CONNECT vault:80 HTTP/1.1\r\nHost: vault\r\n\r\n" + GET + END) as connection:
        assert (await connection.rest()).count(b"HTTP/1.1 ") <= 1


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
