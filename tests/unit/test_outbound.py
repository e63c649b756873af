"""The guarded client (security C1), against real servers on loopback ports."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import json
import socket
import tracemalloc
from collections.abc import AsyncIterator, Iterator, Sequence

import pytest

from tests.unit.scripted_server import HOST, Names, ScriptedServer, serve_scripted
from vaultd.errors import OutboundFailed
from vaultd.outbound import Outbound, Reply
from vaultd.sandbox.servers import LoopbackServers
from vaultd.terms import Secret

NAME = "provider.test"
NAMED = (HOST, NAME)


@pytest.fixture(scope="module")
def servers() -> Iterator[LoopbackServers]:
    with LoopbackServers() as running:
        yield running


@pytest.fixture
def server(servers: LoopbackServers) -> ScriptedServer:
    return serve_scripted(servers)


@pytest.fixture
async def outbound() -> AsyncIterator[Outbound]:
    client = Outbound(connect_timeout=0.5, total_timeout=0.5, max_bytes=10_000)
    yield client
    await client.aclose()


class TestRequest:
    async def test_sends_a_form(self, server: ScriptedServer, outbound: Outbound) -> None:
        server.answers(b"")
        await outbound.request("POST", server.url + "/token", allow_private=NAMED, form={"a b": "ü&=", "c": ""})
        assert server.last.form() == {"a b": ["ü&="], "c": [""]}
        assert server.last.headers["content-type"] == "application/x-www-form-urlencoded"
        assert (server.last.method, server.last.path) == ("POST", "/token")

    async def test_sends_json_and_headers(self, server: ScriptedServer, outbound: Outbound) -> None:
        server.answers(b"")
        await outbound.request("POST", server.url, allow_private=NAMED, json={"a": [1]}, headers={"X-Thing": "1"})
        assert json.loads(server.last.body) == {"a": [1]}
        assert server.last.headers["x-thing"] == "1"
        assert server.last.headers["user-agent"] == "vaultd"

    async def test_sends_basic_credentials(self, server: ScriptedServer, outbound: Outbound) -> None:
        """RFC 7617 §2."""
        server.answers(b"")
        await outbound.request("GET", server.url, allow_private=NAMED, basic=("Aladdin", Secret("open sesame")))
        assert server.last.headers["authorization"] == "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="

    async def test_gives_status_and_headers_in_lower_case(self, server: ScriptedServer, outbound: Outbound) -> None:
        server.answers(b"no", status=418, Retry_After="7")
        reply = await outbound.request("GET", server.url, allow_private=NAMED)
        assert (reply.status, reply.headers["retry-after"], reply.body) == (418, "7", b"no")

    async def test_follows_no_redirect(self, server: ScriptedServer, outbound: Outbound) -> None:
        server.answers(b"", status=307, location=server.url + "/elsewhere")
        reply = await outbound.request("POST", server.url + "/token", allow_private=NAMED, form={"code": "x"})
        assert reply.status == 307
        assert [request.path for request in server.seen] == ["/token"]

    async def test_keeps_no_cookies(self, server: ScriptedServer, outbound: Outbound) -> None:
        server.answers(b"", set_cookie="user=alice; Path=/")
        await outbound.request("GET", server.url, allow_private=NAMED)
        await outbound.request("GET", server.url, allow_private=NAMED)
        assert "cookie" not in server.last.headers

    async def test_reuses_connections(self, server: ScriptedServer, outbound: Outbound) -> None:
        server.answers(b"x")
        for _ in range(3):
            await outbound.request("GET", server.url, allow_private=NAMED)
        assert len({request.client_port for request in server.seen}) == 1

    async def test_ignores_proxies_of_the_environment(
        self, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")
        client = Outbound()
        server.answers(b"direct")
        assert (await client.request("GET", server.url, allow_private=NAMED)).body == b"direct"
        await client.aclose()

    async def test_a_header_that_cannot_be_sent_is_not_repeated(
        self, server: ScriptedServer, outbound: Outbound
    ) -> None:
        for token in ("s3cret\r\nx: y", "s3crét\udcff"):
            with pytest.raises(OutboundFailed) as failed:
                await outbound.request("GET", server.url, allow_private=NAMED, headers={"authorization": token})
            assert "s3cr" not in str(failed.value)
        assert server.seen == []


class TestCaps:
    async def test_a_body_of_exactly_the_cap_is_read(self, server: ScriptedServer, outbound: Outbound) -> None:
        server.answers(bytes(10_000))
        assert len((await outbound.request("GET", server.url, allow_private=NAMED)).body) == 10_000

    async def test_one_byte_more_is_refused(self, server: ScriptedServer, outbound: Outbound) -> None:
        server.answers(bytes(10_001))
        with pytest.raises(OutboundFailed, match="larger"):
            await outbound.request("GET", server.url, allow_private=NAMED)

    async def test_an_endless_body_is_cut_off(self, server: ScriptedServer, outbound: Outbound) -> None:
        server.streams(itertools.repeat(bytes(1000), 5_000))
        with pytest.raises(OutboundFailed, match="larger"):
            await outbound.request("GET", server.url, allow_private=NAMED)

    async def test_reads_gzip(self, server: ScriptedServer, outbound: Outbound) -> None:
        server.answers(gzip.compress(bytes(10_000)), content_encoding="gzip")
        assert (await outbound.request("GET", server.url, allow_private=NAMED)).body == bytes(10_000)

    async def test_reads_an_empty_body_that_calls_itself_gzip(self, server: ScriptedServer, outbound: Outbound) -> None:
        server.answers(b"", content_encoding="gzip")
        assert (await outbound.request("GET", server.url, allow_private=NAMED)).body == b""

    async def test_a_gzip_bomb_is_never_inflated(self, server: ScriptedServer, outbound: Outbound) -> None:
        server.answers_bomb(64 << 20)
        tracemalloc.start()
        with pytest.raises(OutboundFailed, match="larger"):
            await outbound.request("GET", server.url, allow_private=NAMED)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 4 << 20

    async def test_gzip_that_inflates_to_nothing_for_ever_is_cut_off(
        self, server: ScriptedServer, outbound: Outbound
    ) -> None:
        server.answers(gzip.compress(b"") * 1000, content_encoding="gzip")
        with pytest.raises(OutboundFailed, match="larger"):
            await outbound.request("GET", server.url, allow_private=NAMED)

    async def test_gzip_cut_off_in_the_middle(self, server: ScriptedServer, outbound: Outbound) -> None:
        server.answers(gzip.compress(b"whole" * 100)[:-9], content_encoding="gzip")
        with pytest.raises(OutboundFailed, match="middle"):
            await outbound.request("GET", server.url, allow_private=NAMED)

    @pytest.mark.parametrize("encoding", ["identity", "none", "UTF-8", "utf8", "binary", "8bit"])
    async def test_what_is_no_encoding(self, encoding: str, server: ScriptedServer, outbound: Outbound) -> None:
        server.answers(b'{"a": 1}', content_encoding=encoding)
        assert (await outbound.request("GET", server.url, allow_private=NAMED)).json() == {"a": 1}

    @pytest.mark.parametrize("encoding", ["gzip, gzip", "br", "deflate", "zstd", "nonsense"])
    async def test_encodings_that_were_not_asked_for(
        self, encoding: str, server: ScriptedServer, outbound: Outbound
    ) -> None:
        server.answers(gzip.compress(b"x"), content_encoding=encoding)
        with pytest.raises(OutboundFailed, match="encoding"):
            await outbound.request("GET", server.url, allow_private=NAMED)

    async def test_what_says_gzip_and_is_not(self, server: ScriptedServer, outbound: Outbound) -> None:
        server.answers(b"plain", content_encoding="gzip")
        with pytest.raises(OutboundFailed, match="gzip"):
            await outbound.request("GET", server.url, allow_private=NAMED)

    async def test_a_body_shorter_than_its_length(self, server: ScriptedServer, outbound: Outbound) -> None:
        server.answers(b"short", content_length="500")
        with pytest.raises(OutboundFailed):
            await outbound.request("GET", server.url, allow_private=NAMED)


class TestTimeAndConnection:
    async def test_gives_up_on_a_server_that_hangs(self, server: ScriptedServer) -> None:
        server.hangs()
        client = Outbound(total_timeout=0.1)
        with pytest.raises(OutboundFailed, match=r"0\.1 s"):
            await client.request("GET", server.url, allow_private=NAMED)
        await client.aclose()

    async def test_gives_up_on_a_body_that_never_ends(self, server: ScriptedServer) -> None:
        server.stalls_after(b"some")
        client = Outbound(total_timeout=0.1)
        with pytest.raises(OutboundFailed, match=r"0\.1 s"):
            await client.request("GET", server.url, allow_private=NAMED)
        await client.aclose()

    async def test_works_again_after_a_timeout(self, server: ScriptedServer) -> None:
        client = Outbound(total_timeout=0.2)
        server.hangs()
        with pytest.raises(OutboundFailed):
            await client.request("GET", server.url, allow_private=NAMED)
        server.answers(b"back")
        assert (await client.request("GET", server.url, allow_private=NAMED)).body == b"back"
        await client.aclose()

    async def test_gives_up_on_a_name_service_that_hangs(self) -> None:
        async def hanging(_host: str, _port: int) -> Sequence[str]:
            await asyncio.Event().wait()
            return []

        client = Outbound(connect_timeout=0.05, total_timeout=5, resolve=hanging)
        with pytest.raises(OutboundFailed, match="ConnectTimeout"):
            await client.request("GET", f"https://{NAME}/")
        await client.aclose()

    async def test_gives_up_on_a_connection_that_is_not_accepted(self) -> None:
        with socket.socket() as full:
            full.bind((HOST, 0))
            full.listen(0)
            url = f"https://{NAME}:{full.getsockname()[1]}/"
            client = Outbound(connect_timeout=0.1, total_timeout=5, resolve=Names([HOST]))
            with pytest.raises(OutboundFailed, match="Connect"):
                # The kernel accepts, and nobody speaks TLS.
                await client.request("GET", url, allow_private=[NAME])
            await client.aclose()

    async def test_nobody_listens(self, outbound: Outbound) -> None:
        with socket.socket() as unused:
            unused.bind((HOST, 0))
            with pytest.raises(OutboundFailed):
                await outbound.request("GET", f"http://{HOST}:{unused.getsockname()[1]}/", allow_private=NAMED)

    async def test_a_connection_closed_without_an_answer(self, server: ScriptedServer, outbound: Outbound) -> None:
        server.drops()
        with pytest.raises(OutboundFailed):
            await outbound.request("POST", server.url, allow_private=NAMED, form={"refresh_token": "x"})
        assert len(server.seen) == 1

    async def test_a_host_that_hangs_holds_up_no_other(self, server: ScriptedServer, servers: LoopbackServers) -> None:
        """Security C8; nor another server of the same machine."""
        server.hangs()
        healthy = serve_scripted(servers)
        healthy.answers(b"well")
        client = Outbound(total_timeout=2, resolve=Names([HOST]))
        url = f"http://{NAME}:{server.port}/"
        stuck = [asyncio.create_task(client.request("GET", url, allow_private=NAMED)) for _ in range(200)]
        while len(server.seen) < 64:
            await asyncio.sleep(0.01)
        for other in (healthy.url, f"http://{NAME}:{healthy.port}/"):
            assert (await client.request("GET", other, allow_private=NAMED)).body == b"well"
        assert not any(task.done() for task in stuck)
        assert len(server.seen) == 64
        for task in stuck:
            task.cancel()
        await asyncio.gather(*stuck, return_exceptions=True)
        await client.aclose()

    async def test_lanes_do_not_hold_up_each_other(self, server: ScriptedServer) -> None:
        """What strangers cause takes few places at a host, and none of the others'."""
        server.hangs()
        client = Outbound(total_timeout=5, resolve=Names([HOST]))
        url = f"http://{NAME}:{server.port}/"

        def call(lane: str) -> asyncio.Task[Reply]:
            return asyncio.create_task(client.request("GET", url, allow_private=NAMED, lane=lane))

        stuck = [call("strangers") for _ in range(200)]
        for reached, lane in ((16, "sign-in"), (17, "")):
            while len(server.seen) < reached:
                await asyncio.sleep(0.01)
            assert len(server.seen) == reached
            stuck.append(call(lane))
        while len(server.seen) < 18:
            await asyncio.sleep(0.01)
        for task in stuck:
            task.cancel()
        await asyncio.gather(*stuck, return_exceptions=True)
        await client.aclose()

    async def test_only_so_many_wait_in_a_lane(self, server: ScriptedServer) -> None:
        """Whoever waits holds up a request to us; one more hears at once that there is no answer."""
        server.hangs()
        client = Outbound(total_timeout=60, resolve=Names([HOST]))
        url = f"http://{NAME}:{server.port}/"

        def call(lane: str) -> asyncio.Task[Reply]:
            return asyncio.create_task(client.request("GET", url, allow_private=NAMED, lane=lane))

        calls = [call("strangers") for _ in range(200)]
        done, waiting = await asyncio.wait(calls, return_when=asyncio.FIRST_EXCEPTION)
        while len(done) < 200 - 128:
            more, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_EXCEPTION)
            done |= more
        failures = [task.exception() for task in done]
        assert all(isinstance(failure, OutboundFailed) for failure in failures)
        assert all(str(failure).endswith(f"{NAME}: too many calls wait") for failure in failures)
        clients = [call("") for _ in range(200)]
        async with asyncio.timeout(10):
            while len(server.seen) < 16 + 64:
                await asyncio.sleep(0.01)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        free = call("strangers")
        async with asyncio.timeout(10):
            while len(server.seen) < 16 + 64 + 1:
                await asyncio.sleep(0.01)
        assert not any(task.done() for task in [free, *clients])
        for task in [free, *clients]:
            task.cancel()
        await asyncio.gather(free, *clients, return_exceptions=True)
        await client.aclose()


class TestReply:
    def test_shows_no_content(self) -> None:
        reply = Reply(status=200, headers={"set-cookie": "s3cret"}, body=b"s3cret")
        assert "s3cret" not in repr(reply)

    @pytest.mark.parametrize(
        "body",
        [b"", b"{", b"<html>", b'{"a": NaN}', b"[" * 100_000, b"\xff", b'"\x00"', b"9" * 5000, b'{"t": "s3cret"'],
    )
    def test_refuses_what_is_no_json_without_repeating_it(self, body: bytes) -> None:
        with pytest.raises(OutboundFailed) as failed:
            Reply(status=200, headers={}, body=body).json()
        assert "s3cret" not in str(failed.value)
        assert failed.value.__suppress_context__

    def test_reads_json(self) -> None:
        assert Reply(status=200, headers={}, body=b'\xef\xbb\xbf{"a": 1}').json() == {"a": 1}
