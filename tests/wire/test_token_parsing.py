"""Security A1: what is malformed is refused as OAuth refuses it, and nothing else happens."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from urllib.parse import urlencode

import httpx
import pytest

from tests.wire.vault import ACCESS_TOKEN, TOKEN_EXCHANGE, App, Vault, fresh
from vaultd.sandbox.dev_config import SAMPLE_AGENT

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
GOOD = {
    "grant_type": TOKEN_EXCHANGE,
    "subject_token": "x.y.z",
    "subject_token_type": ACCESS_TOKEN,
    "audience": "github",
}
ENCODED = urlencode(GOOD).encode()


def _json(document: object) -> bytes:
    return json.dumps(document).encode()


def _nested(depth: int) -> bytes:
    return b'{"grant_type":' + b"[" * depth + b"]" * depth + b"}"


MALFORMED: dict[str, tuple[str, bytes]] = {
    "no content type": ("", ENCODED),
    "text": ("text/plain", ENCODED),
    "multipart": ("multipart/form-data; boundary=x", ENCODED),
    "xml": ("application/xml", b"<x/>"),
    "a name that only begins like JSON": ("application/json5", _json(GOOD)),
    "nothing at all": (FORM, b""),
    "no equals sign": (FORM, b"grant_type"),
    "repeated subject_token": (FORM, ENCODED + b"&subject_token=again"),
    "repeated grant_type": (FORM, ENCODED + b"&grant_type=client_credentials"),
    "repeated scope": (FORM, ENCODED + b"&scope=a&scope=a"),
    "repeated empty scope": (FORM, ENCODED + b"&scope=&scope="),
    "repeated refused_token": (FORM, ENCODED + b"&refused_token=a&refused_token=a"),
    "too long a refused_token": (FORM, ENCODED + b"&refused_token=" + b"t" * 16_385),
    "repeated client_id": (FORM, ENCODED + b"&client_id=a&client_id=b"),
    "repeated unknown": (FORM, ENCODED + b"&colour=a&colour=b"),
    "repeated by another spelling": (FORM, ENCODED + b"&subject%5Ftoken=again"),
    "empty grant_type": (FORM, urlencode(GOOD | {"grant_type": ""}).encode()),
    "empty subject_token": (FORM, urlencode(GOOD | {"subject_token": ""}).encode()),
    "empty subject_token_type": (FORM, urlencode(GOOD | {"subject_token_type": ""}).encode()),
    "unsupported subject_token_type": (FORM, urlencode(GOOD | {"subject_token_type": "urn:x"}).encode()),
    "refresh token as a subject": (
        FORM,
        urlencode(GOOD | {"subject_token_type": "urn:ietf:params:oauth:token-type:refresh_token"}).encode(),
    ),
    "unsupported requested_token_type": (FORM, urlencode(GOOD | {"requested_token_type": "urn:x"}).encode()),
    "actor_token without its type": (FORM, ENCODED + b"&actor_token=a.b.c"),
    "actor_token_type without a token": (FORM, ENCODED + b"&actor_token_type=" + ACCESS_TOKEN.encode()),
    "secret without a client": (FORM, ENCODED + b"&client_secret=s"),
    "NUL in a value": (FORM, ENCODED + b"&login_hint=a%00b"),
    "NUL in a name": (FORM, ENCODED + b"&a%00b=c"),
    "raw NUL": (FORM, ENCODED + b"&login_hint=a\x00b"),
    "invalid UTF-8, escaped": (FORM, ENCODED + b"&login_hint=%ff%fe"),
    "invalid UTF-8, raw": (FORM, ENCODED + b"&login_hint=\xff\xfe"),
    "an escaped surrogate": (FORM, ENCODED + b"&login_hint=%ed%a0%80"),
    "10,000 parameters": (FORM, b"&".join(b"%04x=" % number for number in range(10_000))),
    "JSON, empty": (JSON, b""),
    "JSON, cut off": (JSON, _json(GOOD)[:-4]),
    "JSON, an array": (JSON, _json([GOOD])),
    "JSON, a string": (JSON, b'"grant_type"'),
    "JSON, null": (JSON, b"null"),
    "JSON, NaN": (JSON, b'{"grant_type": NaN}'),
    "JSON, a number": (JSON, _json(GOOD | {"subject_token": 7})),
    "JSON, a huge number": (JSON, b'{"grant_type": ' + b"9" * 5000 + b"}"),
    "JSON, a boolean": (JSON, _json(GOOD | {"scope": True})),
    "JSON, null inside": (JSON, _json(GOOD | {"scope": None})),
    "JSON, a list inside": (JSON, _json(GOOD | {"audience": ["github"]})),
    "JSON, an object inside": (JSON, _json(GOOD | {"subject_token": {"a": "b"}})),
    "JSON, repeated member": (JSON, _json(GOOD)[:-1] + b', "subject_token": "again"}'),
    "JSON, 25,000 deep": (JSON, _nested(25_000)),
    "JSON, unpaired surrogate": (JSON, _json(GOOD)[:-1] + b', "login_hint": "\\ud800"}'),
    "JSON, NUL": (JSON, _json(GOOD | {"login_hint": "a\x00b"})),
    "JSON, invalid UTF-8": (JSON, b'{"grant_type": "\xff"}'),
    "JSON, 5,000 members": (JSON, _json({f"p{number}": "" for number in range(5_000)})),
}


async def _post(vault: Vault, content_type: str, body: bytes, url: str = "/oauth/token") -> httpx.Response:
    headers = {"Content-Type": content_type} if content_type else {}
    return await vault.http.post(url, content=body, headers=headers)


def _check_refused(answer: httpx.Response, status: int = 400, error: str = "invalid_request") -> None:
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert body["error"] == error
    # FastAPI's own shape never appears.
    assert set(body) == {"error", "error_description"}
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["pragma"] == "no-cache"
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize("case", MALFORMED)
async def test_a1_malformed_is_invalid_request(vault: Vault, case: str) -> None:
    _check_refused(await _post(vault, *MALFORMED[case]))


@pytest.mark.parametrize("name", sorted(GOOD))
async def test_a1_a_missing_parameter_is_invalid_request(vault: Vault, world_token: str, name: str) -> None:
    form = {key: value for key, value in (GOOD | {"subject_token": world_token}).items() if key != name}
    _check_refused(await _post(vault, FORM, urlencode(form).encode()))


@pytest.mark.parametrize("query", ["grant_type=x", "audience=github", "x", "access_token=a", "%00"])
async def test_a1_parameters_in_the_query_are_refused(vault: Vault, query: str) -> None:
    _check_refused(await _post(vault, FORM, ENCODED, f"/oauth/token?{query}"))


async def test_a1_parameters_are_never_read_from_the_query(vault: Vault) -> None:
    _check_refused(await _post(vault, FORM, b"", f"/oauth/token?{ENCODED.decode()}"))


async def test_a1_two_content_types_are_refused(vault: Vault) -> None:
    headers = [("Content-Type", FORM), ("Content-Type", JSON)]
    _check_refused(await vault.http.post("/oauth/token", content=ENCODED, headers=headers))


@pytest.mark.parametrize("content_type", [FORM, JSON, "text/plain"])
async def test_a1_a_body_above_64_kib_is_413(vault: Vault, content_type: str) -> None:
    _check_refused(await _post(vault, content_type, b"a" * (64 * 1024 + 1)), status=413)


async def test_a1_a_body_of_unknown_length_above_64_kib_is_413(vault: Vault) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(65):
            yield b"a" * 1024

    answer = await vault.http.post("/oauth/token", content=chunks(), headers={"Content-Type": FORM})
    _check_refused(answer, status=413)


async def test_a1_a_body_of_64_kib_is_read(vault: Vault) -> None:
    body = ENCODED + b"&filler="
    _check_refused(await _post(vault, FORM, body + b"a" * (64 * 1024 - len(body))))


async def test_a1_half_a_request_is_none(vault: Vault, app: App) -> None:
    """Whoever leaves before the body is whole has asked for nothing: what is missing might have narrowed it."""
    await app.connect()
    body = urlencode(vault.exchange_form(app.session_token)).encode()
    for missing in (1, 40):
        request_id = fresh("half")
        head = f"POST /oauth/token HTTP/1.1\r\nHost: vault\r\nContent-Type: {FORM}\r\nX-Request-Id: {request_id}\r\n"
        reader, writer = await asyncio.open_connection(vault.http.base_url.host, vault.http.base_url.port)
        writer.write(f"{head}Content-Length: {len(body) + missing}\r\n\r\n".encode() + body)
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        assert await reader.read() == b""
    # Its place in the queue is behind theirs, so that they would have left an event by now.
    whole = await vault.exchange(app.session_token)
    assert whole.status_code == 200
    events = (await vault.audit(subject_issuer=vault.world.places.issuer, subject=app.user))["events"]
    assert [event["type"] for event in events] == ["token.exchanged", "connection.connected"]


async def test_an_unknown_grant_is_unsupported_grant_type(vault: Vault) -> None:
    for grant in ("password", "authorization_code", "refresh_token", "urn:x"):
        answer = await _post(vault, FORM, urlencode(GOOD | {"grant_type": grant}).encode())
        _check_refused(answer, error="unsupported_grant_type")


async def test_two_ways_of_authentication_are_refused(vault: Vault) -> None:
    form = GOOD | {"client_id": vault.agent[0], "client_secret": vault.agent[1]}
    _check_refused(await vault.http.post("/oauth/token", data=form, auth=vault.agent))


async def test_a_client_id_beside_basic_must_be_equal(vault: Vault) -> None:
    answer = await vault.http.post("/oauth/token", data=GOOD | {"client_id": SAMPLE_AGENT}, auth=vault.agent)
    _check_refused(answer)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
async def test_other_methods_are_405(vault: Vault, method: str) -> None:
    answer = await vault.http.request(method, "/oauth/token")
    assert answer.status_code == 405
    assert answer.headers["cache-control"] == "no-store"


async def test_the_token_endpoint_has_no_cors(vault: Vault) -> None:
    headers = {"Origin": "https://evil.example", "Content-Type": FORM}
    answer = await vault.http.post("/oauth/token", content=ENCODED, headers=headers)
    assert not [name for name in answer.headers if name.startswith("access-control-")]


@pytest.fixture
def world_token(vault: Vault) -> str:
    return vault.world.issuer.mint("alice", azp=SAMPLE_AGENT)
