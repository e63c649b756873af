"""Security A3 from outside: an issuer rotates its keys, is flooded with forged ones, and goes away for an hour.

Also the clock's side of issue 4, item 1: what is remembered of a token, and for how long.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import httpx
import pytest
import pytest_asyncio
from joserfc import jwt
from joserfc.jwk import ECKey

from tests.conftest import DatabaseUrls
from tests.support.clock import HandClock
from tests.support.introspection import TABLE, IntrospectingIssuer
from tests.wire.beside import vault_beside
from tests.wire.vault import Vault, fresh
from vaultd.sandbox.dev_config import SAMPLE_AGENT
from vaultd.sandbox.issuer import SandboxIssuer
from vaultd.sandbox.servers import LoopbackServers, listen
from vaultd.sandbox.world import World

LONG = 10 * 3600
"""Seconds that a token lives which is to outlast an outage."""


@dataclass(frozen=True, slots=True)
class Watched:
    """A vault whose clock is moved by hand, its issuer, and one that is asked and may be believed for a minute."""

    vault: Vault
    clock: HandClock
    issuer: SandboxIssuer
    asked: IntrospectingIssuer

    def token(self) -> str:
        return self.issuer.mint(fresh("user"), azp=SAMPLE_AGENT, ttl=LONG)

    async def believed(self, token: str) -> bool:
        answer = await self.vault.exchange(token)
        assert answer.status_code == 400, answer.text
        error: str = answer.json()["error"]
        assert error in {"interaction_required", "invalid_request"}
        return error == "interaction_required"

    async def reason(self, answer: httpx.Response) -> str:
        (event,) = await self.vault.events_of(answer)
        reason: str = event["reason"]
        return reason


@pytest.fixture
def world_of_its_own(
    world: World, database_urls: DatabaseUrls, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[World, HandClock, IntrospectingIssuer]]:
    clock, asked_at = HandClock(), listen()
    asked = IntrospectingIssuer(asked_at.url)

    def tables(vault: str) -> str:
        return f"""
[issuers.asked]
issuer = "{asked_at.url}"
audience = ["{vault}"]
allow_private_hosts = ["127.0.0.1"]
[issuers.asked.introspection]
cache_seconds = 60
{TABLE}
"""

    folder = tmp_path_factory.mktemp("keys")
    with (
        LoopbackServers() as servers,
        vault_beside(world, database_url=database_urls.service, folder=folder, tables=tables, clock=clock) as beside,
    ):
        servers.serve(asked.app, asked_at)
        yield beside, clock, asked


@pytest_asyncio.fixture
async def watched(world_of_its_own: tuple[World, HandClock, IntrospectingIssuer]) -> AsyncIterator[Watched]:
    beside, clock, asked = world_of_its_own
    async with Vault(beside) as vault:
        yield Watched(vault, clock, beside.issuer, asked)


async def test_a3_rotation_needs_no_restart(watched: Watched) -> None:
    assert await watched.believed(watched.token())
    watched.issuer.rotate_key()
    watched.clock.forward(seconds=30)
    assert await watched.believed(watched.token())
    assert watched.issuer.calls["jwks"] == 2


async def test_a3_unknown_keys_cause_one_fetch_in_thirty_seconds(watched: Watched) -> None:
    true = watched.token()
    assert await watched.believed(true)
    stranger = ECKey.generate_key("P-256")
    claims = {"iss": watched.issuer.issuer, "sub": "alice", "exp": int(watched.clock().timestamp()) + 600}
    watched.clock.forward(seconds=30)
    answers = []
    for attempt in range(30):
        forged = jwt.encode({"alg": "ES256", "kid": f"forged-{attempt}", "typ": "at+jwt"}, claims, stranger)
        answers.append(await watched.vault.exchange(forged))
        watched.clock.forward(seconds=0.9)
    assert {(answer.status_code, answer.json()["error"]) for answer in answers} == {(400, "invalid_request")}
    assert watched.issuer.calls["jwks"] == 2
    assert await watched.reason(answers[-1]) == "unknown_key"
    assert await watched.believed(true)


async def test_a3_keys_at_hand_serve_for_an_hour_of_outage(watched: Watched) -> None:
    token = watched.token()
    assert await watched.believed(token)
    watched.issuer.faults.discovery = watched.issuer.faults.jwks = "down"
    for _ in range(3):
        watched.clock.forward(minutes=19)
        assert await watched.believed(token)
    watched.clock.forward(minutes=4)
    answer = await watched.vault.exchange(token)
    assert (answer.status_code, answer.json()["error"]) == (503, "temporarily_unavailable")
    assert int(answer.headers["retry-after"]) > 0
    assert await watched.reason(answer) == "issuer_unreachable"
    watched.issuer.faults.clear()
    watched.clock.forward(seconds=5)
    assert await watched.believed(token)


async def test_a3_what_is_remembered_goes_when_the_keys_change(watched: Watched) -> None:
    """A key that its issuer gave up for stolen is believed no longer than its absence takes to be seen."""
    old = watched.token()
    assert await watched.believed(old)
    watched.issuer.rotate_key(forget_old=True)
    watched.clock.forward(seconds=30)
    # Within the minute that its claims would be remembered for.
    assert await watched.believed(old)
    assert await watched.believed(watched.token())
    answer = await watched.vault.exchange(old)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    assert await watched.reason(answer) == "unknown_key"


async def test_a3_keys_are_renewed_without_any_new_one(watched: Watched) -> None:
    """A token of a key that was given up is refused after ten minutes at most, whoever else comes."""
    old = watched.token()
    assert await watched.believed(old)
    watched.issuer.rotate_key(forget_old=True)
    watched.clock.forward(minutes=10)
    assert not await watched.believed(old)


async def test_what_is_remembered_of_an_answer_lasts_a_minute(watched: Watched) -> None:
    """Issue 4, item 1: `cache_seconds` at its most, and never beyond the token's own end."""
    now = int(watched.clock().timestamp())
    answer = {"sub": "alice", "aud": watched.vault.world.places.vault, "client_id": SAMPLE_AGENT}
    token = watched.asked.believe(fresh("opaque"), **answer, exp=now + 600)
    short = watched.asked.believe(fresh("opaque"), **answer, exp=now + 20)
    assert await watched.believed(token)
    assert await watched.believed(short)
    watched.asked.answers.clear()
    watched.clock.forward(seconds=19)
    assert await watched.believed(short)
    watched.clock.forward(seconds=2)
    assert not await watched.believed(short)
    watched.clock.forward(seconds=38)
    assert await watched.believed(token)
    watched.clock.forward(seconds=2)
    refused = await watched.vault.exchange(token)
    assert await watched.reason(refused) == "inactive"
    assert [form["token"] for form in watched.asked.asked] == [token, short, short, token]
