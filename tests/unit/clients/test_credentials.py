"""What a token request says about its client (api §1.4, RFC 6749 §2.3)."""

from __future__ import annotations

import base64

import pytest

from tests.support.signing import ABSENT, ASSERTION_TYPE, Signer
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


def test_a_header_longer_than_any_credentials_is_not_even_read() -> None:
    longest = _basic("%41" * 255 + ":" + "s" * 2_000)
    assert from_request(longest, {}) == PresentedCredentials("client_secret_basic", "A" * 255, Secret("s" * 2_000))
    with pytest.raises(InvalidClient) as caught:
        from_request(_basic("agent:" + "s" * 4_000), {})
    assert (caught.value.reason, caught.value.detail) == ("malformed_credentials", "too long")


def test_what_was_presented_is_not_kept() -> None:
    """Before anybody is believed, a memory of it is a stranger's to fill; and it would hold secrets."""
    presented = from_request(_basic("agent:s3cret"), {})
    again = from_request(_basic("agent:s3cret"), {})
    assert presented == again
    assert presented is not again


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


@pytest.mark.parametrize("params", [{"client_id": "a\0"}, {"client_id": "\ud800"}])
def test_clients_that_cannot_be(params: dict[str, str]) -> None:
    with pytest.raises(InvalidClient):
        from_request(None, params)


SIGNER = Signer("agent", vault="https://vault.example.com")


def test_an_assertion_names_its_client() -> None:
    """RFC 7521 §4.2: `client_id` may come along, and is then the same."""
    params = SIGNER.credentials()
    for beside in ({}, {"client_id": ""}, {"client_id": "agent"}):
        presented = from_request(None, params | beside)
        assert presented is not None
        assert (presented.method, presented.client_id, presented.secret) == ("private_key_jwt", "agent", None)
        assert presented.unverified_assertion is not None
        assert "eyJ" not in repr(presented)


def test_an_assertion_without_a_subject_counts_against_the_client_beside_it() -> None:
    for sub in (ABSENT, None, 7):
        presented = from_request(None, SIGNER.credentials(sub=sub) | {"client_id": "agent"})
        assert presented is not None
        assert presented.client_id == "agent"


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"}, "unsupported_method"),
        ({"client_assertion_type": ASSERTION_TYPE.upper()}, "unsupported_method"),
        ({"client_assertion": "x"}, "malformed"),
        ({"client_assertion": "x" * 16_385}, "too_large"),
        ({"client_assertion": SIGNER.assertion(sub=ABSENT)}, "malformed_credentials"),
        ({"client_assertion": SIGNER.assertion(sub="")}, "malformed_credentials"),
        ({"client_assertion": SIGNER.assertion(sub="a\nb")}, "malformed_credentials"),
    ],
)
def test_assertions_that_authenticate_nobody(changed: dict[str, str], reason: str) -> None:
    with pytest.raises(InvalidClient) as caught:
        from_request(None, SIGNER.credentials() | changed)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    "changed",
    [{"client_assertion": ""}, {"client_assertion_type": ""}, {"client_id": "other"}, {"client_id": "Agent"}],
)
def test_half_an_assertion_or_one_of_another_client_is_a_malformed_request(changed: dict[str, str]) -> None:
    with pytest.raises(InvalidRequest):
        from_request(None, SIGNER.credentials() | changed)


def test_the_secret_does_not_show() -> None:
    assert "s3cret" not in repr(from_request(_basic("agent:s3cret"), {}))
