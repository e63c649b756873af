"""DPoP proofs as RFC 9449 §4.3 has them checked, each check by itself (issue 4, item 9)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from tests.support.proofs import LEFT_OUT, ProofKey, hash_of, sealed
from tests.unit.loopback_issuer import SetClock
from vaultd.jose import JwtRefused
from vaultd.jose.dpop import (
    MAX_AGE,
    MAX_AHEAD,
    PROOF_ALGORITHMS,
    VerifiedProof,
    check_key,
    check_token_hash,
    is_thumbprint,
    verify_proof,
)
from vaultd.jose.refused import REASONS
from vaultd.terms import Secret

URL = "https://vault.example.com/oauth/token"
HOLDER = ProofKey()
STRANGER = ProofKey()
RSA = RSAKey.generate_key(2048)
SHORT = "w" * 171
"""The modulus of an RSA key of 1024 bits."""
CLOCK = SetClock()


def _made(key: ProofKey = HOLDER, **changes: Any) -> str:
    return key.proof(URL, **{"iat": CLOCK.seconds(), **changes})


def _verified(proof: str, *, method: str = "POST", url: str = URL) -> VerifiedProof:
    return verify_proof(Secret(proof), method=method, url=url, now=CLOCK())


def _refused(proof: str, *, method: str = "POST", url: str = URL) -> str:
    with pytest.raises(JwtRefused) as caught:
        _verified(proof, method=method, url=url)
    assert caught.value.reason in REASONS
    assert caught.value.__cause__ is None
    for segment in proof.split("."):
        assert len(segment) < 8 or segment not in str(caught.value)
    return caught.value.reason


KEYS = {
    "ES256": HOLDER.key,
    "ES384": ECKey.generate_key("P-384"),
    "ES512": ECKey.generate_key("P-521"),
    "EdDSA": OKPKey.generate_key("Ed25519"),
    "Ed25519": OKPKey.generate_key("Ed25519"),
    "PS256": RSA,
    "RS256": RSA,
}


def test_the_key_is_compared_before_it_is_used() -> None:
    """A stranger's key never costs a signature, however bad that is: the answer is about the key."""
    forged = _made(HOLDER, signed_by=STRANGER)
    with pytest.raises(JwtRefused) as caught:
        verify_proof(Secret(forged), method="POST", url=URL, now=CLOCK(), bound_to=STRANGER.jkt)
    assert caught.value.reason == "dpop_key"
    with pytest.raises(JwtRefused) as caught:
        verify_proof(Secret(forged), method="POST", url=URL, now=CLOCK(), bound_to=HOLDER.jkt)
    assert caught.value.reason == "dpop_signature"
    proof = verify_proof(Secret(_made()), method="POST", url=URL, now=CLOCK(), bound_to=HOLDER.jkt)
    assert proof.jkt == HOLDER.jkt


def test_every_offered_algorithm_is_tried() -> None:
    assert set(KEYS) == set(PROOF_ALGORITHMS)


@pytest.mark.parametrize("alg", PROOF_ALGORITHMS)
def test_a_proof_names_its_key_and_may_name_its_token(alg: str) -> None:
    key = ProofKey(KEYS[alg], alg)
    proof = _verified(_made(key, token="the token", jti="once"))
    assert (proof.jkt, proof.jti, proof.ath) == (key.jkt, "once", hash_of("the token"))
    check_key(proof, key.jkt)
    assert _verified(_made(key)).ath is None


