"""A grant that others live on is not ended by accident, and the last one who lives on it ends it (B3, C7)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio
from sqlalchemy import select, update

from tests.doubles.one_grant import OneGrant, Way, table_of
from tests.support.aged import age
from tests.support.house import House
from tests.unit.revoke.shared import Vault, agent
from vaultd.audit.events import Draft, EventType
from vaultd.connect import Connect
from vaultd.connect.returning import ReturnPlaces
from vaultd.connections import store
from vaultd.connections.holders import Holders
from vaultd.connections.kept import kept_for
from vaultd.connections.sealing import data_key_of, open_connection
from vaultd.connections.table import pending_table
from vaultd.db import Database
from vaultd.outbound import Outbound
from vaultd.providers.config import ProviderConfig
from vaultd.providers.oauth import OAuthClient
from vaultd.providers.registry import Providers
from vaultd.revoke import GiveBack, Offboard, Revoke
from vaultd.revoke.secrets import Secrets
from vaultd.revoke.sharing import Sharing
from vaultd.sandbox.loopback import authorities
from vaultd.sandbox.servers import LoopbackServers
from vaultd.terms import Secret

WAYS: tuple[Way, ...] = ("github", "google", "slack")
SECRET = "the app's secret, made up and long enough"
# What is told where others live on the grant: GitHub can end one token, the others nothing that is not shared.
KEPT = {
    "github": ("provider.revoked", "kept_shared_grant"),
    "google": ("provider.kept", "kept_shared_grant"),
    "slack": ("provider.kept", "kept_shared_grant"),
}
ENDED = ("provider.revoked", None)
OFFBOARDED = Draft(type=EventType.SUBJECT_ERASED, client_id="operator")


def configured(url_of: dict[str, str]) -> Providers:
    tables: dict[str, dict[str, Any]] = {
        way: table_of(way, url_of[way], client_id=f"app-at-{way}", client_secret=SECRET) for way in WAYS
    }
    tables["hub"] = tables["github"] | {"extends": "github"}
    tables["forge"] = tables["github"] | {"extends": "github", "account_id_field": "login"}
    for table in tables.values():
        table["client_secret"] = Secret(table["client_secret"])
        table["allow_private_hosts"] = tuple(table["allow_private_hosts"])
    return Providers(configs={name: ProviderConfig.model_validate(table) for name, table in tables.items()})


@pytest_asyncio.fixture
async def vault(house: House) -> AsyncIterator[Vault]:
    at: dict[str, OneGrant] = {way: OneGrant(way) for way in WAYS}
    outbound = Outbound(ssl_context=authorities(), total_timeout=3.0)
    with LoopbackServers() as servers:
        providers = configured({name: servers.serve(provider.app) for name, provider in at.items()})
        oauth = OAuthClient(outbound=outbound, clock=house.clock)
        keys: dict[str, Any] = {"data_keys": house.data_keys, "clock": house.clock}
        rooms: dict[str, Any] = {"log": house.log, "subjects": house.subjects}
        secrets = Secrets(**keys)
        yield Vault(
            house=house,
            at=at,
            connect=Connect(
                public_url="http://127.0.0.1:8080",
                database=house.database,
                providers=providers,
                oauth=oauth,
                grants=house.grants,
                pending=house.pending,
                places=ReturnPlaces(
                    public_url="http://127.0.0.1:8080", configs={"agent": agent()}, allowed_return_urls=()
                ),
                clock=house.clock,
                **rooms,
            ),
            revoke=Revoke(database=house.database, secrets=secrets, wake=lambda: None, **rooms),
            offboard=Offboard(
                pending=house.pending,
                secrets=secrets,
                grants=house.grants,
                wake_revoker=lambda: None,
                **rooms,
            ),
            give_back=GiveBack(
                database=house.database,
                providers=providers,
                oauth=oauth,
                sharing=Sharing(
                    database=house.database,
                    holders=Holders(lookups=house.lookups, pending=house.pending, **keys),
                    providers=providers,
                    oauth=oauth,
                ),
                **rooms,
                **keys,
            ),
        )
    await outbound.aclose()


@pytest.mark.parametrize("way", WAYS)
async def test_a_forwarded_link_that_nobody_completes_ends_nobodys_connection(vault: Vault, way: Way) -> None:
    theirs = await vault.connected("victim", way)
    # The victim's browser follows the other one's link; the provider asks nobody, since the app is allowed there.
    await vault.abandoned("mallory", way)
    assert await vault.works(theirs)
    assert await vault.told() == [KEPT[way]]


@pytest.mark.parametrize("way", WAYS)
async def test_an_abandoned_reconnect_leaves_the_connection_as_it_was(vault: Vault, way: Way) -> None:
    own = await vault.connected("alice", way)
    await vault.abandoned("alice", way)
    assert await vault.works(own)
    assert await vault.told() == [KEPT[way]]


@pytest.mark.parametrize("way", WAYS)
async def test_an_older_consent_that_is_swept_after_a_reconnect_does_not_end_it(vault: Vault, way: Way) -> None:
    await vault.consented("alice", way)
    own = await vault.connected("alice", way)
    await vault.swept()
    assert await vault.works(own)


@pytest.mark.parametrize("way", WAYS)
async def test_b3_a_foreign_completion_ends_nobody_elses_connection(vault: Vault, way: Way) -> None:
    theirs = await vault.connected("victim", way)
    _, begun, code = await vault.consented("mallory", way)
    await vault.refused(await vault.house.subject("somebody"), begun, code)
    assert await vault.works(theirs)


@pytest.mark.parametrize("way", WAYS)
async def test_b3_a_grant_that_nobody_lives_on_does_not_stay_alive(vault: Vault, way: Way) -> None:
    await vault.abandoned("alice", way)
    assert vault.at[way].tokens_of("octocat") == []
    assert await vault.told() == [ENDED]


@pytest.mark.parametrize("way", WAYS)
async def test_of_two_users_with_one_account_the_last_one_ends_the_grant(vault: Vault, way: Way) -> None:
    first, second = await vault.connected("alice", way), await vault.connected("bob", way)
    await vault.disconnected("alice", first)
    assert await vault.works(second)
    await vault.disconnected("bob", second)
    assert vault.at[way].tokens_of("octocat") == []
    assert await vault.told() == [KEPT[way], ENDED]


async def broken(vault: Vault, connection_id: UUID) -> None:
    """Have its provider refuse it; its tokens are kept for a while."""
    house, row = vault.house, await vault.house.row(connection_id)
    key = data_key_of(row, house.data_keys)
    kept = kept_for(key, row, open_connection(key, row), now=house.clock(), lasts=timedelta(days=7))
    async with house.database.transaction() as connection:
        assert await store.break_connection(connection, row, fence=None, reason="invalid_grant", kept=kept)


@pytest.mark.parametrize("way", WAYS)
async def test_what_is_kept_of_a_grant_that_vaultd_has_ended_is_erased(vault: Vault, way: Way) -> None:
    """To try it again would give out a token that is known to be dead."""
    first, second = await vault.connected("alice", way), await vault.connected("bob", way)
    vault.at[way].person = "hubot"
    other = await vault.connected("carol", way)
    for connection_id in (first, other):
        await broken(vault, connection_id)
    await vault.disconnected("bob", second)
    assert vault.at[way].tokens_of("octocat") == []
    assert (await vault.house.row(first)).kept is None
    assert (await vault.house.row(other)).kept is not None, "another account's grant is alive"


async def test_two_who_go_at_once_end_the_grant(vault: Vault) -> None:
    ids = {name: await vault.connected(name, "google") for name in ("alice", "bob")}
    for name, connection_id in ids.items():
        known = await vault.house.subject(name)
        draft = Draft(type=EventType.CONNECTION_REVOKED, client_id="agent", subject=known.key)
        await vault.revoke.disconnect(subject_id=known.id, connection_id=connection_id, draft=draft)
    await vault.give_back.drain()
    assert vault.at["google"].tokens_of("octocat") == []


@pytest.mark.parametrize("way", WAYS)
async def test_e6_offboarding_one_user_ends_nothing_of_another(vault: Vault, way: Way) -> None:
    await vault.connected("alice", way)
    theirs = await vault.connected("bob", way)
    await vault.consented("alice", way)
    await vault.offboard((await vault.house.subject("alice")).key.subject, draft=OFFBOARDED)
    await vault.give_back.drain()
    assert await vault.works(theirs)
    assert await vault.told() == [KEPT[way]] * 2


async def test_who_comes_back_before_the_provider_could_be_told_keeps_the_grant(vault: Vault) -> None:
    first = await vault.connected("alice", "google")
    known = await vault.house.subject("alice")
    draft = Draft(type=EventType.CONNECTION_REVOKED, client_id="agent", subject=known.key)
    await vault.revoke.disconnect(subject_id=known.id, connection_id=first, draft=draft)
    again = await vault.connected("alice", "google")
    await vault.give_back.drain()
    assert await vault.works(again)


@pytest.mark.parametrize("way", WAYS)
async def test_a_consent_that_can_still_be_completed_lives_on_the_grant(vault: Vault, way: Way) -> None:
    first = await vault.connected("alice", way)
    known, begun, code = await vault.consented("bob", way)
    await vault.disconnected("alice", first)
    assert await vault.works(await vault.complete(known, begun, code))


@pytest.mark.parametrize("other", ["hub", "forge"])
async def test_tables_of_one_app_share_its_grants(vault: Vault, other: str) -> None:
    theirs = await vault.connected("alice", other)
    await vault.disconnected("bob", await vault.connected("bob", "github"))
    assert await vault.works(theirs)
    assert vault.at["github"].calls["grant"] == 0
    await vault.disconnected("alice", theirs)
    assert vault.at["github"].calls["grant"] == 1


async def test_another_person_at_the_provider_shares_nothing(vault: Vault) -> None:
    own = await vault.connected("alice", "github")
    vault.at["github"].person = "hubot"
    theirs = await vault.connected("bob", "github")
    await vault.disconnected("alice", own)
    assert vault.at["github"].tokens_of("octocat") == []
    assert await vault.works(theirs)
    assert await vault.told() == [ENDED]


async def test_a_connection_whose_account_is_not_known_may_be_the_one(vault: Vault, superuser: Database) -> None:
    theirs = await vault.connected("alice", "google")
    await age(vault.house, superuser, theirs, account_lookup=None)
    await vault.abandoned("mallory", "google")
    assert await vault.works(theirs)


class TestAnAccountThatCannotBeNamed:
    """Userinfo fails after the code was redeemed: nobody can say whose tokens came."""

    async def test_a_single_token_is_ended_at_once(self, vault: Vault) -> None:
        theirs, github = await vault.connected("alice", "github"), vault.at["github"]
        github.down = True
        await vault.consented("mallory", "github")
        await vault.give_back.drain()
        assert await vault.works(theirs)
        assert len(github.tokens_of("octocat")) == 1
        assert await vault.told() == [("provider.revoked", "kept_unknown_account")]

    async def test_the_provider_is_asked_again_until_it_says_whose_it_is(self, vault: Vault) -> None:
        theirs, google = await vault.connected("alice", "google"), vault.at["google"]
        google.down = True
        await vault.consented("mallory", "google")
        await vault.give_back.drain()
        assert await vault.told() == []
        google.down = False
        vault.house.clock.forward(seconds=60)
        await vault.give_back.drain()
        assert await vault.works(theirs)
        assert await vault.told() == [KEPT["google"]]

    async def test_b3_it_is_ended_where_it_turns_out_to_be_another_persons(self, vault: Vault) -> None:
        theirs, google = await vault.connected("alice", "google"), vault.at["google"]
        google.person, google.down = "hubot", True
        await vault.consented("mallory", "google")
        google.down = False
        await vault.give_back.drain()
        assert google.tokens_of("hubot") == []
        assert await vault.works(theirs)

    async def test_b3_it_is_ended_where_nobody_is_connected(self, vault: Vault) -> None:
        google = vault.at["google"]
        google.down = True
        await vault.consented("mallory", "google")
        await vault.give_back.drain()
        assert google.tokens_of("octocat") == []
        assert await vault.told() == [ENDED]


async def test_a_consent_that_was_altered_keeps_no_other_from_being_swept(vault: Vault) -> None:
    await vault.consented("alice", "github")
    async with vault.house.database.transaction() as connection:
        await connection.execute(update(pending_table).values(granted=b"of somebody else"))
    await vault.consented("bob", "github")
    await vault.swept()
    assert await vault.told() == [ENDED]
    async with vault.house.database.transaction() as connection:
        assert (await connection.execute(select(pending_table.c.id))).all() == []
