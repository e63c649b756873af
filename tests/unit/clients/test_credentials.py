"""What a token request says about its client (api §1.4, RFC 6749 §2.3)."""

from __future__ import annotations

import base64

import pytest

from vaultd.clients.credentials import PresentedCredentials, from_request
from vaultd.errors import InvalidClient, InvalidRequest
from vaultd.terms import Secret


def _basic(text: str | bytes, scheme: str = "Basic") -> str:
    raw = text.encode() if isinstance(text, str) else text
    return f"{scheme} {base64.b64encode(raw).decode()}"


@pytest.mark.parametrize(
    ("text", "client_id", "secret"),
    [
        ("agent:s3cret", "agent", "s3cret"),
        ("agent:", "agent", ""),
        ("agent:a:b", "agent", "a:b"),
        ("a%3Ab:c%3Ad", "a:b", "c:d"),
        ("my+agent:p%2Bq+r%25", "my agent", "p+q r%"),
        ("agent:%C3%A9", "agent", "é"),
        ("agent:é", "agent", "é"),
    ],
)
def test_basic_is_form_decoded_in_both_halves(text: str, client_id: str, secret: str) -> None:
    """RFC 6749 §2.3.1."""
    expected = PresentedCredentials("client_secret_basic", client_id, Secret(secret))
    assert from_request(_basic(text), {}) == expected
    assert from_request(_basic(text, "bAsIc"), {"client_id": client_id}) == expected


@pytest.mark.parametrize(
    "header",
    [
        "Basic",
        "Basic ",
        "Basic !!!!",
        "Basic YWdlbnQ",
        "Basic YWdl bnQ6cw==",
        _basic("no colon"),
        _basic(":secret"),
        _basic(b"\xff:secret"),
        _basic("agent:%FF"),
        _basic("%FF:secret"),
        _basic("agent%00:secret"),
        _basic("agent%0A:secret"),
        _basic("agent\u202e:secret"),
        _basic("a" * 256 + ":secret"),
        "Basic é",
        "Bearer abc",
        "Digest username=agent",
        "agent:secret",
    ],
)
def test_headers_that_authenticate_nobody(header: str) -> None:
    """A1: an answer of 401 and no accident."""
    with pytest.raises(InvalidClient) as caught:
        from_request(header, {})
    assert caught.value.reason in {"malformed_credentials", "unsupported_method"}
    assert "secret" not in str(caught.value)


def test_post_none_and_nobody() -> None:
    posted = from_request(None, {"client_id": "agent", "client_secret": "s"})
    assert posted == PresentedCredentials("client_secret_post", "agent", Secret("s"))
    for header in (None, ""):
        for params in ({"client_id": "agent"}, {"client_id": "agent", "client_secret": ""}):
            assert from_request(header, params) == PresentedCredentials("none", "agent", None)
        for params in ({}, {"client_id": ""}, {"grant_type": "x"}):
            assert from_request(header, params) is None


@pytest.mark.parametrize(
    ("header", "params"),
    [
        (_basic("agent:s"), {"client_secret": "s"}),
        (_basic("agent:s"), {"client_id": "agent", "client_secret": "s"}),
        (_basic("agent:s"), {"client_assertion": "x"}),
        (None, {"client_id": "agent", "client_secret": "s", "client_assertion": "x"}),
        (_basic("agent:s"), {"client_id": "other"}),
        (_basic("agent:s"), {"client_id": "Agent"}),
        (None, {"client_secret": "s"}),
    ],
)
def test_contradictions_are_malformed_requests(header: str | None, params: dict[str, str]) -> None:
    with pytest.raises(InvalidRequest):
        from_request(header, params)


@pytest.mark.parametrize("params", [{"client_assertion": "x"}, {"client_id": "a\0"}, {"client_id": "\ud800"}])
def test_clients_that_cannot_be(params: dict[str, str]) -> None:
    with pytest.raises(InvalidClient):
        from_request(None, params)


def test_the_secret_does_not_show() -> None:
    assert "s3cret" not in repr(from_request(_basic("agent:s3cret"), {}))
