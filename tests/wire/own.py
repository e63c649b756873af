"""A vault with providers of a test's own, and one agent that may use all of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.support.toml import written
from tests.wire.beside import vault_beside
from tests.wire.vault import App, Vault, bearer, go_on, query_of, ticket_url
from vaultd.sandbox.person import ACCOUNT_SCOPES
from vaultd.sandbox.world import World
from vaultd.terms import Clock, system_clock

AGENT = ("own-agent", "the made-up secret of the agent, long enough")


@dataclass(frozen=True, slots=True)
class OneAgent:
    """A vault, the agent there, and users of the agent's app."""

    world: World

    def app(self) -> App:
        """The app, with another user each time."""
        app = App(self.world)
        app.session_token = self.world.issuer.mint(app.user, azp=AGENT[0], scope=ACCOUNT_SCOPES)
        app.http.headers.update(bearer(app.session_token))
        return app

    def vault(self) -> Vault:
        """The vault as the agent speaks to it."""
        vault = Vault(self.world)
        vault.agent = AGENT
        return vault

    async def consented(self, app: App, name: str) -> tuple[httpx.Response, dict[str, str]]:
        """The way through the browser: what was begun, and what the app's page was called with."""
        begun = await app.begin(name)
        assert begun.status_code == 201, begun.text
        async with app.browser() as browser:
            page = await go_on(browser, ticket_url(begun))
        return begun, query_of(page.url)

    async def connect(self, app: App, name: str) -> str:
        """The whole way; gives the account's id."""
        begun, back = await self.consented(app, name)
        assert "connect_code" in back, back
        made = await app.complete(begun, back["connect_code"])
        assert made.status_code == 201, made.text
        return str(made.json()["id"])


def tables_for(world: World, providers: Mapping[str, Any]) -> str:
    """The tables of the providers and of the agent, who may have `read` of each."""
    client = {
        "auth": "client_secret_basic",
        "secret": AGENT[1],
        "redirect_uris": [f"{world.places.agent}/connected"],
        "providers": {name: ["read"] for name in providers},
    }
    tables = written({"clients": {AGENT[0]: client}, "providers": providers})
    return tables.replace('["clients"]\n', "").replace('["providers"]\n', "")


@contextmanager
def agent_beside(
    world: World, *, database_url: str, folder: Path, providers: Mapping[str, Any], clock: Clock = system_clock
) -> Iterator[World]:
    """Start such a vault beside the sandbox's."""
    tables = tables_for(world, providers)
    with vault_beside(world, database_url=database_url, folder=folder, tables=lambda _: tables, clock=clock) as beside:
        yield beside
