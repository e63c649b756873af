"""Security A2, black to white: forged and unfit subject tokens, each refused for its own reason."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from joserfc.jwk import OctKey

from tests.unit.loopback_issuer import JWKS, sign
from tests.unit.subjects.world import ABSENT, ACCESS, FOREIGN, ID, JWT, RSA, US, World
from vaultd.errors import SubjectTokenRefused
from vaultd.terms import Secret


def _hs_with_public_key(world: World) -> Secret:
    key = OctKey(RSA.as_pem(), RSA.as_pem())
    return sign(key, world.header(alg="HS256", kid="rsa"), world.claims())


def _shared_issuer_signed_with_rsa(world: World) -> Secret:
    claims = world.claims(iss="https://shared.example", aud="authenticated")
    return sign(RSA, world.header(alg="RS256", kid="rsa"), claims)


def _swap_payload(world: World) -> Secret:
    head, _, signature = world.token().reveal().split(".")
    _, mallory, _ = world.token(sub="mallory").reveal().split(".")
    return Secret(f"{head}.{mallory}.{signature}")


def _foreign(world: World, **header: object) -> Secret:
    return sign(FOREIGN, world.header(**header), world.claims())


def _deep(world: World) -> Secret:
    return world.with_claim_text('"x":' + "[" * 4000 + "]" * 4000)


def _id_token(world: World, **claims: object) -> Secret:
    return world.token({"typ": "JWT"}, **{"aud": "web-app", "scope": ABSENT, **claims})


CORPUS: list[tuple[str, Callable[[World], Secret], str, str]] = [
    # The signature and who made it.
    ("alg none", lambda w: w.unsigned("none"), ACCESS, "bad_algorithm"),
    ("alg None", lambda w: w.unsigned("None"), ACCESS, "bad_algorithm"),
    ("alg empty", lambda w: w.unsigned(""), ACCESS, "bad_algorithm"),
    ("alg made up", lambda w: w.unsigned("ES257"), ACCESS, "bad_algorithm"),
    ("alg in lower case", lambda w: w.unsigned("es256"), ACCESS, "bad_algorithm"),
    ("alg missing", lambda w: w.raw(header=b'{"kid":"first"}'), ACCESS, "bad_algorithm"),
    ("alg a number", lambda w: w.raw(header=b'{"alg":7,"kid":"first"}'), ACCESS, "bad_algorithm"),
    ("alg a list", lambda w: w.raw(header=b'{"alg":["ES256"],"kid":"first"}'), ACCESS, "bad_algorithm"),
    ("HMAC keyed with the public key", _hs_with_public_key, ACCESS, "bad_algorithm"),
    ("RSA for an issuer with a shared secret", _shared_issuer_signed_with_rsa, ACCESS, "bad_algorithm"),
    (
        "alg outside the list",
        lambda w: sign(RSA, w.header(alg="PS256", kid="rsa"), w.claims()),
        ACCESS,
        "bad_algorithm",
    ),
    ("alg of another key's type", lambda w: sign(RSA, w.header(alg="RS256"), w.claims()), ACCESS, "bad_algorithm"),
    ("signature missing", lambda w: w.unsigned("ES256"), ACCESS, "bad_signature"),
    ("signature of zeros", lambda w: Secret(w.unsigned("ES256").reveal() + "A" * 86), ACCESS, "bad_signature"),
    ("signature cut short", lambda w: w.respelled(lambda t: t[:-2]), ACCESS, "bad_signature"),
    ("claims exchanged", _swap_payload, ACCESS, "bad_signature"),
    ("foreign key under a known kid", _foreign, ACCESS, "bad_signature"),
    ("foreign kid", lambda w: _foreign(w, kid="foreign"), ACCESS, "unknown_key"),
    ("kid a path", lambda w: _foreign(w, kid="../../dev/null"), ACCESS, "unknown_key"),
    ("kid empty", lambda w: _foreign(w, kid=""), ACCESS, "unknown_key"),
    ("kid missing, foreign key", lambda w: _foreign(w, kid=ABSENT), ACCESS, "bad_signature"),
    ("kid a number", lambda w: w.token({"kid": 7}), ACCESS, "malformed"),
    ("kid null", lambda w: _foreign(w, kid=None), ACCESS, "bad_signature"),
    ("key in the header", lambda w: _foreign(w, kid=ABSENT, jwk=FOREIGN.as_dict()), ACCESS, "bad_signature"),
    (
        "address of keys in the header",
        lambda w: _foreign(w, kid="foreign", jku=w.issuer.url + "/evil"),
        ACCESS,
        "unknown_key",
    ),
    (
        "address of a certificate",
        lambda w: _foreign(w, kid="foreign", x5u=w.issuer.url + "/evil"),
        ACCESS,
        "unknown_key",
    ),
    ("certificate in the header", lambda w: _foreign(w, x5c=["MIIB"]), ACCESS, "bad_signature"),
    ("critical extension", lambda w: w.token({"crit": ["x"], "x": 1}), ACCESS, "critical_header"),
    ("critical b64", lambda w: w.token({"crit": ["b64"], "b64": False}), ACCESS, "critical_header"),
    ("critical list empty", lambda w: w.token({"crit": []}), ACCESS, "critical_header"),
    # Times.
    ("expired", lambda w: w.token(exp=w.clock.seconds() - 30), ACCESS, "expired"),
    ("exp missing", lambda w: w.token(exp=ABSENT), ACCESS, "missing_claim"),
    ("exp a string", lambda w: w.token(exp=str(w.clock.seconds() + 300)), ACCESS, "malformed"),
    ("exp negative", lambda w: w.token(exp=-1), ACCESS, "expired"),
    ("exp zero", lambda w: w.token(exp=0), ACCESS, "expired"),
    ("exp null", lambda w: w.token(exp=None), ACCESS, "malformed"),
    ("exp true", lambda w: w.token(exp=True), ACCESS, "malformed"),
    ("exp a list", lambda w: w.token(exp=[w.clock.seconds() + 300]), ACCESS, "malformed"),
    ("exp of 400 digits", lambda w: w.token(exp=10**400), ACCESS, "malformed"),
    ("exp of 5000 digits", lambda w: w.with_claim_text('"x":' + "9" * 5000), ACCESS, "malformed"),
    ("exp past all dates", lambda w: w.token(exp=10**15), ACCESS, "malformed"),
    ("exp too large a float", lambda w: w.with_claim_text('"x":1e999'), ACCESS, "malformed"),
    ("exp Infinity", lambda w: w.token(exp=float("inf")), ACCESS, "malformed"),
    ("exp NaN", lambda w: w.token(exp=float("nan")), ACCESS, "malformed"),
    ("nbf in the future", lambda w: w.token(nbf=w.clock.seconds() + 31), ACCESS, "not_yet_valid"),
    ("nbf a string", lambda w: w.token(nbf="0"), ACCESS, "malformed"),
    ("iat in the future", lambda w: w.token(iat=w.clock.seconds() + 31), ACCESS, "not_yet_valid"),
    # Audience.
    ("aud of another service", lambda w: w.token(aud="https://else.example"), ACCESS, "wrong_audience"),
    ("aud ours with a slash", lambda w: w.token(aud=US + "/"), ACCESS, "wrong_audience"),
    ("aud in upper case", lambda w: w.token(aud=US.upper()), ACCESS, "wrong_audience"),
    (
        "aud a list of others",
        lambda w: w.token(aud=["https://a.example", "https://b.example"]),
        ACCESS,
        "wrong_audience",
    ),
    ("aud a list in a list", lambda w: w.token(aud=[[US]]), ACCESS, "malformed"),
    ("aud a mixed list", lambda w: w.token(aud=[US, 7]), ACCESS, "malformed"),
    ("aud empty list", lambda w: w.token(aud=[]), ACCESS, "malformed"),
    ("aud an object", lambda w: w.token(aud={US: True}), ACCESS, "malformed"),
    ("aud missing", lambda w: w.token(aud=ABSENT), ACCESS, "missing_claim"),
    # Subject.
    ("sub missing", lambda w: w.token(sub=ABSENT), ACCESS, "missing_claim"),
    ("sub empty", lambda w: w.token(sub=""), ACCESS, "malformed"),
    ("sub a number", lambda w: w.token(sub=7), ACCESS, "malformed"),
    ("sub null", lambda w: w.token(sub=None), ACCESS, "malformed"),
    ("sub a list", lambda w: w.token(sub=["alice"]), ACCESS, "malformed"),
    ("sub with NUL", lambda w: w.token(sub="alice\0"), ACCESS, "malformed"),
    ("sub with a line break", lambda w: w.token(sub="alice\nbob"), ACCESS, "malformed"),
    ("sub with text reversed", lambda w: w.token(sub="alice\u202e"), ACCESS, "malformed"),
    ("sub half a character", lambda w: w.token(sub="\ud800"), ACCESS, "malformed"),
    # Issuer.
    ("iss missing", lambda w: w.token(iss=ABSENT), ACCESS, "missing_claim"),
    ("iss a number", lambda w: w.token(iss=7), ACCESS, "malformed"),
    ("iss a list", lambda w: w.token(iss=[w.issuer.url]), ACCESS, "malformed"),
    ("iss unknown", lambda w: w.token(iss="https://else.example"), ACCESS, "wrong_issuer"),
    ("iss with a slash", lambda w: w.token(iss=w.issuer.url + "/"), ACCESS, "wrong_issuer"),
    ("iss longer than ours", lambda w: w.token(iss=w.issuer.url + ".evil.example"), ACCESS, "wrong_issuer"),
    ("iss a prefix of ours", lambda w: w.token(iss=w.issuer.url[:-1]), ACCESS, "wrong_issuer"),
    ("iss ours as user part", lambda w: w.token(iss=w.issuer.url + "@evil.example"), ACCESS, "wrong_issuer"),
    ("iss in upper case", lambda w: w.token(iss=w.issuer.url.upper()), ACCESS, "wrong_issuer"),
    ("iss of another configured issuer", lambda w: w.token(iss="https://shared.example"), ACCESS, "bad_algorithm"),
    # What kind of token it is.
    ("access token as ID token", lambda w: w.token(aud="web-app"), ID, "wrong_type"),
    (
        "access token as ID token, long type",
        lambda w: w.token({"typ": "application/AT+JWT"}, aud="web-app"),
        ID,
        "wrong_type",
    ),
    ("our audience as ID token", lambda w: w.token({"typ": "JWT"}), ID, "wrong_audience"),
    ("ID token as access token", lambda w: w.token({"typ": "JWT"}, aud="web-app"), ACCESS, "wrong_audience"),
    ("ID token's audience on an access token", lambda w: w.token(aud="web-app"), JWT, "wrong_audience"),
    ("logout token", lambda w: w.token({"typ": "logout+jwt"}), ACCESS, "wrong_type"),
    ("DPoP proof", lambda w: w.token({"typ": "dpop+jwt"}), JWT, "wrong_type"),
    ("client's own assertion", lambda w: w.token({"typ": "token-vault-req+jwt"}), JWT, "wrong_type"),
    ("logout token, untyped", lambda w: w.token({"typ": ABSENT}, events={}), ACCESS, "wrong_claim"),
    ("logout token as ID token", lambda w: _id_token(w, events={}), ID, "wrong_claim"),
    ("security event as ID token", lambda w: _id_token(w, toe=1), JWT, "wrong_claim"),
    ("authorization response as ID token", lambda w: _id_token(w, code="c", state="s"), ID, "wrong_claim"),
    ("DPoP proof as ID token", lambda w: _id_token(w, htm="POST", htu=US), ID, "wrong_claim"),
    ("request object as ID token", lambda w: _id_token(w, response_type="code"), ID, "wrong_claim"),
    ("access token as ID token, untyped", lambda w: _id_token(w, scope="openid"), ID, "wrong_claim"),
    ("Keycloak's access token as ID token", lambda w: _id_token(w, typ="Bearer", nonce="n"), ID, "wrong_claim"),
    ("ID token for us as access token", lambda w: _id_token(w, aud=[US, "web-app"], nonce="n"), ACCESS, "wrong_claim"),
    ("refresh token as access token", lambda w: w.token({"typ": "JWT"}, type="refresh"), ACCESS, "wrong_claim"),
    ("its issuer's own", lambda w: _id_token(w, sub=w.issuer.url), ID, "wrong_claim"),
    ("ID token without iat", lambda w: _id_token(w, iat=ABSENT), ID, "missing_claim"),
    ("typ a number", lambda w: w.token({"typ": 7}), ACCESS, "malformed"),
    # Other claims.
    ("presenter a number", lambda w: w.token(azp=7), ACCESS, "malformed"),
    ("presenter empty", lambda w: w.token(azp=""), ACCESS, "malformed"),
    ("scope a number", lambda w: w.token(scope=7), ACCESS, "malformed"),
    ("scope a mixed list", lambda w: w.token(scope=["a", 7]), ACCESS, "malformed"),
    ("may_act a string", lambda w: w.token(may_act="agent"), ACCESS, "malformed"),
    ("act with an integer beyond all others", lambda w: w.token(act={"sub": "a", "n": 2**60}), ACCESS, "malformed"),
    ("act a list", lambda w: w.token(act=[]), ACCESS, "malformed"),
    # Shape.
    ("over 16 KiB", lambda w: w.token(x="a" * 16 * 1024), ACCESS, "too_large"),
    ("over 16 KiB of dots", lambda _: Secret("." * 16_385), ACCESS, "too_large"),
    ("empty", lambda _: Secret(""), ACCESS, "malformed"),
    ("both dots missing", lambda w: w.respelled(lambda t: t.replace(".", "")), ACCESS, "malformed"),
    ("one dot missing", lambda w: w.respelled(lambda t: t.rpartition(".")[0]), ACCESS, "malformed"),
    ("a dot too many", lambda w: w.respelled(lambda t: t + "."), ACCESS, "malformed"),
    ("five segments", lambda w: w.respelled(lambda t: t + ".a.b"), ACCESS, "malformed"),
    ("letters beyond ASCII", lambda w: w.respelled(lambda t: "é" + t), ACCESS, "malformed"),
    ("look-alike letters", lambda w: w.respelled(lambda t: t.replace("e", "е", 1)), ACCESS, "malformed"),  # noqa: RUF001
    ("half a character", lambda w: w.respelled(lambda t: "\ud800" + t), ACCESS, "malformed"),
    ("NUL", lambda w: w.respelled(lambda t: t + "\0"), ACCESS, "malformed"),
    ("white space around", lambda w: w.respelled(lambda t: f" {t} "), ACCESS, "malformed"),
    ("padding", lambda w: w.respelled(lambda t: t + "=="), ACCESS, "malformed"),
    ("a scheme before it", lambda w: w.respelled(lambda t: "Bearer " + t), ACCESS, "malformed"),
    ("member twice in the claims", lambda w: w.with_claim_text('"sub":"mallory"'), ACCESS, "malformed"),
    ("member twice in the header", lambda w: w.raw(header=b'{"alg":"none","alg":"ES256"}'), ACCESS, "malformed"),
    ("member twice, deep inside", lambda w: w.with_claim_text('"act":{"sub":"a","sub":"b"}'), ACCESS, "malformed"),
    ("member twice by an escape", lambda w: w.with_claim_text('"s\\u0075b":"mallory"'), ACCESS, "malformed"),
    ("nested 4000 deep", _deep, ACCESS, "malformed"),
    ("claims a list", lambda w: w.raw(claims=b"[]"), ACCESS, "malformed"),
    ("claims no JSON", lambda w: w.raw(claims=b"{"), ACCESS, "malformed"),
    ("claims no UTF-8", lambda w: w.raw(claims=b'{"sub":"\xff"}'), ACCESS, "malformed"),
    ("claims with a byte order mark", lambda w: w.raw(claims=b"\xef\xbb\xbf{}"), ACCESS, "malformed"),
    ("claims in UTF-16", lambda w: w.raw(claims="{}".encode("utf-16")), ACCESS, "malformed"),
    ("claims null", lambda w: w.raw(claims=b"null"), ACCESS, "malformed"),
    ("header a string", lambda w: w.raw(header=b'"ES256"'), ACCESS, "malformed"),
]


@pytest.mark.parametrize(("forge", "token_type", "reason"), [row[1:] for row in CORPUS], ids=[row[0] for row in CORPUS])
async def test_forged(world: World, forge: Callable[[World], Secret], token_type: str, reason: str) -> None:
    """A2: each refused, for its own reason, and with nothing of the token in the error."""
    token = forge(world)
    with pytest.raises(SubjectTokenRefused) as caught:
        await world.verifier().verify(token, token_type)
    assert caught.value.reason == reason
    assert caught.value.description == SubjectTokenRefused.description
    assert caught.value.__cause__ is None
    for segment in token.reveal().split("."):
        assert len(segment) < 8 or segment not in str(caught.value)
    assert set(world.issuer.asked) <= {"/.well-known/openid-configuration", JWKS}
