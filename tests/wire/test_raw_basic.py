"""Providers whose servers read HTTP Basic as RFC 7617 alone has it, and those that form-decode it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.conftest import DatabaseUrls
from tests.doubles.places_of_grants import GrantsForPlaces, table_at
from tests.support.toml import written
from tests.wire.beside import vault_beside
from tests.wire.vault import App, Vault, bearer, go_on, query_of, ticket_url
from vaultd.sandbox.person import ACCOUNT_SCOPES
from vaultd.sandbox.servers import LoopbackServers
from vaultd.sandbox.world import World

AGENT = ("basic-agent", "the made-up secret of the agent, long enough")
CLIENT_ID = "app/of+ours"
SECRETS = {"plus": "a+b/c=", "percent": "50%25:50%", "colon": "user:pass:word", "space": "with a space", "plain": "abc"}


@dataclass(frozen=True, slots=True)
class Readers:
    """A vault with a provider for each secret and each way to read it."""

    world: World
    at: dict[str, GrantsForPlaces]

    def app(self) -> App:
        app = App(self.world)
        app.session_token = self.world.issuer.mint(app.user, azp=AGENT[0], scope=ACCOUNT_SCOPES)
        app.http.headers.update(bearer(app.session_token))
        return app

    async def returned(self, app: App, name: str) -> dict[str, str]:
        begun = await app.begin(name)
        async with app.browser() as browser:
            page = await go_on(browser, ticket_url(begun))
        back = query_of(page.url)
        if "connect_code" in back:
            made = await app.complete(begun, back["connect_code"])
            assert made.status_code == 201, made.text
            back["account"] = made.json()["id"]
        return back


@pytest.fixture(scope="module")
def readers(world: World, module_database: DatabaseUrls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Readers]:
    at = {}
    for name, secret in SECRETS.items():
        at[f"raw-{name}"] = GrantsForPlaces("userinfo", client=(CLIENT_ID, secret), raw=True)
        at[f"decoding-{name}"] = GrantsForPlaces("userinfo", client=(CLIENT_ID, secret))
    # One at which the wrong one of the two ways is configured.
    at["mistaken"] = GrantsForPlaces("userinfo", client=(CLIENT_ID, SECRETS["plus"]), raw=True)
    with LoopbackServers() as servers:
        providers = {
            name: table_at(
                servers.serve(provider.app),
                client_id=CLIENT_ID,
                client_secret=SECRETS.get(name.partition("-")[2], SECRETS["plus"]),
                token_endpoint_auth_method=f"client_secret_basic{'_raw' if name.startswith('raw') else ''}",
                account_id_field="id",
                # Above the life of its tokens, so that each exchange renews.
                assumed_ttl=7200,
                refresh_margin=3600,
            )
            for name, provider in at.items()
        }
        for table in providers.values():
            table["userinfo_endpoint"] = table["token_endpoint"].replace("/token", "/userinfo")
        client = {
            "auth": "client_secret_basic",
            "secret": AGENT[1],
            "redirect_uris": [f"{world.places.agent}/connected"],
            "providers": {name: ["read"] for name in providers},
        }
        tables = written({"clients": {AGENT[0]: client}, "providers": providers})
        with vault_beside(
            world,
            database_url=module_database.service,
            folder=tmp_path_factory.mktemp("readers"),
            tables=lambda _: tables.replace('["clients"]\n', "").replace('["providers"]\n', ""),
        ) as beside:
            yield Readers(beside, at)


@pytest.mark.parametrize("name", [f"{way}-{secret}" for way in ("raw", "decoding") for secret in SECRETS])
async def test_the_server_sees_the_app_s_own_secret(readers: Readers, name: str) -> None:
    """At the code's redemption, the refresh and the revocation."""
    provider = readers.at[name]
    async with readers.app() as app, Vault(readers.world) as vault:
        vault.agent = AGENT
        account = (await readers.returned(app, name))["account"]
        renewed = await vault.exchange(app.session_token, audience=name)
        assert renewed.json()["access_token"] in provider.tokens, renewed.text
        assert (await app.http.delete(f"accounts/{account}")).status_code == 204
        async with asyncio.timeout(10):
            while provider.tokens:
                await asyncio.sleep(0.05)
    assert provider.refused == 0


async def test_form_encoded_it_is_another_secret_to_a_server_that_does_not_decode(readers: Readers) -> None:
    async with readers.app() as app:
        came_back = await readers.returned(app, "mistaken")
    assert "connect_code" not in came_back
    assert readers.at["mistaken"].refused == 1
