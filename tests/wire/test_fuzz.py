"""Security F3, the part that every run affords: raw requests over all routes, never a 5xx, never a hang."""

from __future__ import annotations

import base64
import json
import socket
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from urllib.parse import quote_from_bytes, urlencode, urlsplit

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.wire.vault import ACCESS_TOKEN, TOKEN_EXCHANGE
from vaultd.sandbox.dev_config import BRIEFING_AGENT, OPERATOR, SAMPLE_AGENT
from vaultd.sandbox.person import ACCOUNT_SCOPES
from vaultd.sandbox.world import World, start_world

REQUESTS = 3_000
PATIENCE = 10.0
"""Seconds after which a request hangs."""
FORM, JSON = b"application/x-www-form-urlencoded", b"application/json"
GET, POST, DELETE = b"GET", b"POST", b"DELETE"
ROUTES = (
    (POST, b"/oauth/token"),
    (POST, b"/me/v1/connected-accounts/connect"),
    (POST, b"/me/v1/connected-accounts/complete"),
    (GET, b"/me/v1/connected-accounts/accounts"),
    (DELETE, b"/me/v1/connected-accounts/accounts/{}"),
    (GET, b"/me/v1/connected-accounts/connections"),
    (GET, b"/me/v1/connected-accounts/activity"),
    (GET, b"/v1/audit/events"),
    (GET, b"/auth/connect"),
    (GET, b"/auth/connect/{}"),
    (GET, b"/auth/callback/{}"),
    (GET, b"/auth/login"),
    (GET, b"/auth/login/callback"),
    (POST, b"/auth/logout"),
    (GET, b"/connections"),
    (GET, b"/connections/activity"),
    (GET, b"/connections/logo"),
    (GET, b"/connections/{}/disconnect"),
    (POST, b"/connections/{}/disconnect"),
    (POST, b"/connections/away"),
    (GET, b"/.well-known/{}"),
    (GET, b"/health/{}"),
    (GET, b"/docs"),
    (GET, b"/{}"),
)
METHODS = (GET, POST, DELETE, b"HEAD", b"OPTIONS", b"PUT", b"PATCH", b"TRACE")
NAMES = (
    *("from", "take", "connection", "cursor", "limit", "since", "until", "type", "decision", "subject", "client_id"),
    *(
        "subject_issuer",
        "connection_id",
        "lang",
        "ticket",
        "state",
        "code",
        "error",
        "iss",
        "continue",
        "return_to",
        "scope",
    ),
    *("grant_type", "subject_token", "subject_token_type", "audience", "resource", "actor_token", "actor_token_type"),
    *("requested_token_type", "client_secret", "client_assertion", "client_assertion_type", "login_hint", "csrf"),
    *("redirect_uri", "scopes", "code_challenge", "code_verifier", "auth_session", "connect_code"),
)


@dataclass(frozen=True, slots=True)
class Raw:
    """A request as it goes over the wire. `whole`: its framing is right, so that it must be answered."""

    method: bytes
    target: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    whole: bool

    def encode(self) -> bytes:
        lines = [b"%s %s HTTP/1.1" % (self.method, self.target), *(b"%s: %s" % pair for pair in self.headers)]
        return b"\r\n".join(lines) + b"\r\n\r\n" + self.body


# What a server lets through in a header (RFC 9110 §5.5); anything else is tried by the requests whose framing is wrong.
_CONTROLS = bytes(range(32)) + b"\x7f"
_plain = st.binary(max_size=40).map(lambda raw: raw.translate(None, _CONTROLS))
_text = st.one_of(
    st.sampled_from(("github", "access_token", "%00", "\x00", "..", "'", "1", "-1", "2026-01-01T00:00:00Z", "{}")),
    st.sampled_from(
        (TOKEN_EXCHANGE, "client_credentials", ACCESS_TOKEN, "a.b.c", "00000000-0000-4000-8000-000000000000")
    ),
    st.text(max_size=30),
)
_pairs = st.lists(st.tuples(st.sampled_from(NAMES), _text), max_size=6)
_tree = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), _text),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.sampled_from(NAMES), inner, max_size=6)),
    max_leaves=12,
)


def _encoded(pairs: list[tuple[str, str]]) -> bytes:
    return urlencode(pairs, errors="surrogatepass").encode()


_bodies = st.one_of(
    st.just(b""),
    st.binary(max_size=200),
    _pairs.map(_encoded),
    _tree.map(lambda tree: json.dumps(tree).encode("utf-8", "surrogatepass")),
    # Cut off, and far too long.
    st.tuples(_tree, st.integers(1, 30)).map(lambda pair: json.dumps(pair[0]).encode()[: -pair[1]]),
    st.sampled_from((b"[" * 20_000, b"a=" + b"%41" * 30_000, b'{"a":' * 9_000, b"\xff" * 70_000)),
)


@st.composite
def _targets(draw: st.DrawFn, path: bytes) -> bytes:
    while b"{}" in path:
        filled = draw(st.one_of(_text.map(lambda text: text.encode("utf-8", "surrogatepass")), st.binary(max_size=20)))
        path = path.replace(
            b"{}", quote_from_bytes(filled, safe=draw(st.sampled_from(("", "/:@")))).encode() or b"x", 1
        )
    query = draw(st.one_of(st.just(b""), _pairs.map(_encoded), st.binary(max_size=30).map(_quoted)))
    return path + (b"?" + query if query else b"")


def _quoted(raw: bytes) -> bytes:
    return quote_from_bytes(raw, safe="&=?/;+%").encode()


