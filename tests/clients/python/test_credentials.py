"""Issue 7, item 1, and api.md §1.4: how the client proves itself, at a real vault that takes one method from each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, OKPKey

from tests.clients.python.conftest import Open
from tests.support.also import also_serving
from tests.support.signing import Signer
from tests.wire.night import ISSUERS, MAY
from tests.wire.vault import App, Vault, fresh
from vaultd.sandbox.dev_config import SAMPLE_AGENT
from vaultd.sandbox.world import World
from vaultd_client import (
    AwayUser,
    ClientAuth,
    ClientSecretBasic,
    ClientSecretPost,
    InvalidClient,
    NoSecret,
    NotConnected,
    PrivateKeyJwt,
    UnauthorizedClient,
)
from vaultd_client.signing import JwtSigner

ODD_ID = "an:agent+of%ours"
ODD_SECRET = "p%3Aa:s+s /w=ord-that-is-long-enough-to-be-taken"
SECRET = "another-secret-that-is-long-enough-to-be-taken"
GRANTS = f'subject_azp = ["{SAMPLE_AGENT}"]\nproviders = {{ github = ["repo", "read:user"] }}\n'
ED25519 = ed25519.Ed25519PrivateKey.generate()
P256 = ec.generate_private_key(ec.SECP256R1())


def pem(key: ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


JWK = ECKey.generate_key("P-256", {"kid": "by jwk"})


def elsewhere(header: Mapping[str, Any], claims: Mapping[str, Any]) -> str:
    """As a program would that has its key in another place."""
    return jwt.encode({**header, "alg": "ES256", "kid": "by jwk"}, dict(claims), JWK)


AUTHS: Mapping[str, ClientAuth] = {
    "basic": ClientSecretBasic(ODD_ID, ODD_SECRET),
    "post": ClientSecretPost("posting", SECRET),
    "private_key_jwt by JWK": PrivateKeyJwt("jwk-agent", JwtSigner(JWK.as_dict(private=True))),
    "private_key_jwt by PEM": PrivateKeyJwt("pem-agent", JwtSigner(pem(P256))),
    "private_key_jwt, Ed25519": PrivateKeyJwt("ed-agent", JwtSigner(pem(ED25519), alg="Ed25519", kid="ed")),
    "private_key_jwt by a function": PrivateKeyJwt("jwk-agent", elsewhere),
    "none": NoSecret("public-agent"),
    "none, implied by the user's token": NoSecret(),
}


def tables(url: str) -> str:
    signers: dict[str, ECKey | OKPKey] = {
        "jwk-agent": JWK,
        "pem-agent": ECKey.import_key(pem(P256)),
        "ed-agent": OKPKey.import_key(pem(ED25519), {"kid": "ed"}),
        "night-agent": JWK,
    }
    more = {"night-agent": MAY + 'assert_issuer = "sandbox"\n'}
    signing = [Signer(name, vault=url, key=key).table(GRANTS, more.get(name, "")) for name, key in signers.items()]
    return "\n".join(
        [
            ISSUERS,
            f'[clients."{ODD_ID}"]\nauth = "client_secret_basic"\nsecret = "{ODD_SECRET}"\n{GRANTS}',
            f'[clients.posting]\nauth = "client_secret_post"\nsecret = "{SECRET}"\n{GRANTS}',
            f'[clients.public-agent]\nauth = "none"\nip_allowlist = ["127.0.0.0/8"]\n{GRANTS}',
            *signing,
        ]
    )


@pytest.fixture(scope="module")
def url(world: World) -> Iterator[str]:
    with also_serving(world, tables) as serving:
        yield serving


@pytest.mark.parametrize("method", AUTHS)
async def test_every_method_of_authentication(url: str, app: App, opened: Open, method: str) -> None:
    await app.connect()
    speaker = opened(url, auth=AUTHS[method])
    # A second exchange, since an assertion is good for one.
    for scopes in (None, ["repo"]):
        assert (await speaker.get(subject_token=app.session_token, scopes=scopes)).account == "alice@example.com"
    assert speaker.wire.exchanges == 2


async def test_another_key_is_no_credential(url: str, app: App, opened: Open) -> None:
    stranger = ECKey.generate_key("P-256", {"kid": "by jwk"}).as_dict(private=True)
    with pytest.raises(InvalidClient):
        await opened(url, auth=PrivateKeyJwt("jwk-agent", JwtSigner(stranger))).get(subject_token=app.session_token)


async def test_an_audience_of_ones_own_is_for_a_vault_behind_another_name(url: str, app: App, opened: Open) -> None:
    await app.connect()
    sign = JwtSigner(JWK.as_dict(private=True))
    elsewhere = opened(url, auth=PrivateKeyJwt("jwk-agent", sign, audience="https://vault.example.com"))
    with pytest.raises(InvalidClient):
        await elsewhere.get(subject_token=app.session_token)
    endpoint = opened(url, auth=PrivateKeyJwt("jwk-agent", sign, audience=f"{url}/oauth/token"))
    assert await endpoint.get(subject_token=app.session_token)


async def test_a_user_who_is_away_is_named_by_the_same_key(
    world: World, vault: Vault, url: str, app: App, opened: Open
) -> None:
    """api.md §1.2: client-signed subjects, each assertion used once, the token kept under the user's name."""
    await app.connect()
    speaker = opened(url, auth=PrivateKeyJwt("night-agent", JwtSigner(JWK.as_dict(private=True))))
    away = AwayUser(app.user, issuer=world.places.issuer)
    token = await speaker.get(subject_token=away)
    assert await speaker.get(subject_token=AwayUser(app.user, issuer=world.places.issuer)) is token
    assert speaker.wire.exchanges == 1
    assert (await speaker.get(subject_token=AwayUser(app.user))).access_token == token.access_token
    assert (await speaker.get(subject_token=away, instead_of=token)).access_token != token.access_token
    with pytest.raises(NotConnected):
        await speaker.get(subject_token=AwayUser(fresh("nobody")))
    who = {"subject_issuer": world.places.issuer, "subject": app.user, "type": "token.exchanged"}
    assert {event["subject_presence"] for event in (await vault.audit(**who))["events"]} == {"asserted"}
    reasoned = AwayUser(app.user, issuer=world.places.issuer, audit_context="Nightly report")
    assert await speaker.get(subject_token=reasoned, instead_of=await speaker.get(subject_token=reasoned))
    assert (await vault.audit(**who))["events"][0]["audit_context"] == "Nightly report"
    with pytest.raises(TypeError, match="who is there"):
        await speaker("status", "github", subject_token=away)


async def test_a_client_that_may_not_name_users(url: str, app: App, opened: Open) -> None:
    speaker = opened(url, auth=AUTHS["private_key_jwt by JWK"])
    with pytest.raises(UnauthorizedClient):
        await speaker.get(subject_token=AwayUser(app.user))


@pytest.mark.parametrize(
    ("key", "alg"),
    [
        (OctKey.generate_key(256).as_dict(), "ES256"),
        (OctKey.generate_key(256).as_dict(), "HS256"),
        (ECKey.import_key(JWK.as_dict()).as_dict(private=False), "ES256"),
        (pem(ED25519), "ES256"),
        ("no key at all", "RS256"),
    ],
)
def test_only_the_private_key_of_a_pair_signs(key: Any, alg: str) -> None:
    with pytest.raises(ValueError, match="key"):
        JwtSigner(key, alg=alg)
