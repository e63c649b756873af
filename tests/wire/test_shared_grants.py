"""Several users on one account at a provider that keeps one grant for it: none of them ends what the others live on.

After each step the other one's exchange gives a token that the provider still accepts (B3, B5, C7).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from tests.conftest import DatabaseUrls
from tests.doubles.one_grant import OneGrant, Way, table_of
from tests.wire.own import AGENT, OneAgent, agent_beside
from tests.wire.vault import App, Vault
from vaultd.sandbox.servers import LoopbackServers
from vaultd.sandbox.world import World

AT: dict[str, Way] = {"hub": "github", "cal": "google", "chat": "slack"}


@dataclass(frozen=True, slots=True)
class Town(OneAgent):
    """A vault with a provider of each way."""

    at: dict[str, OneGrant]

    async def works(self, vault: Vault, app: App, name: str) -> bool:
        """Whether the agent gets a token that the provider accepts."""
        answer = await vault.exchange(app.session_token, audience=name)
        return answer.status_code == 200 and self.at[name].accepts(answer.json()["access_token"])

    async def told(self, vault: Vault, app: App) -> list[tuple[str, str | None]]:
        """What was done at the provider for this user, once it was decided."""
        who: dict[str, Any] = {"subject_issuer": self.world.places.issuer, "subject": app.user}
        async with asyncio.timeout(15):
            while True:
                events = (await vault.audit(**who))["events"]
                if found := [each for each in events if each["type"].startswith("provider.")]:
                    return [(each["type"], each.get("reason")) for each in reversed(found)]
                await asyncio.sleep(0.05)


@pytest.fixture(scope="module")
def town(world: World, module_database: DatabaseUrls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    at = {name: OneGrant(way) for name, way in AT.items()}
    with LoopbackServers() as servers:
        urls = {name: servers.serve(provider.app) for name, provider in at.items()}
        providers = {
            name: table_of(way, urls[name], client_id=f"app-at-{name}", client_secret=AGENT[1])
            for name, way in AT.items()
        }
        providers["one"] = providers["hub"] | {"client_id": "app-of-one", "accounts": "single"}
        with agent_beside(
            world, database_url=module_database.service, folder=tmp_path_factory.mktemp("town"), providers=providers
        ) as beside:
            yield Town(beside, at | {"one": at["hub"]})


@pytest_asyncio.fixture
async def vault(town: Town) -> AsyncIterator[Vault]:
    async with town.vault() as speaking:
        yield speaking


@pytest.fixture(autouse=True)
def healthy(town: Town) -> None:
    for provider in town.at.values():
        provider.down = False


@pytest.mark.parametrize("name", AT)
async def test_one_disconnects_and_then_the_other(town: Town, vault: Vault, name: str) -> None:
    town.at[name].person = "pair"
    async with town.app() as first, town.app() as second:
        ids = [await town.connect(app, name) for app in (first, second)]
        assert (await first.http.delete(f"accounts/{ids[0]}")).status_code == 204
        kind = "provider.revoked" if name == "hub" else "provider.kept"
        assert await town.told(vault, first) == [(kind, "kept_shared_grant")]
        assert await town.works(vault, second, name)
        assert (await second.http.delete(f"accounts/{ids[1]}")).status_code == 204
        assert await town.told(vault, second) == [("provider.revoked", None)]
    assert town.at[name].tokens_of("pair") == []


@pytest.mark.parametrize("name", AT)
async def test_b3_a_foreign_completion(town: Town, vault: Vault, name: str) -> None:
    town.at[name].person = "foreign"
    async with town.app() as victim, town.app() as attacker, town.app() as other:
        await town.connect(victim, name)
        begun, back = await town.consented(attacker, name)
        assert (await other.complete(begun, back["connect_code"])).status_code == 403
        assert (await town.told(vault, attacker))[0][1] == "kept_shared_grant"
        assert await town.works(vault, victim, name)


async def test_b5_an_account_too_many(town: Town, vault: Vault) -> None:
    github = town.at["one"]
    async with town.app() as victim, town.app() as other:
        github.person = "limit"
        await town.connect(victim, "one")
        github.person = "own"
        await town.connect(other, "one")
        github.person = "limit"
        begun, back = await town.consented(other, "one")
        assert (await other.complete(begun, back["connect_code"])).status_code == 400
        assert await town.told(vault, other) == [("provider.revoked", "kept_shared_grant")]
        assert await town.works(vault, victim, "one")
        assert await town.works(vault, other, "one")


async def test_b3_an_account_that_cannot_be_named(town: Town, vault: Vault) -> None:
    github = town.at["hub"]
    github.person = "nameless"
    async with town.app() as victim, town.app() as attacker:
        await town.connect(victim, "hub")
        github.down = True
        _, back = await town.consented(attacker, "hub")
        assert back["error"] == "temporarily_unavailable"
        assert await town.told(vault, attacker) == [("provider.revoked", "kept_unknown_account")]
        assert await town.works(vault, victim, "hub")