BAD: dict[str, tuple[str, Callable[[], str]]] = {
    "empty": ("dpop_malformed", lambda: ""),
    "nonsense": ("dpop_malformed", lambda: "x.y.z"),
    "two proofs in one header": ("dpop_malformed", lambda: f"{_made()}, {_made()}"),
    "over 16 KiB": ("dpop_malformed", lambda: _made(filler="x" * 16_384)),
    "claims a list": ("dpop_malformed", lambda: sealed(HOLDER, {"typ": "dpop+jwt", "alg": "ES256"}, [])),
    "a critical extension": ("dpop_malformed", lambda: _made(header={"crit": ["x"], "x": 1})),
    "typ JWT": ("dpop_typ", lambda: _made(header={"typ": "JWT"})),
    "typ of an access token": ("dpop_typ", lambda: _made(header={"typ": "at+jwt"})),
    "no typ": ("dpop_typ", lambda: _made(header={"typ": LEFT_OUT})),
    "alg none": ("dpop_alg", lambda: _made(header={"alg": "none"})),
    "alg HS256": ("dpop_alg", lambda: _made(header={"alg": "HS256"})),
    "alg not offered": ("dpop_alg", lambda: _made(header={"alg": "RS512"})),
    "no alg": ("dpop_alg", lambda: _made(header={"alg": LEFT_OUT})),
    "no jwk": ("dpop_key", lambda: _made(header={"jwk": LEFT_OUT})),
    "jwk a string": ("dpop_key", lambda: _made(header={"jwk": "x"})),
    "the private key": ("dpop_key", lambda: _made(header={"jwk": HOLDER.key.as_dict(private=True)})),
    "a part of a private key": ("dpop_key", lambda: _made(header={"jwk": HOLDER.jwk(p="AQAB")})),
    "a shared key": ("dpop_key", lambda: _made(header={"jwk": OctKey.generate_key(256).as_dict(private=True)})),
    "a key for another alg": ("dpop_key", lambda: _made(header={"jwk": ProofKey(RSA).jwk()})),
    "a key for encryption": ("dpop_key", lambda: _made(header={"jwk": HOLDER.jwk(use="enc")})),
    "a point beside the curve": ("dpop_key", lambda: _made(header={"jwk": HOLDER.jwk(x=STRANGER.jwk()["x"])})),
    "a short RSA key": (
        "dpop_key",
        lambda: _made(header={"alg": "RS256", "jwk": {"kty": "RSA", "e": "AQAB", "n": SHORT}}),
    ),
    "signed by another": ("dpop_signature", lambda: _made(signed_by=STRANGER)),
    "signature of zeros": ("dpop_signature", lambda: _made().rpartition(".")[0] + "." + "A" * 86),
    "no signature": ("dpop_signature", lambda: _made().rpartition(".")[0] + "."),
    "no jti": ("dpop_malformed", lambda: _made(jti=LEFT_OUT)),
    "an empty jti": ("dpop_malformed", lambda: _made(jti="")),
    "a number as jti": ("dpop_malformed", lambda: _made(jti=7)),
    "no htm": ("dpop_malformed", lambda: _made(htm=LEFT_OUT)),
    "another method": ("dpop_htm", lambda: _made(htm="GET")),
    "the method in lower case": ("dpop_htm", lambda: _made(htm="post")),
    "no htu": ("dpop_malformed", lambda: _made(htu=LEFT_OUT)),
    "htu a list": ("dpop_malformed", lambda: _made(htu=[URL])),
    "no iat": ("dpop_malformed", lambda: _made(iat=LEFT_OUT)),
    "iat a string": ("dpop_malformed", lambda: _made(iat=str(CLOCK.seconds()))),
    "iat true": ("dpop_malformed", lambda: _made(iat=True)),
    "iat beyond all dates": ("dpop_malformed", lambda: _made(iat=10**15)),
    "ath a number": ("dpop_malformed", lambda: _made(ath=7)),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_proof_is_refused_for_its_own_reason(case: str) -> None:
    reason, make = BAD[case]
    assert _refused(make()) == reason


@pytest.mark.parametrize(
    "htu",
    [
        "https://VAULT.example.COM/oauth/token",
        "HTTPS://vault.example.com/oauth/token",
        "https://vault.example.com:443/oauth/token",
        "https://vault.example.com/oauth/token?x=1",
        "https://vault.example.com/oauth/token#x",
        "https://vault.example.com/%6fauth/%74oken",
    ],
)
def test_equal_spellings_of_the_url(htu: str) -> None:
    """RFC 9449 §4.3, item 9; RFC 3986 §6.2.2 and §6.2.3."""
    _verified(_made(htu=htu))


@pytest.mark.parametrize(
    "htu",
    [
        "https://vault.example.com/oauth/token/",
        "https://vault.example.com/OAuth/token",
        "https://vault.example.com/oauth%2Ftoken",
        "https://vault.example.com/",
        "https://vault.example.com",
        "https://vault.example.com:8443/oauth/token",
        "http://vault.example.com/oauth/token",
        "https://vault.example.com.evil.example/oauth/token",
        "https://user@vault.example.com/oauth/token",
        "https://evil.example/oauth/token",
        "//vault.example.com/oauth/token",
        "/oauth/token",
        "https://vault.example.com\\oauth\\token",
        "https://vault.example.com/oauth/token ",
        "https://vault.example.com:99999/oauth/token",
        "https://[::1/oauth/token",
        "https://vаult.example.com/oauth/token",  # noqa: RUF001 - the look-alike is the test
    ],
)
def test_other_urls(htu: str) -> None:
    assert _refused(_made(htu=htu)) == "dpop_htu"


def test_urls_whose_difference_is_a_name_only() -> None:
    for htu, url in (
        ("http://127.0.0.1:80", "http://127.0.0.1/"),
        ("http://[::1]/a%2fb", "http://[::1]:80/a%2Fb"),
        ("https://v.example/%7Euser", "https://v.example/~user"),
    ):
        _verified(_made(htu=htu), url=url)
    assert _refused(_made(htu="https://v.example/a%2Fb"), url="https://v.example/a/b") == "dpop_htu"


@pytest.mark.parametrize(
    ("age", "good"),
    [(0, True), (MAX_AGE, True), (MAX_AGE + 1, False), (-MAX_AHEAD, True), (-MAX_AHEAD - 1, False), (10**9, False)],
)
def test_a_proof_is_good_for_a_minute_and_hardly_before(age: int, *, good: bool) -> None:
    proof = _made(iat=CLOCK.seconds() - age)
    if good:
        # Remembered for longer than it is good, whatever the clock of the replica that is asked next.
        assert _verified(proof).good_until.timestamp() - CLOCK.seconds() == 2 * MAX_AGE - age
    else:
        assert _refused(proof) == "dpop_iat"
    assert max(MAX_AGE, MAX_AHEAD) <= 60


def test_the_key_of_another_token() -> None:
    proof = _verified(_made())
    with pytest.raises(JwtRefused) as caught:
        check_key(proof, STRANGER.jkt)
    assert caught.value.reason == "dpop_key"


def test_the_hash_of_the_token() -> None:
    named, silent = _verified(_made(token="mine")), _verified(_made())
    check_token_hash(named, Secret("mine"), required=True)
    check_token_hash(named, Secret("mine"), required=False)
    check_token_hash(silent, Secret("mine"), required=False)
    for proof, token, required in ((named, "yours", False), (silent, "mine", True), (named, "", True)):
        with pytest.raises(JwtRefused) as caught:
            check_token_hash(proof, Secret(token), required=required)
        assert caught.value.reason == "dpop_ath"


def test_thumbprints() -> None:
    assert is_thumbprint(HOLDER.jkt)
    for other in ("", HOLDER.jkt + "=", HOLDER.jkt[:-1], HOLDER.jkt + "\n", HOLDER.jkt.replace(HOLDER.jkt[0], "+"), 7):
        assert not is_thumbprint(other)
