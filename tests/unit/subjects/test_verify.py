"""Security A2: which tokens are believed, and what is read from them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from joserfc.jwk import OctKey

from tests.unit.loopback_issuer import HOST, sign
from tests.unit.subjects.world import ABSENT, ACCESS, ID, JWT, SHARED, TYPE, US, World
from vaultd.errors import ConfigurationError, InvalidRequest, SubjectTokenRefused, TemporarilyUnavailable
from vaultd.jose import JwtRefused
from vaultd.subjects.config import IssuerConfig
from vaultd.subjects.recent import Recent
from vaultd.subjects.tokens import VerifiedSubject
from vaultd.subjects.verify import SubjectVerifier
from vaultd.terms import Scopes, Secret, Subject


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
    assert verified.jkt is None
    assert verified.expires_at == world.clock() + timedelta(seconds=300)


@pytest.mark.parametrize("typ", ["JWT", "jwt", "at+jwt", "application/at+jwt", ABSENT])
async def test_types_of_an_access_token(world: World, typ: object) -> None:
    """RFC 9068 §4 and RFC 7515 §4.1.9."""
    for token_type in (ACCESS, JWT):
        await world.verifier().verify(world.token({"typ": typ}), token_type)


async def test_an_id_token(world: World) -> None:
    token = world.token({"typ": "JWT"}, aud="web-app", azp=ABSENT, scope=ABSENT)
    for token_type in (ID, JWT):
        verified = await world.verifier().verify(token, token_type)
        assert verified.presenter == "web-app"
        assert verified.scopes == Scopes()
    several = world.token({"typ": "JWT"}, aud=["web-app", "other"], azp=ABSENT, scope=ABSENT)
    assert (await world.verifier().verify(several, ID)).presenter is None
    named = world.token({"typ": "JWT"}, aud=["web-app", "other"], azp="phone-app", nonce="n")
    verified = await world.verifier().verify(named, ID)
    assert (verified.presenter, verified.scopes) == ("phone-app", Scopes()), "an ID token's scopes are no permission"


async def test_an_id_token_passes_as_access_token_only_where_audience_lists_its_client(world: World) -> None:
    token = world.token({"typ": "JWT"}, aud="web-app")
    await world.verifier(audience=("web-app",)).verify(token, ACCESS)
    with pytest.raises(SubjectTokenRefused) as caught:
        await world.verifier(audience=()).verify(token, ACCESS)
    assert caught.value.reason == "wrong_audience"
    with pytest.raises(SubjectTokenRefused) as caught:
        await world.verifier(id_token_client_ids=()).verify(token, ID)
    assert caught.value.reason == "wrong_audience"


async def test_an_id_token_for_us_too_passes_as_a_jwt(world: World) -> None:
    """Of two purposes that its audience allows, its claims decide."""
    token = world.token({"typ": "JWT"}, aud=[US, "web-app"], nonce="n", scope=ABSENT)
    assert (await world.verifier().verify(token, JWT)).presenter == "web-app"
    # And where `audience` lists its app, as an access token as well, whatever shows it to be an ID token.
    listed = world.token({"typ": "JWT"}, aud="web-app", azp=ABSENT, nonce="n", at_hash="h", scope=ABSENT)
    assert (await world.verifier(audience=("web-app",)).verify(listed, ACCESS)).presenter is None
    with pytest.raises(SubjectTokenRefused) as caught:
        await world.verifier(audience=("web-app",)).verify(world.token({"typ": "JWT"}, aud="web-app", toe=1), ACCESS)
    assert caught.value.reason == "wrong_claim"


@pytest.mark.parametrize("kind", [ACCESS, JWT])
@pytest.mark.parametrize("claims", [{}, {"nonce": "n"}, {"scope": ABSENT}, {"nonce": "n", "scope": ABSENT}])
async def test_for_whom_a_token_is_says_its_audience_and_not_who_got_it(
    world: World, kind: str, claims: dict[str, Any]
) -> None:
    """A listed app's token for another API is not for us."""
    token = world.token({"typ": "JWT"}, aud="https://other-api.example", azp="web-app", **claims)
    with pytest.raises(SubjectTokenRefused) as caught:
        await world.verifier(audience=("web-app",)).verify(token, kind)
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
