"""TLS as the guarded client speaks it (security C1): the name is proven, whatever address was checked and called."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from vaultd.errors import AddressRefused, OutboundFailed
from vaultd.outbound import Outbound

HOST = "127.0.0.1"
NAME, OTHER = "provider.test", "other.test"


@dataclass(slots=True)
class TlsServer:
    """Proves `provider.test`, answers `hello`, and remembers which names were asked for."""

    port: int = 0
    trust: ssl.SSLContext = field(default_factory=lambda: ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    names: list[str | None] = field(default_factory=list)
    heads: list[bytes] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                self.heads.append(head)
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello")
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


def _certificate(folder: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = folder / "server.pem"
    path.write_bytes(private + certificate.public_bytes(pem))
    return path


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[TlsServer]:
    path = _certificate(tmp_path)
    served = TlsServer()
    served.trust.load_verify_locations(path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    context.sni_callback = lambda _socket, name, _context: served.names.append(name)
    listening = await asyncio.start_server(served.serve, HOST, 0, ssl=context)
    served.port = listening.sockets[0].getsockname()[1]
    yield served
    listening.close()


async def _loopback(_host: str, _port: int) -> list[str]:
    return [HOST]


@pytest.fixture
async def outbound(server: TlsServer) -> AsyncIterator[Outbound]:
    client = Outbound(resolve=_loopback, ssl_context=server.trust)
    yield client
    await client.aclose()


async def test_name_in_sni_and_host_and_address_from_the_check(server: TlsServer, outbound: Outbound) -> None:
    reply = await outbound.request("GET", f"https://{NAME}:{server.port}/", allow_private=[NAME])
    assert reply.body == b"hello"
    assert server.names == [NAME]
    assert f"host: {NAME}:{server.port}\r\n".encode() in server.heads[0].lower()


async def test_a_certificate_for_another_name_is_refused(server: TlsServer, outbound: Outbound) -> None:
    with pytest.raises(OutboundFailed, match="CERTIFICATE_VERIFY_FAILED"):
        await outbound.request("GET", f"https://{OTHER}:{server.port}/", allow_private=[OTHER])
    assert server.heads == []


async def test_a_connection_proven_for_one_name_is_not_used_for_another(server: TlsServer, outbound: Outbound) -> None:
    await outbound.request("GET", f"https://{NAME}:{server.port}/", allow_private=[NAME])
    with pytest.raises(OutboundFailed):
        await outbound.request("GET", f"https://{OTHER}:{server.port}/", allow_private=[OTHER])
    assert len(server.heads) == 1


async def test_a_certificate_that_nobody_vouches_for_is_refused(server: TlsServer) -> None:
    client = Outbound(resolve=_loopback)
    with pytest.raises(OutboundFailed, match="CERTIFICATE_VERIFY_FAILED"):
        await client.request("GET", f"https://{NAME}:{server.port}/", allow_private=[NAME])
    await client.aclose()
    assert server.heads == []


async def test_an_open_private_connection_serves_no_call_without_the_permission(
    server: TlsServer, outbound: Outbound
) -> None:
    url = f"https://{NAME}:{server.port}/"
    await outbound.request("GET", url, allow_private=[NAME])
    with pytest.raises(AddressRefused):
        await outbound.request("GET", url)
    await outbound.request("GET", url, allow_private=[NAME])
    assert len(server.heads) == 2
    assert len(server.names) == 1
