"""Every client authentication method of api.md §1.4, by OAuth clients of other people's making."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any

import pytest
import pytest_asyncio
from authlib.integrations.base_client import OAuthError
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

from tests.support import node
from tests.support.also import also_serving
from tests.support.authlib_client import AsyncOAuth2Client
from tests.support.signing import Signer
from tests.wire.vault import App
from vaultd.sandbox.agent import ACCESS_TOKEN, TOKEN_EXCHANGE
from vaultd.sandbox.dev_config import BRIEFING_AGENT, SAMPLE_AGENT
from vaultd.sandbox.world import World

# A client id and a secret that are only themselves when they are percent-decoded (RFC 6749 §2.3.1).
POSTING, POST_SECRET = "posting:agent", "a+secret/with:all%that=is&special"
GRANT = f'subject_azp = ["{SAMPLE_AGENT}"]\nproviders = {{ github = ["repo", "read:user"] }}\n'
KEYS: Mapping[str, Callable[[], Key]] = {
    "ES256": lambda: ECKey.generate_key("P-256", {"kid": "es"}),
    "PS256": lambda: RSAKey.generate_key(2048, {"kid": "ps"}),
    "RS256": lambda: RSAKey.generate_key(2048, {"kid": "rs"}),
    "Ed25519": lambda: OKPKey.generate_key("Ed25519", {"kid": "ed"}),
}
PROGRAMS = {"oauth4webapi": "exchange.mjs", "openid-client": "openid-client.mjs"}


class Known:
    """A vault, and a client of it for each method."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.url = ""
        self.signers = {alg: Signer(f"signer-{alg}", vault="", key=make(), alg=alg) for alg, make in KEYS.items()}
        secret = world.secrets.briefing_agent.reveal()
        self.ways: dict[str, dict[str, Any]] = {
            "client_secret_basic": {"clientId": BRIEFING_AGENT, "clientSecret": secret},
            "client_secret_basic, encoded": {"clientId": "basic:agent", "clientSecret": POST_SECRET},
            "client_secret_post": {"clientId": POSTING, "clientSecret": POST_SECRET},
            "none": {"clientId": SAMPLE_AGENT},
        }
        for alg, signer in self.signers.items():
            key = {**signer.jwk(private=True), "alg": alg}
            self.ways[f"private_key_jwt, {alg}"] = {"clientId": signer.client_id, "clientKey": key}
        for name, way in self.ways.items():
            way["clientAuth"] = name.partition(",")[0]

    def tables(self, url: str) -> str:
        self.url = url
        with_secret = [
            f'[clients."{name}"]\nauth = "{auth}"\nsecret = "{POST_SECRET}"\n{GRANT}'
            for name, auth in ((POSTING, "client_secret_post"), ("basic:agent", "client_secret_basic"))
        ]
        return "\n".join([*with_secret, *(signer.table(GRANT) for signer in self.signers.values())])


WAYS = (
    "client_secret_basic",
    "client_secret_basic, encoded",
    "client_secret_post",
    "none",
    *(f"private_key_jwt, {alg}" for alg in KEYS),
)


@pytest.fixture(scope="module")
def known(world: World) -> Iterator[Known]:
    opened = Known(world)
    with also_serving(world, opened.tables):
        yield opened


@pytest_asyncio.fixture
async def user(app: App) -> AsyncIterator[App]:
    await app.connect()
    yield app


def request_of(known: Known, user: App, way: str, **parameters: str) -> dict[str, Any]:
    wanted = {
        "subject_token": user.session_token,
        "subject_token_type": ACCESS_TOKEN,
        "audience": "github",
        **parameters,
    }
    return {"issuer": known.url, "parameters": wanted, **known.ways[way]}


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("way", WAYS)
async def test_node_clients_discover_prove_themselves_and_exchange(
    known: Known, user: App, program: str, way: str
) -> None:
    outcome = await node.exchange(request_of(known, user, way), PROGRAMS[program])
    assert outcome["ok"] is True, outcome
    assert known.world.providers["github"].grants.access(outcome["result"]["access_token"]) is not None
    assert outcome["result"]["issued_token_type"] == ACCESS_TOKEN


@pytest.mark.parametrize("program", PROGRAMS)
async def test_node_clients_understand_the_refusals(known: Known, user: App, program: str) -> None:
    way = "private_key_jwt, ES256"
    unknown = await node.exchange(request_of(known, user, way, audience="nowhere"), PROGRAMS[program])
    assert (unknown["ok"], unknown["status"], unknown["error"]) == (False, 400, "invalid_target")
    stranger = {"clientKey": {**Signer("x", vault="").jwk(private=True), "alg": "ES256"}}
    wrong = await node.exchange({**request_of(known, user, way), **stranger}, PROGRAMS[program])
    # Without a challenge, since the request carried no Authorization: so the client reads the body.
    assert (wrong["ok"], wrong["status"], wrong["error"]) == (False, 401, "invalid_client")


def by_authlib(known: Known, way: str) -> AsyncOAuth2Client:
    told = known.ways[way]
    signer = known.signers.get(way.partition(", ")[2])
    client = AsyncOAuth2Client(
        client_id=told["clientId"],
        client_secret=signer.key if signer else told.get("clientSecret"),
        token_endpoint_auth_method=told["clientAuth"],
        trust_env=False,
    )
    if signer is not None:
        # Its assertions live an hour unless told otherwise, and claims that it was given once are used again.
        claims = {"exp": int(time.time()) + 300}
        client.register_client_auth_method(PrivateKeyJWT(known.url + "/oauth/token", claims=claims, alg=signer.alg))
    return client


async def fetch(client: AsyncOAuth2Client, known: Known, user: App) -> dict[str, Any]:
    async with client:
        return dict(
            await client.fetch_token(
                f"{known.url}/oauth/token",
                grant_type=TOKEN_EXCHANGE,
                subject_token=user.session_token,
                subject_token_type=ACCESS_TOKEN,
                audience="github",
            )
        )


# Its Basic credentials are not encoded as RFC 6749 §2.3.1 says, so they cannot hold a colon.
@pytest.mark.parametrize("way", [way for way in WAYS if "encoded" not in way])
async def test_authlib_proves_itself_and_exchanges(known: Known, user: App, way: str) -> None:
    token = await fetch(by_authlib(known, way), known, user)
    assert known.world.providers["github"].grants.access(token["access_token"]) is not None


async def test_a9_authlibs_hour_is_too_long(known: Known, user: App) -> None:
    """So it must be told `exp`, as above."""
    client = by_authlib(known, "private_key_jwt, ES256")
    client.register_client_auth_method(PrivateKeyJWT(known.url + "/oauth/token", alg="ES256"))
    with pytest.raises(OAuthError) as refused:
        await fetch(client, known, user)
    assert refused.value.error == "invalid_client"
