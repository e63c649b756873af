"""One token in the hands of several users is given back by the last of them, whatever their accounts are called."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from starlette.responses import JSONResponse, Response

from tests.conftest import DatabaseUrls
from tests.doubles.own_words import Granted, OwnWords, Words
from tests.support.clock import HandClock
from tests.wire.own import agent_beside
from tests.wire.vault import App
from tests.wire.words import Town, until
from vaultd.sandbox.servers import LoopbackServers
from vaultd.sandbox.world import World

BOT = "xoxb-of-the-workspace"
BESIDE: dict[str, Any] = {"account_source": "token", "account_label_fields": ["who"]}
TABLES: dict[str, dict[str, Any]] = {
    "member": BESIDE | {"account_id_field": ["team", "who"], "revocation_ends": "token"},
    "person": BESIDE | {"account_id_field": "who", "revocation_ends": "grant"},
    "installed": BESIDE | {"account_id_field": "who", "revocation_ends": "installation"},
    "silent": BESIDE | {"account_id_field": "who", "revocation_ends": None},
    "asked": {"revocation_ends": "token"},
}


class OneBot(OwnWords):
    """Gives its bot's token to whoever agrees, and says beside it who that was."""

    def _given(self, granted: Granted, members: Mapping[str, Any]) -> Response:
        granted.access.append(BOT)
        return JSONResponse({"access_token": BOT, "token_type": "bearer", "team": "T1", "who": granted.person})


@pytest.fixture(scope="module")
def town(world: World, module_database: DatabaseUrls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    at: dict[str, OwnWords] = {name: OneBot() for name in TABLES}
    clock = HandClock()
    with LoopbackServers() as servers:
        providers = {
            f"{name}-here": _without_none(at[name].tables(servers.serve(at[name].app), client_id=name, **changes))
            for name, changes in TABLES.items()
        }
        with agent_beside(
            world,
            database_url=module_database.service,
            folder=tmp_path_factory.mktemp("bots"),
            providers=providers,
            clock=clock,
        ) as beside:
            yield Town(beside, clock, at, module_database.service)


def _without_none(table: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in table.items() if value is not None}


async def disconnected(town: Town, app: App) -> tuple[str, str | None]:
    """Give up the one account; what was then done at the provider."""
    account = await town.account(app)
    assert (await app.http.delete(f"accounts/{account['id']}")).status_code == 204
    return await told(town, app)


async def told(town: Town, app: App) -> tuple[str, str | None]:
    found: list[dict[str, Any]] = []
    async with town.vault() as vault:
        while not found:
            who: dict[str, Any] = {"subject_issuer": town.world.places.issuer, "subject": app.user}
            events = (await vault.audit(**who))["events"]
            found = [event for event in events if event["type"].startswith("provider.")]
    return found[0]["type"], found[0].get("reason")


@pytest.mark.parametrize("name", TABLES)
async def test_the_last_who_holds_it_gives_it_back(town: Town, name: str) -> None:
    provider = town.at[name]
    provider.reset()
    async with town.app() as one, town.app() as two:
        for app in (one, two):
            await town.connected(app, name)
        assert await disconnected(town, one) == ("provider.kept", "kept_shared_grant")
        assert provider.revoked == []
        assert (await town.exchange(two, name)).json()["access_token"] == BOT
        assert await disconnected(town, two) == ("provider.revoked", None)
        await until(lambda: BOT in provider.revoked)


async def test_who_cannot_be_named_does_not_end_it_for_others(town: Town) -> None:
    provider = town.at["asked"]
    provider.reset()
    async with town.app() as one, town.app() as two:
        await town.connected(one, "asked")
        provider.userinfo = Words(500, "")
        _, back = await town.consented(two, "asked")
        assert back["error"] == "temporarily_unavailable"
        assert await told(town, two) == ("provider.kept", "kept_shared_grant")
        assert provider.revoked == []
