"""B8: what an ID token must say (OpenID Connect Core 1.0 §3.1.3.7), claim by claim."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest

from tests.unit.sessions.world import ALGORITHMS, CLIENT, FOREIGN, ISSUER, NOW, SECONDS, key_for, signed
from vaultd.jose import JwtRefused, verify_jwt
from vaultd.sessions.id_token import SignedIn, check_id_token
from vaultd.terms import Secret, Subject

NONCE = "the nonce of this sign-in"
ACCESS_TOKEN = Secret("the access token that came beside it")


async def check(token: Secret, *, access_token: Secret | None = ACCESS_TOKEN) -> SignedIn:
    jwt = await verify_jwt(token, key_for=key_for, algorithms=ALGORITHMS, now=NOW)
    return check_id_token(jwt, issuer=ISSUER, client_id=CLIENT, nonce=NONCE, access_token=access_token)


def claims(**changes: Any) -> dict[str, Any]:
    standard = {"iss": ISSUER, "sub": "ada", "aud": CLIENT, "exp": SECONDS + 300, "iat": SECONDS, "nonce": NONCE}
    return standard | changes


def half_hash(name: str, token: Secret = ACCESS_TOKEN) -> str:
    digest = hashlib.new(name, token.reveal().encode()).digest()
    return base64.urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=").decode()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"aud": [CLIENT]},
        {"azp": CLIENT},
        {"aud": [CLIENT, "another"], "azp": CLIENT},
        {"at_hash": half_hash("sha256")},
        {"exp": SECONDS - 29},  # within the leeway
        {"iat": SECONDS + 29},
    ],
    ids=str,
)
async def test_b8_a_good_one_signs_in(changes: dict[str, Any]) -> None:
    assert await check(signed(claims(**changes))) == SignedIn(Subject(ISSUER, "ada"), None)


async def test_the_issuers_own_session_is_told() -> None:
    assert (await check(signed(claims(sid="s-1")))).sid == "s-1"


@pytest.mark.parametrize(("alg", "name"), [("RS256", "sha256"), ("ES384", "sha384"), ("Ed25519", "sha512")])
async def test_b8_at_hash_is_of_the_signatures_own_hash(alg: str, name: str) -> None:
    """§3.1.3.6."""
    assert (await check(signed(claims(at_hash=half_hash(name)), alg=alg))).subject.sub == "ada"
    with pytest.raises(JwtRefused, match="at_hash"):
        await check(signed(claims(at_hash=half_hash(name)), alg=alg), access_token=Secret("another"))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"iss": "https://login.example.com"}, "wrong_issuer"),
        ({"iss": ...}, "wrong_issuer"),
        ({"aud": "another"}, "wrong_audience"),
        ({"aud": []}, "malformed"),
        ({"aud": ...}, "missing_claim"),
        ({"aud": [CLIENT, "another"]}, "wrong_audience"),
        ({"aud": [CLIENT, "another"], "azp": "another"}, "wrong_audience"),
        ({"azp": "another"}, "wrong_audience"),
        ({"azp": None}, "wrong_audience"),
        ({"nonce": "another"}, "wrong_claim"),
        ({"nonce": ...}, "wrong_claim"),
        ({"nonce": [NONCE]}, "wrong_claim"),
        ({"nonce": ""}, "wrong_claim"),
        ({"exp": SECONDS - 31}, "expired"),
        ({"exp": ...}, "missing_claim"),
        ({"exp": "2030"}, "malformed"),
        ({"iat": ...}, "missing_claim"),
        ({"iat": SECONDS + 31}, "not_yet_valid"),
        ({"nbf": SECONDS + 31}, "not_yet_valid"),
        ({"sub": ...}, "missing_claim"),
        ({"sub": ""}, "missing_claim"),
        ({"sub": 7}, "missing_claim"),
        ({"sid": 7}, "malformed"),
        ({"events": {}}, "wrong_claim"),
        ({"toe": SECONDS}, "wrong_claim"),
        ({"code": "c", "state": "s"}, "wrong_claim"),
        ({"htm": "POST"}, "wrong_claim"),
        ({"typ": "Bearer"}, "wrong_claim"),
        ({"sub": ISSUER}, "wrong_claim"),
        ({"at_hash": half_hash("sha512")}, "wrong_claim"),
        ({"at_hash": ""}, "wrong_claim"),
        ({"at_hash": None}, "wrong_claim"),
    ],
    ids=str,
)
async def test_b8_a_claim_that_does_not_fit_signs_nobody_in(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(JwtRefused) as caught:
        await check(signed(claims(**changes)))
    assert caught.value.reason == reason


@pytest.mark.parametrize("typ", ["at+jwt", "logout+jwt", "application/at+jwt", "secevent+jwt", "dpop+jwt"])
async def test_b8_a_token_of_another_type_signs_nobody_in(typ: str) -> None:
    """RFC 8725 §3.11."""
    with pytest.raises(JwtRefused) as caught:
        await check(signed(claims(), header={"typ": typ}))
    assert caught.value.reason == "wrong_type"


async def test_b8_an_at_hash_needs_its_access_token() -> None:
    with pytest.raises(JwtRefused, match="at_hash"):
        await check(signed(claims(at_hash=half_hash("sha256"))), access_token=None)


async def test_b8_another_key_signs_nobody_in() -> None:
    with pytest.raises(JwtRefused) as caught:
        await check(signed(claims(), key=FOREIGN))
    assert caught.value.reason == "bad_signature"
