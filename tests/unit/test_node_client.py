"""npm's `oauth4webapi`, as the tests of the token endpoint count on it."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from urllib.parse import parse_qsl, unquote_plus

import pytest

from tests.support.node import exchange


class TokenEndpoint:
    """Metadata and a token endpoint that notes the request and answers what it was told to."""

    def __init__(self) -> None:
        self.issuer = ""
        self.status = 200
        self.headers: dict[str, str] = {}
        self.body: dict[str, object] = {}
        self.authorization = ""
        self.form: list[tuple[str, str]] = []

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[TokenEndpoint]:
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self.issuer = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with server:
            yield self

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        headers = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if line)
        if head.startswith("GET /.well-known/oauth-authorization-server "):
            self._write(writer, 200, {}, {"issuer": self.issuer, "token_endpoint": f"{self.issuer}/oauth/token"})
        else:
            body = await reader.readexactly(int(headers["content-length"]))
            self.form = parse_qsl(body.decode())
            self.authorization = next((v for v in head.split("\r\n") if v.lower().startswith("authorization:")), "")
            self._write(writer, self.status, self.headers, self.body)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    def _write(
        self, writer: asyncio.StreamWriter, status: int, headers: Mapping[str, str], body: Mapping[str, object]
    ) -> None:
        content = json.dumps(body).encode()
        sent = {"Content-Type": "application/json", "Content-Length": str(len(content)), "Connection": "close"}
        lines = [f"HTTP/1.1 {status} X", *(f"{name}: {value}" for name, value in {**sent, **headers}.items())]
        writer.write("\r\n".join([*lines, "", ""]).encode() + content)


@pytest.fixture
async def endpoint() -> AsyncIterator[TokenEndpoint]:
    async with TokenEndpoint().serve() as serving:
        yield serving


def request_to(endpoint: TokenEndpoint, **changed: object) -> dict[str, object]:
    parameters = {"subject_token": "eyJ", "audience": "github"}
    known = {"issuer": endpoint.issuer, "clientId": "agent:one", "clientSecret": "s3cret/+ %"}
    return {**known, "parameters": parameters, **changed}


async def test_the_client_gives_back_the_whole_answer(endpoint: TokenEndpoint) -> None:
    endpoint.body = {"access_token": "gho_x", "token_type": "Bearer", "expires_in": 60, "connection": "github"}
    outcome = await exchange(request_to(endpoint))
    assert outcome == {"ok": True, "result": {**endpoint.body, "token_type": "bearer"}}
    assert dict(endpoint.form)["grant_type"] == "urn:ietf:params:oauth:grant-type:token-exchange"
    assert dict(endpoint.form)["audience"] == "github"
    given = base64.b64decode(endpoint.authorization.split()[-1]).decode()
    assert [unquote_plus(piece) for piece in given.split(":")] == ["agent:one", "s3cret/+ %"]


async def test_the_client_can_put_its_secret_into_the_form(endpoint: TokenEndpoint) -> None:
    endpoint.body = {"access_token": "gho_x", "token_type": "Bearer", "expires_in": 60}
    assert (await exchange(request_to(endpoint, clientAuth="client_secret_post")))["ok"] is True
    assert endpoint.authorization == ""
    assert dict(endpoint.form)["client_secret"] == "s3cret/+ %"


async def test_the_client_gives_the_error_with_its_members(endpoint: TokenEndpoint) -> None:
    endpoint.status = 400
    endpoint.body = {"error": "interaction_required", "error_description": "Connect it.", "reason": "not_connected"}
    outcome = await exchange(request_to(endpoint))
    assert (outcome["ok"], outcome["status"], outcome["error"]) == (False, 400, "interaction_required")
    assert outcome["body"] == endpoint.body


async def test_the_client_gives_the_challenge_of_a_401(endpoint: TokenEndpoint) -> None:
    endpoint.status = 401
    endpoint.headers = {"WWW-Authenticate": 'Basic realm="vaultd"'}
    endpoint.body = {"error": "invalid_client"}
    outcome = await exchange(request_to(endpoint))
    assert (outcome["kind"], outcome["status"]) == ("WWWAuthenticateChallengeError", 401)
    assert outcome["challenge"] == {"scheme": "basic", "parameters": {"realm": "vaultd"}}


async def test_the_client_says_when_nobody_answers(endpoint: TokenEndpoint) -> None:
    outcome = await exchange(request_to(endpoint, issuer="http://127.0.0.1:9"))
    assert outcome["ok"] is False
    assert "status" not in outcome
