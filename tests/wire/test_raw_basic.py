"""Providers whose servers read HTTP Basic as RFC 7617 alone has it, and those that form-decode it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.conftest import DatabaseUrls
from tests.doubles.places_of_grants import GrantsForPlaces, table_at
from tests.wire.own import OneAgent, agent_beside
from vaultd.sandbox.servers import LoopbackServers
from vaultd.sandbox.world import World

CLIENT_ID = "app/of+ours"
SECRETS = {"plus": "a+b/c=", "percent": "50%25:50%", "colon": "user:pass:word", "space": "with a space", "plain": "abc"}


@dataclass(frozen=True, slots=True)
class Readers(OneAgent):
    """A vault with a provider for each secret and each way to read it."""

    at: dict[str, GrantsForPlaces]


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
        with agent_beside(
            world,
            database_url=module_database.service,
            folder=tmp_path_factory.mktemp("readers"),
            providers=providers,
        ) as beside:
            yield Readers(beside, at)


@pytest.mark.parametrize("name", [f"{way}-{secret}" for way in ("raw", "decoding") for secret in SECRETS])
async def test_the_server_sees_the_app_s_own_secret(readers: Readers, name: str) -> None:
    """At the code's redemption, the refresh and the revocation."""
    provider = readers.at[name]
    async with readers.app() as app, readers.vault() as vault:
        account = await readers.connect(app, name)
        renewed = await vault.exchange(app.session_token, audience=name)
        assert renewed.json()["access_token"] in provider.tokens, renewed.text
        assert (await app.http.delete(f"accounts/{account}")).status_code == 204
        async with asyncio.timeout(10):
            while provider.tokens:
                await asyncio.sleep(0.05)
    assert provider.refused == 0


async def test_form_encoded_it_is_another_secret_to_a_server_that_does_not_decode(readers: Readers) -> None:
    async with readers.app() as app:
        _, back = await readers.consented(app, "mistaken")
    assert "connect_code" not in back
    assert readers.at["mistaken"].refused == 1
