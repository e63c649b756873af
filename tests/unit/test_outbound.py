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

from tests.unit.scripted_server import HOST, ScriptedServer, serve_scripted
from vaultd.errors import AddressRefused, OutboundFailed
from vaultd.outbound import Outbound, Reply, check_address
from vaultd.sandbox.servers import LoopbackServers
from vaultd.terms import Secret

NAME = "provider.test"
NAMED = (HOST, NAME)


class Names:
    """A name service that says what it is told, and counts."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self._answers = itertools.cycle(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        return next(self._answers)


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


class TestAddressPolicy:
    @pytest.mark.parametrize(
        "address",
        [
            "127.0.0.1",
            "127.8.8.8",
            "::1",
            "0.0.0.0",  # noqa: S104 - an address to refuse, not to listen on
            "::",
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "100.100.100.200",
            "169.254.169.254",
            "168.63.129.16",
            "192.0.0.192",
            "fd00:ec2::254",
            "fe80::1",
            "fe80::1%eth0",
            "fc00::1",
            "fec0::1",
            "224.0.0.1",
            "ff02::1",
            "240.0.0.1",
            "255.255.255.255",
            "192.0.2.1",
            "2001:db8::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "2001:0:7f00:1::",
        ],
    )
    def test_refuses_what_is_not_the_public_internet(self, address: str) -> None:
        with pytest.raises(AddressRefused):
            check_address(address)

    @pytest.mark.parametrize("address", ["140.82.112.3", "2606:50c0:8000::153", "::ffff:8.8.8.8", "64:ff9b::808:808"])
    def test_lets_public_addresses_pass(self, address: str) -> None:
        check_address(address)

    @pytest.mark.parametrize(
        "host",
        [
            "127.0.0.1",
            "[::1]",
            "10.0.0.1",
            "169.254.169.254",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[0:0:0:0:0:ffff:7f00:0001]",
            "2130706433",
            "0x7f000001",
            "0x7f.1",
            "0177.0.0.1",
            "127.1",
            "127.0.0.1.",
            "localhost",
            "LOCALHOST",
            "localhost.",
            "0.0.0.0",  # noqa: S104 - an address to refuse, not to listen on
            "１２７.0.0.1",  # noqa: RUF001 - the spelling is the test
            "127。0。0。1",
            "user@127.0.0.1",
            "provider.test@127.0.0.1",
            "127.0.0.1#@provider.test",
        ],
    )
    async def test_refuses_every_spelling_of_a_private_host(
        self, host: str, server: ScriptedServer, outbound: Outbound
    ) -> None:
        with pytest.raises((AddressRefused, OutboundFailed)):
            await outbound.request("GET", f"https://{host}:{server.port}/")
        with pytest.raises((AddressRefused, OutboundFailed)):
            await outbound.request("GET", f"http://{host}:{server.port}/")
        assert server.seen == []

    @pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "10.0.0.1", "169.254.169.254", "[::ffff:127.0.0.1]"])
    async def test_says_that_it_was_the_address(self, host: str, outbound: Outbound) -> None:
        with pytest.raises(AddressRefused):
            await outbound.request("GET", f"https://{host}/")

    @pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "0177.0.0.1", "localhost"])
    async def test_says_so_for_odd_spellings_too(self, host: str, outbound: Outbound) -> None:
        with pytest.raises(AddressRefused):
            await outbound.request("GET", f"https://{host}/")

    async def test_naming_one_spelling_allows_no_other(self, server: ScriptedServer, outbound: Outbound) -> None:
        with pytest.raises(AddressRefused):
            await outbound.request("GET", f"http://127.1:{server.port}/", allow_private=[HOST])
        assert server.seen == []

    async def test_naming_a_host_allows_it(self, server: ScriptedServer, outbound: Outbound) -> None:
        server.answers(b"here")
        assert (await outbound.request("GET", server.url, allow_private=[HOST])).body == b"here"

    @pytest.mark.parametrize("written", ["::1", "[::1]"])
    async def test_an_ipv6_host_may_be_named_with_or_without_brackets(self, written: str, outbound: Outbound) -> None:
        with pytest.raises(OutboundFailed):
            await outbound.request("GET", "http://[::1]:1/", allow_private=[written])

    @pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "169.254.169.254", "::ffff:127.0.0.1", "::1"])
    async def test_refuses_a_name_that_resolves_to_a_private_address(self, address: str) -> None:
        client = Outbound(resolve=Names([address]))
        with pytest.raises(AddressRefused):
            await client.request("GET", f"https://{NAME}/")
        await client.aclose()

    async def test_refuses_a_name_with_one_private_address_among_public_ones(self) -> None:
        client = Outbound(resolve=Names(["140.82.112.3", "127.0.0.1"]))
        with pytest.raises(AddressRefused):
            await client.request("GET", f"https://{NAME}/")
        await client.aclose()

    async def test_resolves_once_and_connects_to_what_it_checked(self, server: ScriptedServer) -> None:
        server.answers(b"")
        names = Names([HOST], ["203.0.113.1"])
        client = Outbound(resolve=names)
        await client.request("GET", f"http://{NAME}:{server.port}/", allow_private=[NAME])
        assert names.asked == [NAME]
        assert server.last.headers["host"] == f"{NAME}:{server.port}"
        await client.aclose()

    async def test_tries_the_next_address_when_one_does_not_answer(self, server: ScriptedServer) -> None:
        server.answers(b"found")
        client = Outbound(resolve=Names(["::1", "::1", HOST]))
        reply = await client.request("GET", f"http://{NAME}:{server.port}/", allow_private=[NAME])
        assert reply.body == b"found"
        await client.aclose()

    @pytest.mark.parametrize(
        "url", ["ftp://example.com/", "file:///etc/passwd", "https:///x", "example.com", "http://["]
    )
    async def test_refuses_what_is_no_https_url(self, url: str, outbound: Outbound) -> None:
        with pytest.raises(AddressRefused):
            await outbound.request("GET", url)

    async def test_refuses_plain_http_to_hosts_that_are_not_named(self, outbound: Outbound) -> None:
        with pytest.raises(AddressRefused):
            await outbound.request("GET", "http://example.com/")

    async def test_a_name_without_address_is_no_answer(self, outbound: Outbound) -> None:
        with pytest.raises(OutboundFailed):
            await outbound.request("GET", "https://nowhere.invalid/")
        with pytest.raises(OutboundFailed):
            await outbound.request("GET", f"https://{'a' * 64}.example/")


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
        """Security C8."""
        server.hangs()
        healthy = serve_scripted(servers)
        healthy.answers(b"well")
        client = Outbound(total_timeout=2, resolve=Names([HOST]))
        url = f"http://{NAME}:{server.port}/"
        stuck = [asyncio.create_task(client.request("GET", url, allow_private=NAMED)) for _ in range(200)]
        while len(server.seen) < 64:  # noqa: ASYNC110 - the server is in another thread
            await asyncio.sleep(0.01)
        assert (await client.request("GET", healthy.url, allow_private=NAMED)).body == b"well"
        assert not any(task.done() for task in stuck)
        assert len(server.seen) == 64
        for task in stuck:
            task.cancel()
        await asyncio.gather(*stuck, return_exceptions=True)
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