@st.composite
def _headers(draw: st.DrawFn, credentials: tuple[bytes, ...]) -> list[tuple[bytes, bytes]]:
    headers = draw(st.lists(_header, max_size=4))
    for name, values in (
        (
            b"Authorization",
            (*credentials, *credentials, b"Bearer", b"Bearer x", b"Basic", b"Basic OjpB", b"DPoP a.b.c"),
        ),
        (b"Content-Type", (FORM, FORM, JSON, JSON, b"multipart/form-data; boundary=x", b"multipart/form-data")),
    ):
        if draw(st.integers(0, 9)):
            headers.append((name, draw(st.sampled_from(values))))
    return headers


_header = st.one_of(
    st.tuples(
        st.sampled_from(
            (
                *(
                    b"Authorization",
                    b"Content-Type",
                    b"Cookie",
                    b"X-Request-Id",
                    b"If-None-Match",
                    b"Origin",
                    b"Accept",
                ),
                *(b"Access-Control-Request-Method", b"DPoP", b"X-Forwarded-For", b"Content-Encoding", b"Range"),
            )
        ),
        _plain,
    ),
    st.sampled_from(
        (
            (b"Cookie", b"vaultd_session=x; vaultd_browser=y"),
            (b"Expect", b"100-continue"),
            (b"Connection", b"Upgrade"),
            (b"Upgrade", b"websocket"),
            (b"Authorization", b"Bearer \xff"),
        )
    ),
)


@st.composite
def raw_requests(draw: st.DrawFn, credentials: tuple[bytes, ...]) -> Raw:
    method, path = draw(st.sampled_from(ROUTES))
    if not draw(st.integers(0, 9)):
        method = draw(st.sampled_from(METHODS))
    target = draw(_targets(path))
    headers = [(b"Host", b"vault.example"), *draw(_headers(credentials)), (b"Connection", b"close")]
    body = draw(_bodies)
    framing = draw(st.sampled_from(("length",) * 12 + ("chunked",) * 2 + ("wrong length", "wrong")))
    if framing == "chunked":
        half = len(body) // 2
        chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:half], body[half:]) if part)
        return Raw(method, target, (*headers, (b"Transfer-Encoding", b"chunked")), chunks + b"0\r\n\r\n", whole=True)
    if framing == "length":
        return Raw(method, target, (*headers, (b"Content-Length", b"%d" % len(body))), body, whole=True)
    if framing == "wrong length":
        said = draw(st.one_of(st.integers(-2, 300).map(lambda number: b"%d" % number), _plain))
        return Raw(method, target, (*headers, (b"Content-Length", said)), body, whole=False)
    anything = draw(st.binary(max_size=60))
    return Raw(method + anything[:3], target + anything, (*headers, (anything, anything)), body, whole=False)


class Speaker:
    """Sends bytes to the vault, and waits for what comes back."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.credentials = self._credentials()
        self.answered: Counter[int] = Counter()

    def send(self, raw: Raw) -> int | None:
        """The status, or None when the server closed the connection without an answer to nonsense."""
        address = urlsplit(self.world.places.vault)
        with socket.create_connection((address.hostname or "", address.port or 0), timeout=PATIENCE) as connection:
            try:
                connection.sendall(raw.encode())
                if not raw.whole:
                    # Nothing more comes: whoever waits for it waits in vain.
                    connection.shutdown(socket.SHUT_WR)
                with HTTPResponse(connection, method=raw.method.decode("latin-1")) as answer:
                    answer.begin()
                    answer.read()
                    # The server's own refusals, of what is no HTTP, have no such header.
                    if answer.headers["X-Request-Id"]:
                        self.answered[answer.status] += 1
                    return answer.status
            except (HTTPException, ConnectionError):
                # A body that is not read to its end may be cut off before the answer is read.
                assert not raw.whole or len(raw.body) > 64 * 1024, raw
                return None

    def _credentials(self) -> tuple[bytes, ...]:
        secrets = self.world.secrets
        basic = [(BRIEFING_AGENT, secrets.briefing_agent), (OPERATOR, secrets.operator)]
        issued = httpx.post(
            f"{self.world.places.vault}/oauth/token",
            data={"grant_type": "client_credentials"},
            auth=(OPERATOR, secrets.operator.reveal()),
            trust_env=False,
        )
        bearers = [
            issued.raise_for_status().json()["access_token"],
            self.world.issuer.mint("alice", azp=SAMPLE_AGENT, scope=ACCOUNT_SCOPES),
        ]
        return (
            *(b"Basic " + base64.b64encode(f"{name}:{secret.reveal()}".encode()) for name, secret in basic),
            *(b"Bearer " + token.encode() for token in bearers),
        )


@pytest.fixture(scope="module")
def speaker() -> Iterator[Speaker]:
    """A sandbox of its own: what is refused here throttles whoever comes from the same address."""
    with start_world(synced=False) as world:
        yield Speaker(world)


@settings(
    max_examples=REQUESTS,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(data=st.data())
def test_f3_no_request_is_answered_with_5xx_and_none_hangs(speaker: Speaker, data: st.DataObject) -> None:
    raw = data.draw(raw_requests(speaker.credentials))
    began = time.monotonic()
    status = speaker.send(raw)
    assert status is None or status < 500, raw
    assert time.monotonic() - began < PATIENCE, raw


def test_f3_after_all_that_the_vault_still_serves(speaker: Speaker) -> None:
    ready = httpx.get(f"{speaker.world.places.vault}/health/ready", trust_env=False)
    assert (ready.status_code, ready.json()) == (200, {"status": "ok"})
    # And the requests went deep enough: past the server, past the routes and past who asks.
    assert speaker.answered.total() > REQUESTS * 0.8, speaker.answered
    assert {200, 303, 400, 401, 404, 405, 413, 415} <= set(speaker.answered), speaker.answered
