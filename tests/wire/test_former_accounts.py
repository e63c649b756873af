"""Connections from before their provider's accounts were known by another id, after an upgrade of its entry."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import DatabaseUrls
from tests.doubles.places_of_grants import GrantsForPlaces, table_at
from tests.wire.own import AGENT, agent_beside, tables_for
from tests.wire.test_grants_for_places import Street, accounts_of
from tests.wire.vault import App, Vault
from vaultd.app.factory import create_app
from vaultd.sandbox.servers import LoopbackServers, listen
from vaultd.sandbox.world import World
from vaultd.settings import load

TOLD: dict[str, Any] = {
    "way": "redirect",
    "before": {"account_id_field": "id", "callback_metadata": {"realm_id": "realmId"}},
    "after": {
        "account_id_field": "redirect:realmId",
        "callback_metadata": {"realm_id": "realmId"},
        "former_account_id_fields": ["id"],
    },
}
"""The place stands in the metadata of what was connected before."""
ASKED: dict[str, Any] = {
    "way": "userinfo",
    "before": {"account_id_field": "id"},
    "after": {"account_id_field": ["team.id", "id"], "former_account_id_fields": ["id"]},
}
"""It does not, but the provider says it to whoever has a token."""
STALE = {"assumed_ttl": 7200, "refresh_margin": 3600}
KINDS: dict[str, dict[str, Any]] = {
    "told": TOLD,
    "asked": ASKED,
    # Its tokens live for less than the margin, so that each exchange renews them and finds out that they are dead.
    "dying": {**ASKED, "before": {**ASKED["before"], **STALE}, "after": {**ASKED["after"], **STALE}},
}


@dataclass(frozen=True, slots=True)
class Upgrade:
    """A vault with the tables of before, and how it is started again with those of after."""

    before: Street
    folder: Path
    tables: dict[str, Any]

    @contextmanager
    def done(self) -> Iterator[Street]:
        """The same database and keys, the new tables."""
        at, world = listen(), self.before.world
        text = (self.folder / "vaultd.toml").read_text(encoding="utf-8")
        text = text.partition(f"[clients.{AGENT[0]}]")[0].partition(f'["clients"."{AGENT[0]}"]')[0]
        old = f'public_url = "{world.places.vault}"'
        assert old in text
        config = self.folder / f"after-{at.port}.toml"
        config.write_text(
            text.replace(old, f'public_url = "{at.url}"') + tables_for(world, self.tables), encoding="utf-8"
        )
        settings = load(config, environ={}, allow_literal_secrets=True)
        with LoopbackServers() as servers:
            servers.serve(create_app(settings), at)
            after = replace(world, places=replace(world.places, vault=at.url), settings=settings)
            yield Street(after, self.before.at)


@pytest.fixture(scope="module")
def upgrade(world: World, module_database: DatabaseUrls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upgrade]:
    folder = tmp_path_factory.mktemp("upgrade")
    at = {name: GrantsForPlaces(kind["way"]) for name, kind in KINDS.items()}
    with LoopbackServers() as servers:
        urls = {name: servers.serve(provider.app) for name, provider in at.items()}

        def tables(when: str) -> dict[str, Any]:
            return {
                name: table_at(urls[name], userinfo_endpoint=f"{urls[name]}/userinfo", **kind[when])
                for name, kind in KINDS.items()
            }

        with agent_beside(
            world, database_url=module_database.service, folder=folder, providers=tables("before")
        ) as beside:
            yield Upgrade(Street(beside, at), folder, tables("after"))


def moved(app: App, street: Street) -> App:
    """The app of the same user at the vault of after."""
    there = App(street.world)
    there.user, there.session_token = app.user, app.session_token
    there.http.headers.update(app.http.headers)
    return there


@pytest.mark.parametrize("name", ["told", "asked"])
async def test_the_same_account_is_recognised(upgrade: Upgrade, name: str) -> None:
    async with upgrade.before.app() as app:
        first = await upgrade.before.connected(app, name, "ada", "1")
        with upgrade.done() as after:
            async with moved(app, after) as there, Vault(after.world) as vault:
                vault.agent = AGENT
                # Until the user connects again it goes on as it was.
                served = await vault.exchange(app.session_token, audience=name)
                assert after.at[name].tokens[served.json()["access_token"]] == ("ada", "1")
                assert await after.connected(there, name, "ada", "1") == first
                assert [each[0] for each in await accounts_of(there)] == [first]


@pytest.mark.parametrize("name", ["told", "asked"])
async def test_another_account_under_the_former_id_is_not_replaced(upgrade: Upgrade, name: str) -> None:
    async with upgrade.before.app() as app:
        first = await upgrade.before.connected(app, name, "ada", "1")
        with upgrade.done() as after:
            async with moved(app, after) as there, Vault(after.world) as vault:
                vault.agent = AGENT
                token = (await vault.exchange(app.session_token, audience=name)).json()["access_token"]
                second = await after.connected(there, name, "ada", "2")
                assert [each[0] for each in await accounts_of(there)] == [first, second]
                assert after.at[name].tokens[token] == ("ada", "1")
                assert (await there.http.delete(f"accounts/{second}")).status_code == 204
                assert (await vault.exchange(app.session_token, audience=name)).json()["access_token"] == token


async def test_where_nobody_tells_what_lives_is_left_beside_the_new_one(upgrade: Upgrade) -> None:
    async with upgrade.before.app() as app:
        first = await upgrade.before.connected(app, "asked", "ada", "1")
        # Its tokens are dead at the provider, and vaultd does not know it yet.
        upgrade.before.at["asked"].tokens.clear()
        with upgrade.done() as after:
            async with moved(app, after) as there:
                second = await after.connected(there, "asked", "ada", "1")
                assert second != first
                assert [each[2] for each in await accounts_of(there)] == ["connected", "connected"]


async def test_where_nobody_tells_what_is_broken_is_the_one_that_is_connected_again(upgrade: Upgrade) -> None:
    async with upgrade.before.app() as app, Vault(upgrade.before.world) as vault:
        vault.agent = AGENT
        first = await upgrade.before.connected(app, "dying", "ada", "1")
        upgrade.before.at["dying"].tokens.clear()
        refused = await vault.exchange(app.session_token, audience="dying")
        assert refused.json()["reason"] == "reconnect_required", refused.text
        with upgrade.done() as after:
            async with moved(app, after) as there:
                assert await after.connected(there, "dying", "ada", "1") == first
                assert [each[2] for each in await accounts_of(there)] == ["connected"]
