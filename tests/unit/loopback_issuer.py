"""An OIDC issuer on a loopback port, as far as a verifier of its tokens can see it, and a clock to set."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from joserfc.jwk import ECKey, Key
from joserfc.jws import JWSRegistry
from joserfc.util import urlsafe_b64encode

from vaultd.terms import Secret

HOST = "127.0.0.1"
DISCOVERY = "/.well-known/openid-configuration"
JWKS = "/jwks"


class SetClock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2030, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def move(self, **by: float) -> None:
        self.now += timedelta(**by)

    def seconds(self) -> int:
        return int(self.now.timestamp())


class LoopbackIssuer:
    """Serves discovery and a JWK Set; counts what is asked for; can be made to fail or to wait."""

    def __init__(self) -> None:
        self.key = ECKey.generate_key("P-256", parameters={"kid": "first"})
        self.published: list[Mapping[str, Any]] = [self.key.as_dict()]
        self.asked: Counter[str] = Counter()
        self.status = 200
        self.named_issuer: str | None = None
        self.named_jwks: object = None
        self.jwks_body: bytes | None = None
        self.open = asyncio.Event()
        self.open.set()
        self._server: asyncio.Server | None = None
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, HOST, self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Refuse connections from now on."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def rotate(self, kid: str) -> Key:
        """Sign with a new key from now on, and publish only that one."""
        self.key = ECKey.generate_key("P-256", parameters={"kid": kid})
        self.published = [self.key.as_dict()]
        return self.key

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        path = request.split(b" ")[1].decode()
        self.asked[path] += 1
        await self.open.wait()
        body = self._body(path)
        writer.write(
            f"HTTP/1.1 {self.status} X\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n".encode()
            + body
        )
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    def _body(self, path: str) -> bytes:
        if path == DISCOVERY:
            issuer = self.named_issuer or self.url
            return json.dumps({"issuer": issuer, "jwks_uri": self.named_jwks or self.url + JWKS}).encode()
        if self.jwks_body is not None:
            return self.jwks_body
        return json.dumps({"keys": self.published}).encode()


def sign(key: Key, header: Mapping[str, Any], claims: Mapping[str, Any]) -> Secret:
    """A compact JWS with exactly this header and these claims."""
    return sign_raw(key, header["alg"], json.dumps(header).encode(), json.dumps(claims).encode())


def sign_raw(key: Key, alg: str, header: bytes, claims: bytes) -> Secret:
    """A compact JWS over exactly these bytes."""
    signing_input = urlsafe_b64encode(header) + b"." + urlsafe_b64encode(claims)
    signature = JWSRegistry.algorithms[alg].sign(signing_input, key)
    return Secret((signing_input + b"." + urlsafe_b64encode(signature)).decode())
