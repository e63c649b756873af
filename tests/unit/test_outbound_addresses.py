"""Which addresses the guarded client calls (security C1), and that it calls the one it has checked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.unit.scripted_server import HOST, Names, ScriptedServer, serve_scripted
from vaultd.errors import AddressRefused, OutboundFailed
from vaultd.outbound import Outbound, check_address
from vaultd.sandbox.loopback import authorities
from vaultd.sandbox.servers import LoopbackServers

NAME = "provider.test"


@pytest.fixture(scope="module")
def servers() -> Iterator[LoopbackServers]:
    with LoopbackServers() as running:
        yield running


@pytest.fixture
def server(servers: LoopbackServers) -> ScriptedServer:
    return serve_scripted(servers)


@pytest.fixture
async def outbound() -> AsyncIterator[Outbound]:
    client = Outbound(ssl_context=authorities(), connect_timeout=0.5, total_timeout=0.5, max_bytes=10_000)
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
        client = Outbound(ssl_context=authorities(), resolve=Names([address]))
        with pytest.raises(AddressRefused):
            await client.request("GET", f"https://{NAME}/")
        await client.aclose()

    async def test_refuses_a_name_with_one_private_address_among_public_ones(self) -> None:
        client = Outbound(ssl_context=authorities(), resolve=Names(["140.82.112.3", "127.0.0.1"]))
        with pytest.raises(AddressRefused):
            await client.request("GET", f"https://{NAME}/")
        await client.aclose()

    async def test_resolves_once_and_connects_to_what_it_checked(self, server: ScriptedServer) -> None:
        server.answers(b"")
        names = Names([HOST], ["203.0.113.1"])
        client = Outbound(ssl_context=authorities(), resolve=names)
        await client.request("GET", f"http://{NAME}:{server.port}/", allow_private=[NAME])
        assert names.asked == [NAME]
        assert server.last.headers["host"] == f"{NAME}:{server.port}"
        await client.aclose()

    async def test_tries_the_next_address_when_one_does_not_answer(self, server: ScriptedServer) -> None:
        server.answers(b"found")
        client = Outbound(ssl_context=authorities(), resolve=Names(["::1", "::1", HOST]))
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
