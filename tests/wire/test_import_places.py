"""Imported connections are served with the place that their token is for, and refreshed there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from tests.conftest import DatabaseUrls
from tests.doubles.places_of_grants import GrantsForPlaces, table_at
from tests.support.processes import Installation, install_text
from tests.wire.importing import run_import
from tests.wire.own import AGENT, agent_beside
from tests.wire.test_grants_for_places import WAYS, Street, accounts_of
from tests.wire.vault import App, Vault
from vaultd.sandbox.servers import LoopbackServers
from vaultd.sandbox.world import World


@dataclass(frozen=True, slots=True)
class Moving:
    """A vault, its file as the command reads it, and what an app had at its providers."""

    street: Street
    installed: Installation

    def line(self, app: App, provider: str, place: str, **more: Any) -> str:
        """Tokens of Ada for a place, as an app's export has them."""
        refresh_token = f"rt-{app.user}-{provider}-{place}"
        self.street.at[provider].tokens[refresh_token] = ("ada", place)
        whole = {"issuer": self.street.world.places.issuer, "sub": app.user, "provider": provider, "scopes": "read"}
        return json.dumps({**whole, "refresh_token": refresh_token, **more})


@pytest.fixture(scope="module")
def moving(world: World, module_database: DatabaseUrls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Moving]:
    folder = tmp_path_factory.mktemp("moving")
    at = {"books": GrantsForPlaces("redirect"), "shops": GrantsForPlaces("userinfo")}
    with LoopbackServers() as servers:
        books = servers.serve(at["books"].app)
        shops = servers.serve(Starlette(routes=[Mount("/my-shop", at["shops"].app)])) + "/{shop}"
        setting = {"pattern": "[a-z-]+", "example": "my-shop", "description": "Your shop."}
        providers = {
            "books": table_at(books, userinfo_endpoint=f"{books}/userinfo", **WAYS["books"][1]),
            "shops": table_at(
                shops,
                userinfo_endpoint=f"{shops}/userinfo",
                account_id_field="id",
                connection_settings={"shop": setting},
            ),
        }
        with agent_beside(world, database_url=module_database.service, folder=folder, providers=providers) as beside:
            text = (folder / "vaultd.toml").read_text(encoding="utf-8")
            for key in ("client_secret", "secret"):
                text = text.replace(f'"{key}" =', f"{key} =")
            yield Moving(Street(beside, at), install_text(folder, "moving", text))


async def test_the_company_of_a_token_goes_along_and_names_the_account(moving: Moving) -> None:
    street = moving.street
    async with street.app() as app, Vault(street.world) as vault:
        vault.agent = AGENT
        line = moving.line(app, "books", "7", metadata={"realm_id": "7"}, account={"label": "Books of 7"})
        done = run_import(moving.installed, "-", stdin=line.encode())
        assert (done.code, "Without an account's id" in done.out) == (0, False), done
        served = (await vault.exchange(app.session_token, audience="books")).json()
        assert street.at["books"].tokens[served["access_token"]] == ("ada", "7")
        assert (served["connection_metadata"], served["account"]) == ({"realm_id": "7"}, "Books of 7")
        # A consent for that company is the imported account's next, and one for another company another account.
        ((imported, *_),) = await accounts_of(app)
        assert await street.connected(app, "books", "ada", "7") == imported
        assert await street.connected(app, "books", "ada", "8") != imported


async def test_a_token_of_a_shop_is_renewed_at_that_shop(moving: Moving) -> None:
    street = moving.street
    async with street.app() as app, Vault(street.world) as vault:
        vault.agent = AGENT
        line = moving.line(app, "shops", "1", settings={"shop": "my-shop"})
        done = run_import(moving.installed, "-", stdin=line.encode())
        assert done.code == 0, done
        served = (await vault.exchange(app.session_token, audience="shops")).json()
        assert street.at["shops"].tokens[served["access_token"]] == ("ada", "1")
        assert served["connection_metadata"] == {"shop": "my-shop"}


def test_what_is_wrong_is_the_line_s_mistake_and_nothing_is_stored(moving: Moving) -> None:
    app = moving.street.app()
    lines = [
        moving.line(app, "books", "1"),
        moving.line(app, "shops", "1", settings={"shop": "evil.example/"}),
        moving.line(app, "shops", "2", settings={"shop": "my-shop"}, metadata={"nothing": "x"}),
    ]
    done = run_import(moving.installed, "-", "--dry-run", stdin="\n".join(lines).encode())
    assert done.code == 1
    told = done.out.splitlines()
    assert "metadata lacks realm_id" in told[0]
    assert "shop is not accepted. It looks like this: my-shop." in told[1]
    assert 'metadata has the key "nothing"' in told[2]
    assert "evil" not in done.out
