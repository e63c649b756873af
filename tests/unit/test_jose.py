"""JWTs against keys at hand: shapes, signatures, times, and vaultd's own access tokens (security A2)."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from joserfc.jwk import ECKey, Key, OctKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry
from joserfc.util import urlsafe_b64encode

from tests.unit.loopback_issuer import SetClock, sign, sign_raw
from vaultd.jose import (
    JwtRefused,
    SharedSecret,
    SigningKey,
    access_token_claims,
    parse_jwt,
    read_audience,
    sign_access_token,
    verify_access_token,
    verify_jwt,
)
from vaultd.jose.jwks import fingerprint, fits, read_keys
from vaultd.jose.refused import REASONS
from vaultd.terms import Scopes, Secret

RSA = RSAKey.generate_key(2048)
KEYS: dict[str, Key] = {
    "RS256": RSA,
    "PS256": RSA,
    "ES256": ECKey.generate_key("P-256"),
    "ES384": ECKey.generate_key("P-384"),
    "EdDSA": OKPKey.generate_key("Ed25519"),
    "Ed25519": OKPKey.generate_key("Ed25519"),
}
US = "https://vault.example.com"


def _number(value: int) -> str:
    return urlsafe_b64encode(value.to_bytes((value.bit_length() + 7) // 8, "big")).decode()


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


async def _verify(token: Secret, clock: SetClock, *, algorithms: tuple[str, ...] = tuple(KEYS)) -> dict[str, Any]:
    async def key_for(kid: str | None, alg: str) -> Key:
        return KEYS[kid or alg]

    return dict((await verify_jwt(token, key_for=key_for, algorithms=algorithms, now=clock())).claims)


@pytest.mark.parametrize("alg", KEYS)
async def test_each_algorithm_verifies_and_notices_a_changed_claim(alg: str, clock: SetClock) -> None:
    token = sign(KEYS[alg], {"alg": alg}, {"exp": clock.seconds() + 60, "sub": "alice"})
    assert (await _verify(token, clock))["sub"] == "alice"

    head, _, signature = token.reveal().split(".")
    _, mallory, _ = sign(KEYS[alg], {"alg": alg}, {"exp": clock.seconds() + 60, "sub": "mallory"}).reveal().split(".")
    with pytest.raises(JwtRefused) as caught:
        await _verify(Secret(f"{head}.{mallory}.{signature}"), clock)
    assert caught.value.reason == "bad_signature"


async def test_algorithm_outside_the_list_is_refused_before_any_key_is_asked_for(clock: SetClock) -> None:
    token = sign(KEYS["RS256"], {"alg": "RS256"}, {"exp": clock.seconds() + 60})
    with pytest.raises(JwtRefused) as caught:
        await _verify(token, clock, algorithms=("ES256",))
    assert caught.value.reason == "bad_algorithm"


async def test_a_key_of_another_type_verifies_nothing(clock: SetClock) -> None:
    token = sign(KEYS["ES256"], {"alg": "ES256", "kid": "RS256"}, {"exp": clock.seconds() + 60})
    with pytest.raises(JwtRefused) as caught:
        await _verify(token, clock)
    assert caught.value.reason == "bad_signature"


async def test_none_is_refused_even_where_it_is_listed(clock: SetClock) -> None:
    token = sign(KEYS["RS256"], {"alg": "RS256"}, {"exp": clock.seconds() + 60})
    _, claims, _ = token.reveal().split(".")
    with pytest.raises(JwtRefused) as caught:
        await _verify(Secret(f"eyJhbGciOiJub25lIn0.{claims}."), clock, algorithms=("none", "RS256"))
    assert caught.value.reason == "bad_algorithm"


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({}, "missing_claim"),
        ({"exp": -29}, None),
        ({"exp": -30}, "expired"),
        ({"exp": 0.5}, None),
        ({"exp": 60, "nbf": 30}, None),
        ({"exp": 60, "nbf": 31}, "not_yet_valid"),
        ({"exp": 60, "iat": 30}, None),
        ({"exp": 60, "iat": 31}, "not_yet_valid"),
    ],
)
async def test_times_with_thirty_seconds_of_leeway(
    claims: dict[str, float], reason: str | None, clock: SetClock
) -> None:
    moved = {name: clock.seconds() + value for name, value in claims.items()}
    token = sign(KEYS["ES256"], {"alg": "ES256"}, moved)
    if reason is None:
        assert await _verify(token, clock) == moved
        return
    with pytest.raises(JwtRefused) as caught:
        await _verify(token, clock)
    assert caught.value.reason == reason


async def test_leeway_above_a_minute_is_a_mistake_of_the_caller(clock: SetClock) -> None:
    async def key_for(kid: str | None, alg: str) -> Key:
        return KEYS[kid or alg]

    token = sign(KEYS["ES256"], {"alg": "ES256"}, {"exp": clock.seconds() + 60})
    with pytest.raises(ValueError, match="leeway"):
        await verify_jwt(token, key_for=key_for, algorithms=("ES256",), now=clock(), leeway=61)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        "a.b",
        "a.b.c.d.e",
        "e30.e30",
        "e30=.e30.",
        "e31.e30.",
        "e 30.e30.",
        "W10.e30.",
        "bnVsbA.e30.",
        "e30.ImEi.",
        "é.e30.",
        "\ud800.e30.",
        "e30.e30.a",
        "e30.e30.\n",
        "++++.e30.",
    ],
)
async def test_malformed_shapes(text: str) -> None:
    with pytest.raises(JwtRefused) as caught:
        parse_jwt(Secret(text))
    assert caught.value.reason == "malformed"


async def test_a_refusal_says_nothing_of_the_token() -> None:
    with pytest.raises(JwtRefused) as caught:
        parse_jwt(Secret("c2VjcmV0.c2VjcmV0.c2VjcmV0"))
    assert "c2VjcmV0" not in repr(caught.value)
    assert "secret" not in str(caught.value)
    assert caught.value.reason in REASONS
    key = KEYS["ES256"]
    assert "eyJ" not in repr(parse_jwt(sign(key, {"alg": "ES256"}, {"sub": "alice"})))


@pytest.mark.parametrize(
    "value",
    [None, 7, {}, [], ["us", 7], [["us"]], True],
    ids=["null", "number", "object", "empty", "mixed", "nested", "true"],
)
async def test_an_audience_is_a_string_or_a_list_of_strings(value: object) -> None:
    with pytest.raises(JwtRefused) as caught:
        read_audience({"aud": value})
    assert caught.value.reason == "malformed"


async def test_a_shared_secret_serves_hs256_and_nothing_else(clock: SetClock) -> None:
    secret = SharedSecret(Secret("0123456789abcdef0123456789abcdef"))
    key = OctKey.import_key(b"0123456789abcdef0123456789abcdef")
    token = sign(key, {"alg": "HS256", "kid": "any"}, {"exp": clock.seconds() + 60})
    await verify_jwt(token, key_for=secret.find, algorithms=("HS256",), now=clock())
    with pytest.raises(JwtRefused) as caught:
        await secret.find(None, "RS256")
    assert caught.value.reason == "bad_algorithm"


class TestJwks:
    async def test_symmetric_private_small_and_unreadable_keys_are_passed_over(self) -> None:
        good = ECKey.generate_key("P-256", parameters={"kid": "good"})
        with pytest.warns(match="2048"):
            small = RSAKey.generate_key(1024)
        entries: list[object] = [
            OctKey.generate_key(256).as_dict(),
            good.as_dict(private=True),
            small.as_dict(),
            {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
            {"kty": "EC", "crv": "P-1", "x": "AA", "y": "AA"},
            {"kty": "OKP", "crv": "Bogus", "x": "AA"},
            {"kty": "RSA", "n": 7, "e": "AQAB"},
            {"kty": "RSA", "n": "", "e": ""},
            {**good.as_dict(), "kid": 7},
            {**good.as_dict(), "key_ops": 7},
            {"kty": "AKP"},
            {"kty": ["EC"]},
            {},
            None,
            "EC",
            good.as_dict(),
        ]
        assert [key.kid for key in read_keys({"keys": entries})] == ["good"]

    @pytest.mark.parametrize(
        ("bits", "exponent", "usable_keys"),
        [
            (2048, 65_537, 1),
            (4096, 65_537, 1),
            (2048, 3, 1),
            (2048, 2**32 - 1, 1),
            (4097, 65_537, 0),
            (8192, 65_537, 0),
            (16384, 65_537, 0),
            (2048, 2**32 + 1, 0),
            (3072, 2**3071 + 1, 0),
            (2048, 2**9000 + 1, 0),
        ],
    )
    async def test_a_key_that_is_costly_to_use_is_none(self, bits: int, exponent: int, usable_keys: int) -> None:
        """Whoever shows it chooses it: a stranger in a proof, an issuer in its set."""
        modulus = 2**bits - 1
        entry = {"kty": "RSA", "n": _number(modulus), "e": _number(exponent)}
        assert len(read_keys({"keys": [entry]})) == usable_keys

    @pytest.mark.parametrize("document", [None, [], {}, {"keys": {}}, {"keys": None}, "keys"])
    async def test_what_is_no_set_is_refused(self, document: object) -> None:
        with pytest.raises(ValueError, match="JWK Set"):
            read_keys(document)

    @pytest.mark.parametrize(
        ("entry", "alg"),
        [
            (KEYS["ES256"].as_dict(use="enc"), "ES256"),
            (KEYS["ES256"].as_dict(alg="ES384"), "ES256"),
            (KEYS["ES256"].as_dict(key_ops=["sign"]), "ES256"),
            (KEYS["ES256"].as_dict(), "ES384"),
            (KEYS["ES256"].as_dict(), "RS256"),
            (OKPKey.generate_key("X25519").as_dict(), "EdDSA"),
            (RSA.as_dict(), "HS256"),
        ],
    )
    async def test_a_key_fits_only_what_it_is_for(self, entry: object, alg: str) -> None:
        (key,) = read_keys({"keys": [entry]})
        assert not fits(key, alg)

    async def test_the_fingerprint_sees_new_material_under_an_old_name(self) -> None:
        one, two = (ECKey.generate_key("P-256", parameters={"kid": "same"}) for _ in range(2))
        assert fingerprint((one,)) == fingerprint((one,))
        assert fingerprint((one,)) != fingerprint((two,))


class TestAccessTokens:
    KEY = SigningKey(kid="k1", seed=b"s" * 32)

    def _claims(self, clock: SetClock, **changes: object) -> dict[str, Any]:
        claims = access_token_claims(
            issuer=US, client_id="auditor", scopes=Scopes({"audit:read"}), now=clock(), jti="j1"
        )
        return {name: value for name, value in {**claims, **changes}.items() if value is not None}

    async def test_a_token_of_ours_lives_ten_minutes(self, clock: SetClock) -> None:
        """RFC 9068 §2."""
        token = sign_access_token(self.KEY, self._claims(clock))
        verified = verify_access_token(token, keys=[self.KEY], issuer=US, now=clock())
        assert verified.typ == "at+jwt"
        assert verified.claims["client_id"] == verified.claims["sub"] == "auditor"
        assert verified.claims["scope"] == "audit:read"
        clock.move(seconds=599)
        verify_access_token(token, keys=[self.KEY], issuer=US, now=clock())
        clock.move(seconds=6)
        with pytest.raises(JwtRefused) as caught:
            verify_access_token(token, keys=[self.KEY], issuer=US, now=clock())
        assert caught.value.reason == "expired"

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"iss": "https://else.example"}, "wrong_issuer"),
            ({"aud": "https://else.example"}, "wrong_audience"),
            ({"aud": None}, "missing_claim"),
            ({"jti": None}, "missing_claim"),
            ({"client_id": None}, "missing_claim"),
            ({"exp": None}, "missing_claim"),
        ],
    )
    async def test_claims_that_are_not_ours(self, changes: dict[str, object], reason: str, clock: SetClock) -> None:
        token = sign_access_token(self.KEY, self._claims(clock, **changes))
        with pytest.raises(JwtRefused) as caught:
            verify_access_token(token, keys=[self.KEY], issuer=US, now=clock())
        assert caught.value.reason == reason

    async def test_another_type_key_or_algorithm(self, clock: SetClock) -> None:
        claims = json.dumps(self._claims(clock)).encode()
        pair = OKPKey.generate_key("Ed25519")
        untyped = json.dumps({"alg": "EdDSA", "kid": "k1"}).encode()
        signing_input = sign_raw(pair, "EdDSA", untyped, claims).reveal().rpartition(".")[0]
        head, body = signing_input.split(".")
        ours = self.KEY.sign(f"{head}.{body}".encode())
        cases = {
            "unknown_key": sign_access_token(SigningKey(kid="k2", seed=b"s" * 32), self._claims(clock)),
            "bad_signature": sign_access_token(SigningKey(kid="k1", seed=b"t" * 32), self._claims(clock)),
            "bad_algorithm": sign(KEYS["ES256"], {"alg": "ES256", "kid": "k1"}, self._claims(clock)),
            "wrong_type": Secret(f"{head}.{body}.{urlsafe_b64encode(ours).decode()}"),
        }
        for reason, token in cases.items():
            with pytest.raises(JwtRefused) as caught:
                verify_access_token(token, keys=[self.KEY], issuer=US, now=clock())
            assert caught.value.reason == reason

    async def test_the_published_key_verifies_and_holds_no_private_half(self, clock: SetClock) -> None:
        jwk = self.KEY.public_jwk()
        assert set(jwk) == {"kty", "crv", "x", "kid", "use", "alg"}
        assert "seed" not in repr(self.KEY)
        (key,) = read_keys({"keys": [jwk]})
        head, body, signature = sign_access_token(self.KEY, self._claims(clock)).reveal().split(".")
        unverified = parse_jwt(Secret(f"{head}.{body}.{signature}"))
        assert JWSRegistry.algorithms["EdDSA"].verify(f"{head}.{body}".encode(), unverified.signature, key)

    async def test_the_clock_of_another_replica_may_be_a_little_ahead(self, clock: SetClock) -> None:
        """F5."""
        token = sign_access_token(self.KEY, self._claims(clock))
        verify_access_token(token, keys=[self.KEY], issuer=US, now=clock() - timedelta(seconds=2))
