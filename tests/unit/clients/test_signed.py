"""Client assertions at the verifier itself: whose keys, how long, once (RFC 7523 §3; security A8, A9)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from joserfc.jwk import ECKey, OKPKey, RSAKey
from sqlalchemy import func, select

from tests.support.clock import HandClock
from tests.support.signing import ABSENT, Signer
from tests.unit.clients.world import US, clients_of, signed_by
from tests.unit.loopback_issuer import HOST, JWKS, LoopbackIssuer
from vaultd.clients.assertion import ClientAssertions
from vaultd.clients.config import ClientConfig
from vaultd.clients.credentials import from_request
from vaultd.clients.nobody import NobodysKeys
from vaultd.clients.signed import SignedByClients
from vaultd.config_types import ASYMMETRIC
from vaultd.db import Database
from vaultd.errors import InvalidClient, SlowDown, TemporarilyUnavailable
from vaultd.jose import JwtRefused, parse_jwt
from vaultd.jose.jwks import fits
from vaultd.jose.verify import check_signature
from vaultd.outbound import Outbound
from vaultd.replay import ReplayMemory, replay_table
from vaultd.terms import Secret


def config(signer: Signer, **changed: Any) -> ClientConfig:
    return ClientConfig.model_validate({"auth": "private_key_jwt", "jwks": signer.jwks(), **changed})


class Desk:
    """Two clients that sign, one with a secret, and the verifier of their assertions."""

    def __init__(self, database: Database, clock: HandClock) -> None:
        self.clock = clock
        self.database = database
        self.agent = Signer("agent", vault=US, clock=clock)
        self.other = Signer("other", vault=US, clock=clock)
        self.configs = {
            "agent": config(self.agent),
            "other": config(self.other),
            "secretive": ClientConfig(auth="client_secret_basic", secret=Secret("s" * 32)),
        }

    async def verify(self, assertion: str, client_id: str = "agent", configs: dict[str, Any] | None = None) -> None:
        signed = signed_by(configs or self.configs, database=self.database, clock=self.clock)
        verifier = ClientAssertions(public_url=US, signed=signed)
        await verifier.verify(parse_jwt(Secret(assertion)), client_id=client_id)

    async def reason(self, assertion: str, client_id: str = "agent", configs: dict[str, Any] | None = None) -> str:
        with pytest.raises(InvalidClient) as caught:
            await self.verify(assertion, client_id, configs)
        return caught.value.reason

    async def remembered(self) -> int:
        async with self.database.transaction() as connection:
            return (await connection.execute(select(func.count()).select_from(replay_table))).scalar_one()


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk(database, HandClock())


KEYS: Mapping[str, Any] = {
    "RS256": lambda: RSAKey.generate_key(2048),
    "PS384": lambda: RSAKey.generate_key(2048),
    "ES256": lambda: ECKey.generate_key("P-256"),
    "ES512": lambda: ECKey.generate_key("P-521"),
    "EdDSA": lambda: OKPKey.generate_key("Ed25519"),
    "Ed25519": lambda: OKPKey.generate_key("Ed25519"),
}


@pytest.mark.parametrize("alg", KEYS)
async def test_any_asymmetric_algorithm_with_a_registered_key(desk: Desk, alg: str) -> None:
    signer = Signer("agent", vault=US, key=KEYS[alg](), alg=alg, clock=desk.clock)
    await desk.verify(signer.assertion({"kid": ABSENT}), configs={"agent": config(signer)})


async def test_a_clients_own_list_of_algorithms_is_held_to(desk: Desk) -> None:
    narrow = {"agent": config(desk.agent, algorithms=("PS256",))}
    assert await desk.reason(desk.agent.assertion(), configs=narrow) == "bad_algorithm"


@pytest.mark.parametrize(
    "audience",
    [US, f"{US}/", f"{US}/oauth/token", f"{US}/oauth/token/", [US], [US, f"{US}/oauth/token"]],
    ids=str,
)
async def test_the_audience_is_the_issuer_or_the_endpoint(desk: Desk, audience: object) -> None:
    """api.md §1.4; a list is fine as long as nobody else is in it."""
    await desk.verify(desk.agent.assertion(aud=audience))


@pytest.mark.parametrize("typ", [ABSENT, "JWT", "jwt", "application/jwt", "client-authentication+jwt"])
async def test_the_types_that_a_client_assertion_may_have(desk: Desk, typ: object) -> None:
    await desk.verify(desk.agent.assertion({"typ": typ}))


async def test_the_longest_life_is_ten_minutes(desk: Desk) -> None:
    now = int(desk.clock().timestamp())
    await desk.verify(desk.agent.assertion(iat=now, exp=now + 600))
    await desk.verify(desk.agent.assertion(iat=now + 25, exp=now + 625))
    await desk.verify(desk.agent.assertion(iat=ABSENT, exp=now + 600))
    assert await desk.reason(desk.agent.assertion(iat=now, exp=now + 601)) == "lifetime"
    assert await desk.reason(desk.agent.assertion(iat=now - 570, exp=now + 31)) == "lifetime"
    assert await desk.reason(desk.agent.assertion(iat=ABSENT, exp=now + 632)) == "lifetime"


async def test_a9_once_and_no_longer_than_it_could_be_used(desk: Desk) -> None:
    # The database forgets nothing that has not ended by its own clock.
    desk.clock.forward(hours=-1)
    assertion = desk.agent.assertion()
    await desk.verify(assertion)
    assert await desk.reason(assertion) == "replayed"
    replay = ReplayMemory(database=desk.database, clock=desk.clock)
    desk.clock.forward(seconds=89)
    await replay.sweep()
    assert await desk.reason(assertion) == "replayed"
    desk.clock.forward(seconds=1)
    assert await desk.reason(assertion) == "expired"
    desk.clock.forward(seconds=60)
    await replay.sweep()
    assert await desk.remembered() == 0


async def test_a9_one_clients_jti_is_not_anothers(desk: Desk) -> None:
    await desk.verify(desk.agent.assertion(jti="1"))
    await desk.verify(desk.other.assertion(jti="1"), "other")


async def test_a9_nothing_is_remembered_of_what_nobody_signed(desk: Desk) -> None:
    """Else anyone could use up the ids that a client is about to use, or fill the memory."""
    forger = Signer("agent", vault=US, clock=desk.clock)
    await desk.reason(forger.assertion({"kid": desk.agent.key.kid}, jti="next"))
    await desk.reason(desk.agent.assertion(jti="next", aud="https://other.example"))
    assert await desk.remembered() == 0
    await desk.verify(desk.agent.assertion(jti="next"))


async def test_each_client_has_its_own_keys_only(desk: Desk) -> None:
    assert await desk.reason(desk.other.assertion(iss="agent", sub="agent")) == "unknown_key"
    named = desk.other.assertion({"kid": desk.agent.key.kid}, iss="agent", sub="agent")
    assert await desk.reason(named) == "bad_signature"
    assert await desk.reason(desk.other.assertion()) == "unknown_key"
    assert await desk.reason(desk.agent.assertion(iss="other")) == "wrong_issuer"
    assert await desk.reason(desk.agent.assertion(sub="other")) == "wrong_claim"


async def test_a8_clients_without_keys_and_strangers_are_refused_alike(desk: Desk) -> None:
    for client_id in ("secretive", "nobody"):
        stranger = Signer(client_id, vault=US, clock=desk.clock)
        assert await desk.reason(stranger.assertion(), client_id) == "unknown_key"
        assert await desk.reason(stranger.assertion({"kid": ABSENT}), client_id) == "unknown_key"


@pytest.mark.parametrize("alg", ASYMMETRIC)
def test_a8_nobodys_key_takes_the_time_of_a_real_one(alg: str) -> None:
    key = NobodysKeys().key_for(alg)
    assert fits(key, alg)
    unverified = parse_jwt(Secret(Signer("x", vault=US).assertion({"alg": alg})))
    with pytest.raises(JwtRefused) as caught:
        check_signature(unverified, alg, key)
    assert caught.value.reason == "bad_signature"


async def test_a10_failures_are_throttled(desk: Desk) -> None:
    clients = clients_of(desk.configs, signed=signed_by(desk.configs, database=desk.database, clock=desk.clock))

    async def attempt(assertion: str) -> None:
        params = {"client_assertion": assertion, "client_assertion_type": _TYPE}
        presented = from_request(None, params)
        assert presented is not None
        await clients.authenticate(presented, ip="192.0.2.1")

    for _ in range(10):
        with pytest.raises(InvalidClient):
            await attempt(desk.agent.assertion(aud="https://other.example"))
    with pytest.raises(SlowDown):
        await attempt(desk.agent.assertion())
    await attempt(desk.other.assertion())


_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@pytest_asyncio.fixture
async def outbound() -> AsyncIterator[Outbound]:
    client = Outbound()
    yield client
    await client.aclose()


async def at_an_address(desk: Desk, outbound: Outbound, server: LoopbackIssuer) -> tuple[SignedByClients, Signer]:
    signer = Signer("agent", vault=US, key=server.key, clock=desk.clock)
    keys = {"jwks": None, "jwks_uri": server.url + JWKS, "allow_private_hosts": (HOST,)}
    configs = {"agent": config(signer, **keys)}
    return signed_by(configs, database=desk.database, outbound=outbound, clock=desk.clock), signer


async def fetched() -> None:
    """Until the fetch is over that is under way in the background."""
    await asyncio.wait(fetching(), timeout=5)


def fetching() -> list[asyncio.Task[Any]]:
    return [task for task in asyncio.all_tasks() if "KeyCache" in repr(task.get_coro())]


async def test_the_very_first_request_of_a_client_succeeds(desk: Desk, outbound: Outbound) -> None:
    """A3 for clients, fetched at start; and there is no discovery for them."""
    async with LoopbackIssuer() as server:
        signed, signer = await at_an_address(desk, outbound, server)
        await signed.fetch()
        verifier = ClientAssertions(public_url=US, signed=signed)
        await verifier.verify(parse_jwt(Secret(signer.assertion())), client_id="agent")
        assert server.asked == {JWKS: 1}
        await signed.aclose()


async def test_keys_at_an_address_rotate_without_restart(desk: Desk, outbound: Outbound) -> None:
    """The first request with a new key has it fetched, and the next one is believed."""
    async with LoopbackIssuer() as server:
        signed, signer = await at_an_address(desk, outbound, server)
        await signed.fetch()
        verifier = ClientAssertions(public_url=US, signed=signed)
        signer.key = server.rotate("second")
        desk.clock.forward(seconds=30)
        with pytest.raises(InvalidClient) as caught:
            await verifier.verify(parse_jwt(Secret(signer.assertion())), client_id="agent")
        assert caught.value.reason == "unknown_key"
        await fetched()
        await verifier.verify(parse_jwt(Secret(signer.assertion())), client_id="agent")
        assert server.asked == {JWKS: 2}
        await signed.aclose()


async def test_keys_are_kept_fresh_while_nobody_asks(desk: Desk, outbound: Outbound) -> None:
    """Else the first request after a quiet hour would be refused."""
    async with LoopbackIssuer() as server:
        signed, signer = await at_an_address(desk, outbound, server)
        await signed.fetch()
        for _ in range(13):
            desk.clock.forward(minutes=5)
            await signed.fetch()
        await ClientAssertions(public_url=US, signed=signed).verify(
            parse_jwt(Secret(signer.assertion())), client_id="agent"
        )
        assert server.asked == {JWKS: 14}
        await signed.aclose()


async def test_a8_keys_that_are_away_look_like_a_client_that_is_not_there(desk: Desk, outbound: Outbound) -> None:
    """No answer waits for a key server, and none says whose it is; the client is believed once its keys are here."""
    server = LoopbackIssuer()
    async with server:
        signed, signer = await at_an_address(desk, outbound, server)
        verifier = ClientAssertions(public_url=US, signed=signed)
        server.status = 500
        await signed.fetch()
        server.open.clear()
        desk.clock.forward(seconds=5)
        assertion = parse_jwt(Secret(signer.assertion()))
        for client_id, reason in (("agent", "client_keys_unreachable"), ("nobody", "unknown_key")):
            with pytest.raises(InvalidClient) as caught:
                await verifier.verify(assertion, client_id=client_id)
            assert caught.value.reason == reason
        assert len(fetching()) == 1
        server.status = 200
        server.open.set()
        await fetched()
        await verifier.verify(assertion, client_id="agent")
    # With keys at hand, only one that is new cannot be judged.
    desk.clock.forward(seconds=30)
    with pytest.raises(InvalidClient):
        await verifier.verify(parse_jwt(Secret(signer.assertion({"kid": "new"}))), client_id="agent")
    await fetched()
    await verifier.verify(parse_jwt(Secret(signer.assertion())), client_id="agent")
    await signed.aclose()


async def test_a_start_does_not_wait_for_ever(desk: Desk, outbound: Outbound) -> None:
    async with LoopbackIssuer() as server:
        signed, _ = await at_an_address(desk, outbound, server)
        server.open.clear()
        await signed.fetch(patience=0.05)
        assert len(fetching()) == 1
        server.open.set()
        await signed.aclose()


async def test_closing_stops_the_fetching_of_keys(desk: Desk, outbound: Outbound) -> None:
    async with LoopbackIssuer() as server:
        signed, signer = await at_an_address(desk, outbound, server)
        await signed.fetch()
        verifier = ClientAssertions(public_url=US, signed=signed)
        await verifier.verify(parse_jwt(Secret(signer.assertion())), client_id="agent")
        server.open.clear()
        desk.clock.forward(minutes=5)
        await verifier.verify(parse_jwt(Secret(signer.assertion())), client_id="agent")
        assert len(fetching()) == 1
        await signed.aclose()
        assert not fetching()
        server.open.set()


async def test_keys_in_a_file(desk: Desk, tmp_path: Path) -> None:
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps(desk.agent.jwks()), encoding="utf-8")
    configs = {"agent": config(desk.agent, jwks=None, jwks_file=path)}
    signed = signed_by(configs, database=desk.database, clock=desk.clock)
    await signed.fetch()
    verifier = ClientAssertions(public_url=US, signed=signed)
    await verifier.verify(parse_jwt(Secret(desk.agent.assertion())), client_id="agent")


async def test_no_replay_memory_no_belief(desk: Desk) -> None:
    signed = signed_by(desk.configs, clock=desk.clock)
    verifier = ClientAssertions(public_url=US, signed=signed)
    with pytest.raises(TemporarilyUnavailable):
        await verifier.verify(parse_jwt(Secret(desk.agent.assertion())), client_id="agent")
