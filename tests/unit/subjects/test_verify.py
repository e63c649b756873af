"""Subject tokens: what is believed, and a corpus of forgeries, one row each (security A2, A4)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
from joserfc.jwk import ECKey, OctKey, RSAKey
from joserfc.util import urlsafe_b64encode

from tests.unit.loopback_issuer import HOST, JWKS, LoopbackIssuer, SetClock, sign, sign_raw
from vaultd.errors import ConfigurationError, InvalidRequest, SubjectTokenRefused, TemporarilyUnavailable
from vaultd.jose import JwtRefused
from vaultd.outbound import Outbound
from vaultd.subjects.config import IssuerConfig
from vaultd.subjects.recent import Recent
from vaultd.subjects.verify import SubjectVerifier, VerifiedSubject
from vaultd.terms import Scopes, Secret, Subject

US = "https://vault.example.com"
TYPE = "urn:ietf:params:oauth:token-type:"
ACCESS, ID, JWT = TYPE + "access_token", TYPE + "id_token", TYPE + "jwt"
SHARED = "a secret of more than 32 characters"
RSA = RSAKey.generate_key(2048, parameters={"kid": "rsa"})
FOREIGN = ECKey.generate_key("P-256", parameters={"kid": "foreign"})
ABSENT = object()


@dataclass
class World:
    """One issuer that serves its keys, one that shares a secret, and the verifier of both."""

    issuer: LoopbackIssuer
    clock: SetClock
    outbound: Outbound

    def verifier(self, *, leeway: int = 30, capacity: int = 100, **settings: Any) -> SubjectVerifier:
        main: dict[str, Any] = {
            "issuer": self.issuer.url,
            "audience": (US,),
            "id_token_client_ids": ("web-app",),
            "allow_private_hosts": (HOST,),
        }
        return SubjectVerifier(
            issuers={
                "app": IssuerConfig(**{**main, **settings}),
                "shared": IssuerConfig.model_validate(
                    {
                        "issuer": "https://shared.example",
                        "audience": ("authenticated",),
                        "algorithms": ("HS256",),
                        "hs256_secret": Secret(SHARED),
                    }
                ),
            },
            outbound=self.outbound,
            clock=self.clock,
            leeway=leeway,
            capacity=capacity,
        )

    def claims(self, **changes: object) -> dict[str, Any]:
        now = self.clock.seconds()
        claims = {
            "iss": self.issuer.url,
            "aud": US,
            "sub": "alice",
            "azp": "web-app",
            "iat": now,
            "exp": now + 300,
            "scope": "read:me:connected_accounts openid",
        }
        return {name: value for name, value in {**claims, **changes}.items() if value is not ABSENT}

    def header(self, **changes: object) -> dict[str, Any]:
        header = {"typ": "at+jwt", "alg": "ES256", "kid": self.issuer.key.kid}
        return {name: value for name, value in {**header, **changes}.items() if value is not ABSENT}

    def token(self, header: Mapping[str, object] | None = None, /, **claims: object) -> Secret:
        return sign(self.issuer.key, self.header(**(header or {})), self.claims(**claims))

    def raw(self, *, header: bytes | None = None, claims: bytes | None = None) -> Secret:
        """Signed by the real key, over bytes that no JSON writer would make."""
        return sign_raw(
            self.issuer.key,
            "ES256",
            header or json.dumps(self.header()).encode(),
            claims or json.dumps(self.claims()).encode(),
        )

    def with_claim_text(self, text: str) -> Secret:
        """The usual claims and one member more, as text."""
        return self.raw(claims=json.dumps(self.claims()).encode()[:-1] + b"," + text.encode() + b"}")

    def unsigned(self, alg: str) -> Secret:
        head = urlsafe_b64encode(json.dumps(self.header(alg=alg)).encode())
        return Secret((head + b"." + urlsafe_b64encode(json.dumps(self.claims()).encode()) + b".").decode())

    def respelled(self, change: Callable[[str], str]) -> Secret:
        return Secret(change(self.token().reveal()))


@pytest_asyncio.fixture
async def world() -> AsyncIterator[World]:
    outbound = Outbound()
    async with LoopbackIssuer() as issuer:
        issuer.published.append(RSA.as_dict())
        yield World(issuer, SetClock(), outbound)
    await outbound.aclose()


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


async def test_a_true_access_token(world: World) -> None:
    token = world.token(may_act={"sub": "agent"}, act={"sub": "relay"})
    verified = await world.verifier(trusted_clients=("nightly",), account_scopes="off").verify(token, ACCESS)
    assert verified.subject == Subject(world.issuer.url, "alice")
    assert verified.issuer_name == "app"
    assert verified.presenter == "web-app"
    assert verified.scopes == Scopes({"read:me:connected_accounts", "openid"})
    assert verified.may_act == {"sub": "agent"}
    assert verified.act == {"sub": "relay"}
    assert (verified.account_scopes, verified.trusted_clients, verified.only_trusted) == ("off", ("nightly",), False)
    assert verified.expires_at.timestamp() == world.clock.seconds() + 300


@pytest.mark.parametrize("typ", ["JWT", "jwt", "at+jwt", "application/at+jwt", ABSENT])
async def test_types_of_an_access_token(world: World, typ: object) -> None:
    """RFC 9068 §4 and RFC 7515 §4.1.9."""
    for token_type in (ACCESS, JWT):
        await world.verifier().verify(world.token({"typ": typ}), token_type)


async def test_an_id_token(world: World) -> None:
    token = world.token({"typ": "JWT"}, aud="web-app", azp=ABSENT)
    for token_type in (ID, JWT):
        verified = await world.verifier().verify(token, token_type)
        assert verified.presenter == "web-app"
        assert verified.scopes == Scopes()
    several = world.token({"typ": "JWT"}, aud=["web-app", "other"], azp=ABSENT)
    assert (await world.verifier().verify(several, ID)).presenter is None
    named = world.token({"typ": "JWT"}, aud=["web-app", "other"], azp="phone-app")
    assert (await world.verifier().verify(named, ID)).presenter == "phone-app"


async def test_an_id_token_passes_as_access_token_only_where_audience_lists_its_client(world: World) -> None:
    token = world.token({"typ": "JWT"}, aud="web-app")
    await world.verifier(audience=("web-app",)).verify(token, ACCESS)
    with pytest.raises(SubjectTokenRefused) as caught:
        await world.verifier(audience=()).verify(token, ACCESS)
    assert caught.value.reason == "wrong_audience"
    with pytest.raises(SubjectTokenRefused) as caught:
        await world.verifier(id_token_client_ids=()).verify(token, ID)
    assert caught.value.reason == "wrong_audience"


async def test_each_claim_that_may_name_the_client(world: World) -> None:
    for claim in ("azp", "client_id", "cid", "appid"):
        token = world.token(**{"azp": ABSENT, claim: "phone-app"})
        assert (await world.verifier(client_claim=claim).verify(token, ACCESS)).presenter == "phone-app"
        other = "cid" if claim == "azp" else "azp"
        assert (await world.verifier(client_claim=other).verify(token, ACCESS)).presenter is None


@pytest.mark.parametrize(
    ("claims", "scopes"),
    [
        ({"scope": "a b"}, {"a", "b"}),
        ({"scope": ABSENT, "scp": "a b"}, {"a", "b"}),
        ({"scope": ABSENT, "scp": ["a", "b"]}, {"a", "b"}),
        ({"scope": "a", "scp": "b"}, {"a"}),
        ({"scope": ABSENT}, set()),
    ],
)
async def test_scopes(world: World, claims: dict[str, object], scopes: set[str]) -> None:
    assert (await world.verifier().verify(world.token(**claims), ACCESS)).scopes == Scopes(scopes)


async def test_a_token_without_any_audience_needs_required_claims_and_a_trusted_client(world: World) -> None:
    nobody: dict[str, Any] = {"audience": (), "id_token_client_ids": ()}
    token = world.token(aud=ABSENT, azp=ABSENT, role="authenticated", admin=True)
    verifier = world.verifier(**nobody, required_claims={"role": "authenticated", "admin": True})
    verified = await verifier.verify(token, ACCESS)
    assert verified.only_trusted
    assert verified.presenter is None
    # A validator of the settings may refuse these too; the verifier does not count on it.
    bare = IssuerConfig.model_construct(**{**_fields(world), **nobody, "required_claims": {}})
    with pytest.raises(SubjectTokenRefused) as caught:
        await _only(bare, world).verify(token, ACCESS)
    assert caught.value.reason == "wrong_audience"


def _fields(world: World) -> dict[str, Any]:
    return dict(IssuerConfig(issuer=world.issuer.url, audience=(US,), allow_private_hosts=(HOST,)))


def _only(config: IssuerConfig, world: World) -> SubjectVerifier:
    return SubjectVerifier(issuers={"app": config}, outbound=world.outbound, clock=world.clock)


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({}, "missing_claim"),
        ({"role": "anon"}, "wrong_claim"),
        ({"role": ["authenticated"]}, "wrong_claim"),
        ({"role": "authenticated", "admin": 1}, "wrong_claim"),
        ({"role": "authenticated", "admin": "true"}, "wrong_claim"),
    ],
)
async def test_required_claims_match_in_value_and_type(world: World, claims: dict[str, object], reason: str) -> None:
    verifier = world.verifier(required_claims={"role": "authenticated", "admin": True})
    with pytest.raises(SubjectTokenRefused) as caught:
        await verifier.verify(world.token(**claims), ACCESS)
    assert caught.value.reason == reason


async def test_a_shared_secret_and_only_for_its_own_issuer(world: World) -> None:
    key = OctKey.import_key(SHARED)
    theirs = world.claims(iss="https://shared.example", aud="authenticated")
    verified = await world.verifier().verify(sign(key, {"alg": "HS256"}, theirs), ACCESS)
    assert verified.subject == Subject("https://shared.example", "alice")
    # A4: the same sub at another issuer is another user.
    assert verified.subject != (await world.verifier().verify(world.token(), ACCESS)).subject
    for signed, reason in (
        (sign(key, {"alg": "HS256", "kid": "first"}, world.claims()), "bad_algorithm"),
        (sign(OctKey.import_key("another" + SHARED), {"alg": "HS256"}, theirs), "bad_signature"),
    ):
        with pytest.raises(SubjectTokenRefused) as caught:
            await world.verifier().verify(signed, ACCESS)
        assert caught.value.reason == reason


@pytest.mark.parametrize("token_type", ["", "access_token", TYPE + "refresh_token", TYPE + "saml2", ACCESS + " "])
async def test_token_types_that_are_not_verified_here(world: World, token_type: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await world.verifier().verify(world.token(), token_type)
    assert caught.value.reason == "unsupported_token_type"


async def test_two_tables_of_one_issuer_are_a_mistake(world: World) -> None:
    config = IssuerConfig(**_fields(world))
    with pytest.raises(ConfigurationError):
        SubjectVerifier(issuers={"a": config, "b": config}, outbound=world.outbound, clock=world.clock)


async def test_an_issuer_that_cannot_be_reached_is_no_fault_of_the_token(world: World) -> None:
    world.issuer.status = 500
    verifier = world.verifier()
    with pytest.raises(TemporarilyUnavailable):
        await verifier.verify(world.token(), ACCESS)
    await verifier.aclose()


class TestRemembered:
    """Verified claims are kept for a minute at most, and no longer than the keys they were verified with."""

    async def test_the_same_token_again_is_not_verified_again(self, world: World) -> None:
        verifier, token = world.verifier(), world.token()
        first = await verifier.verify(token, ACCESS)
        assert await verifier.verify(Secret(token.reveal()), ACCESS) is first
        world.clock.move(seconds=60)
        assert await verifier.verify(token, ACCESS) is not first

    async def test_as_another_type_it_is_another_question(self, world: World) -> None:
        verifier, token = world.verifier(), world.token()
        await verifier.verify(token, ACCESS)
        with pytest.raises(SubjectTokenRefused):
            await verifier.verify(token, ID)

    async def test_it_ends_with_the_token(self, world: World) -> None:
        verifier, token = world.verifier(leeway=0), world.token(exp=world.clock.seconds() + 10)
        await verifier.verify(token, ACCESS)
        world.clock.move(seconds=10)
        with pytest.raises(SubjectTokenRefused) as caught:
            await verifier.verify(token, ACCESS)
        assert caught.value.reason == "expired"

    async def test_it_ends_when_the_issuer_changes_its_keys(self, world: World) -> None:
        verifier, old = world.verifier(), world.token()
        world.clock.move(seconds=-30)
        await verifier.verify(old, ACCESS)
        world.issuer.rotate("second")
        world.clock.move(seconds=30)
        await verifier.verify(world.token(), ACCESS)  # a new kid: the keys are fetched anew
        with pytest.raises(SubjectTokenRefused) as caught:
            await verifier.verify(old, ACCESS)
        assert caught.value.reason == "unknown_key"

    async def test_it_is_bounded(self, world: World) -> None:
        recent: Recent[int] = Recent(capacity=3)
        now = world.clock()
        world.clock.move(minutes=5)
        for n in range(5):
            recent.put((bytes([n]), "t"), n, version=1, now=now, expires_at=world.clock())
        assert len(recent) == 3
        assert recent.get((b"\0", "t"), now=now) is None
        assert recent.get((b"\4", "t"), now=now) == (4, 1)
        recent.put((b"\7", "t"), 7, version=1, now=now, expires_at=now)
        assert recent.get((b"\7", "t"), now=now) is None

    async def test_nothing_of_the_token_is_kept(self, world: World) -> None:
        verified = await world.verifier().verify(world.token(), ACCESS)
        assert isinstance(verified, VerifiedSubject)
        assert "eyJ" not in repr(verified)
        assert not issubclass(SubjectTokenRefused, JwtRefused)
