"""What a logout token must say (OpenID Connect Back-Channel Logout 1.0 §2.4, §2.6), claim by claim."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.unit.sessions.world import ALGORITHMS, CLIENT, FOREIGN, ISSUER, NOW, SECONDS, key_for, signed
from vaultd.jose import JwtRefused
from vaultd.sessions.logout_token import EVENT, LoggedOut, verify_logout_token
from vaultd.terms import Secret


async def verify(token: Secret) -> LoggedOut:
    return await verify_logout_token(
        token, key_for=key_for, algorithms=ALGORITHMS, issuer=ISSUER, client_id=CLIENT, now=NOW
    )


def claims(**changes: Any) -> dict[str, Any]:
    """As in §2.4's own example."""
    standard = {
        "iss": ISSUER,
        "sub": "248289761001",
        "aud": CLIENT,
        "iat": SECONDS,
        "exp": SECONDS + 120,
        "jti": "bWJq",
        "sid": "08a5019c-17e1-4977-8f42-65a12843ea02",
        "events": {EVENT: {}},
    }
    return standard | changes


@pytest.mark.parametrize("typ", ["logout+jwt", "application/logout+jwt", "JWT"])
async def test_a_good_one_names_whose_sessions_end(typ: str) -> None:
    told = await verify(signed(claims(), header={"typ": typ}))
    assert (told.sub, told.sid, told.jti) == ("248289761001", "08a5019c-17e1-4977-8f42-65a12843ea02", "bWJq")


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"sid": ...}, ("248289761001", None)),
        ({"sub": ...}, (None, "08a5019c-17e1-4977-8f42-65a12843ea02")),
        ({"aud": ["another", CLIENT]}, ("248289761001", "08a5019c-17e1-4977-8f42-65a12843ea02")),
        ({"events": {EVENT: {"why": "idle"}, "urn:another": {}}}, ("248289761001", claims()["sid"])),
    ],
    ids=str,
)
async def test_one_of_the_two_names_is_enough(changes: dict[str, Any], named: tuple[str | None, str | None]) -> None:
    told = await verify(signed(claims(**changes)))
    assert (told.sub, told.sid) == named


async def test_its_id_is_remembered_for_as_long_as_it_would_be_taken() -> None:
    old = signed(claims(iat=SECONDS - 660, exp=SECONDS + 86_400))
    assert (await verify(old)).remember_until >= NOW
    fresh = await verify(signed(claims(exp=SECONDS + 86_400)))
    assert fresh.remember_until == NOW + timedelta(minutes=11)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"iss": "https://login.example.com"}, "wrong_issuer"),
        ({"iss": ...}, "wrong_issuer"),
        ({"aud": "another"}, "wrong_audience"),
        ({"aud": ...}, "missing_claim"),
        ({"iat": ...}, "missing_claim"),
        ({"iat": SECONDS + 61}, "not_yet_valid"),
        ({"iat": SECONDS - 661, "exp": SECONDS + 120}, "expired"),
        ({"exp": ...}, "missing_claim"),
        ({"exp": SECONDS - 61}, "expired"),
        ({"jti": ...}, "missing_claim"),
        ({"jti": ""}, "malformed"),
        ({"jti": 7}, "malformed"),
        ({"sub": ..., "sid": ...}, "missing_claim"),
        ({"sub": None, "sid": None}, "missing_claim"),
        ({"sub": 7}, "malformed"),
        ({"sid": ["a"]}, "malformed"),
        ({"sid": ""}, "malformed"),
        ({"events": ...}, "missing_claim"),
        ({"events": {}}, "missing_claim"),
        ({"events": [EVENT]}, "missing_claim"),
        ({"events": EVENT}, "missing_claim"),
        ({"events": {EVENT: True}}, "missing_claim"),
        ({"events": {EVENT: None}}, "missing_claim"),
        ({"events": {EVENT + "/": {}}}, "missing_claim"),
        ({"nonce": "x"}, "wrong_claim"),
        ({"nonce": None}, "wrong_claim"),
        ({"htm": "POST"}, "wrong_claim"),
        ({"typ": "ID"}, "wrong_claim"),
        ({"code": "c", "state": "s"}, "wrong_claim"),
        ({"sub": ISSUER}, "wrong_claim"),
    ],
    ids=str,
)
async def test_a_claim_that_does_not_fit_ends_nothing(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(JwtRefused) as caught:
        await verify(signed(claims(**changes)))
    assert caught.value.reason == reason


@pytest.mark.parametrize("typ", ["at+jwt", "secevent+jwt", "dpop+jwt", "id_token+jwt"])
async def test_a_token_of_another_type_ends_nothing(typ: str) -> None:
    with pytest.raises(JwtRefused) as caught:
        await verify(signed(claims(), header={"typ": typ}))
    assert caught.value.reason == "wrong_type"


async def test_another_key_and_no_key_end_nothing() -> None:
    with pytest.raises(JwtRefused) as caught:
        await verify(signed(claims(), key=FOREIGN))
    assert caught.value.reason == "bad_signature"
    head, body, _ = signed(claims()).reveal().split(".")
    unsigned = Secret(f"eyJhbGciOiJub25lIn0.{body}.")
    with pytest.raises(JwtRefused) as caught:
        await verify(unsigned)
    assert caught.value.reason == "bad_algorithm"
    assert head
