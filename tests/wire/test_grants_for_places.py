"""Grants that are for a company, a workspace or a team, and not for whoever consents: each place is an account."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from tests.conftest import DatabaseUrls
from tests.doubles.places_of_grants import GrantsForPlaces, Way, table_at
from tests.wire.own import OneAgent, agent_beside
from tests.wire.vault import App, Vault, go_on, query_of, ticket_url
from vaultd.sandbox.servers import LoopbackServers
from vaultd.sandbox.world import World

WAYS: dict[str, tuple[Way, dict[str, Any]]] = {
    # A company, named beside the code.
    "books": (
        "redirect",
        {
            "account_id_field": "redirect:realmId",
            "account_label_fields": ["email"],
            "account_place_fields": ["redirect:realmId"],
            "callback_metadata": {"realm_id": "realmId"},
        },
    ),
    # A person in one workspace, named in the token's answer.
    "notes": (
        "token",
        {
            "account_source": "token",
            "account_id_field": ["workspace_id", "owner.user.id"],
            "account_label_fields": ["owner.user.id"],
            "account_place_fields": ["workspace_name"],
            "metadata_fields": {"workspace_id": "workspace_id", "owner_id": "owner.user.id"},
        },
    ),
    # A person in one team, named by userinfo.
    "boards": (
        "userinfo",
        {
            "account_id_field": ["team.id", "id"],
            "account_label_fields": ["email"],
            "account_place_fields": ["team.name"],
        },
    ),
}
LABELS = {
    "books": ["ada@example.com (1)", "ada@example.com (2)"],
    "notes": ["ada (Workspace 1)", "ada (Workspace 2)"],
    "boards": ["ada@example.com (Team 1)", "ada@example.com (Team 2)"],
}
HINTS = {"books": "2", "notes": "Workspace 2", "boards": "2:ada"}


@dataclass(frozen=True, slots=True)
class Street(OneAgent):
    """A vault with a provider of each way.

    Beside them `alone` takes a single account, and at `studio` a revocation ends all that the person gave the app.
    """

    at: dict[str, GrantsForPlaces]

    async def completed(self, app: App, name: str, person: str, place: str) -> Any:
        """The whole way; gives the answer to the completion."""
        self.at[name].at(person, place)
        begun, back = await self.consented(app, name)
        return await app.complete(begun, back["connect_code"])

    async def connected(self, app: App, name: str, person: str, place: str) -> str:
        made = await self.completed(app, name, person, place)
        assert made.status_code == 201, made.text
        return str(made.json()["id"])


@pytest.fixture(scope="module")
def street(world: World, module_database: DatabaseUrls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Street]:
    at = {name: GrantsForPlaces(way) for name, (way, _) in WAYS.items()}
    at["alone"] = GrantsForPlaces("redirect")
    at["studio"] = GrantsForPlaces("userinfo", ends_person=True)
    with LoopbackServers() as servers:
        providers: dict[str, Any] = {}
        for name, provider in at.items():
            url = servers.serve(provider.app)
            keys = WAYS[{"alone": "books", "studio": "boards"}.get(name, name)][1]
            providers[name] = table_at(url, userinfo_endpoint=f"{url}/userinfo", **keys)
        providers["alone"]["accounts"] = "single"
        providers["studio"]["revocation_ends"] = "grant"
        with agent_beside(
            world, database_url=module_database.service, folder=tmp_path_factory.mktemp("street"), providers=providers
        ) as beside:
            yield Street(beside, at)


@pytest_asyncio.fixture
async def vault(street: Street) -> AsyncIterator[Vault]:
    async with street.vault() as speaking:
        yield speaking


async def accounts_of(app: App) -> list[tuple[str, str, str]]:
    listed = (await app.http.get("accounts")).json()["accounts"]
    return [(each["id"], each["account"], each["status"]) for each in listed]


@pytest.mark.parametrize("name", WAYS)
async def test_two_places_of_one_person_are_two_accounts(street: Street, vault: Vault, name: str) -> None:
    provider = street.at[name]
    async with street.app() as app:
        first = await street.connected(app, name, "ada", "1")
        token = (await vault.exchange(app.session_token, audience=name)).json()["access_token"]
        second = await street.connected(app, name, "ada", "2")
        assert first != second
        labels = LABELS[name]
        assert await accounts_of(app) == [(first, labels[0], "connected"), (second, labels[1], "connected")]
        ambiguous = (await vault.exchange(app.session_token, audience=name)).json()
        assert (ambiguous["reason"], ambiguous["accounts"]) == ("account_ambiguous", labels)
        chosen = [
            (await vault.exchange(app.session_token, audience=name, login_hint=hint)).json()
            for hint in (labels[0], labels[1], HINTS[name])
        ]
    assert [provider.tokens[answer["access_token"]] for answer in chosen] == [("ada", "1"), ("ada", "2"), ("ada", "2")]
    # The first one's tokens are its own, and neither replaced nor given back.
    assert chosen[0]["access_token"] == token


@pytest.mark.parametrize("name", WAYS)
async def test_the_same_place_again_is_its_next_generation(street: Street, vault: Vault, name: str) -> None:
    async with street.app() as app:
        first = await street.connected(app, name, "ada", "1")
        other = await street.connected(app, name, "ada", "2")
        assert await street.connected(app, name, "ada", "1") == first
        assert [each[0] for each in await accounts_of(app)] == [first, other]
        who = {"subject_issuer": street.world.places.issuer, "subject": app.user}
        told = [(event["type"], event["connection_id"]) for event in (await vault.audit(**who))["events"]]
    assert told == [
        ("connection.reconnected", first),
        ("connection.connected", other),
        ("connection.connected", first),
    ]


@pytest.mark.parametrize(("name", "count"), [("books", 1), ("notes", 2), ("boards", 2)])
async def test_another_person_at_one_place(street: Street, name: str, count: int) -> None:
    """A company is one account whoever grants it; a member of a workspace is that member."""
    async with street.app() as app:
        ids = {await street.connected(app, name, person, "1") for person in ("ada", "bob")}
        assert len(ids) == len(await accounts_of(app)) == count


async def test_a_single_account_is_not_replaced_by_another_place_s(street: Street, vault: Vault) -> None:
    provider = street.at["alone"]
    async with street.app() as app:
        first = await street.connected(app, "alone", "ada", "1")
        token = (await vault.exchange(app.session_token, audience="alone")).json()["access_token"]
        refused = await street.completed(app, "alone", "ada", "2")
        assert refused.status_code == 400
        assert refused.json()["detail"] == "Another account is connected already. Disconnect it first."
        assert await accounts_of(app) == [(first, "ada@example.com (1)", "connected")]
        # What was granted for the other place does not stay alive, and what is there does.
        async with asyncio.timeout(10):
            while ("ada", "2") in provider.tokens.values():
                await asyncio.sleep(0.05)
        assert (await vault.exchange(app.session_token, audience="alone")).json()["access_token"] == token
        who = {"subject_issuer": street.world.places.issuer, "subject": app.user, "type": "connection.refused"}
        assert [event["reason"] for event in (await vault.audit(**who))["events"]] == ["account_limit"]
    assert token in provider.tokens


async def test_a_place_is_taken_from_no_crooked_redirect(street: Street) -> None:
    """What comes through the browser is a plain identifier or nothing, and then nothing is redeemed."""
    provider = street.at["books"]
    async with street.app() as app:
        for place in ("", "1/../2", "a b", "x" * 200):
            provider.at("ada", place)
            begun = await app.begin("books")
            before = dict(provider.tokens)
            async with app.browser() as browser:
                page = await go_on(browser, ticket_url(begun))
            assert "connect_code" not in query_of(page.url)
            assert provider.tokens == before
        assert await accounts_of(app) == []


async def test_what_ends_a_person_s_grant_waits_for_the_last_of_their_places(street: Street, vault: Vault) -> None:
    provider = street.at["studio"]
    async with street.app() as app, street.app() as other:
        ids = [await street.connected(app, "studio", "ada", place) for place in ("1", "2")]
        theirs = await street.connected(other, "studio", "bob", "1")
        # Of the same team, and another person: that grant is Bob's alone.
        assert (await other.http.delete(f"accounts/{theirs}")).status_code == 204
        assert await told(street, vault, other) == [("provider.revoked", None)]
        assert (await app.http.delete(f"accounts/{ids[0]}")).status_code == 204
        assert await told(street, vault, app) == [("provider.kept", "kept_shared_grant")]
        served = await vault.exchange(app.session_token, audience="studio")
        assert provider.tokens[served.json()["access_token"]] == ("ada", "2")
        assert (await app.http.delete(f"accounts/{ids[1]}")).status_code == 204
        assert (await told(street, vault, app, count=2))[1] == ("provider.revoked", None)
    assert provider.tokens == {}


async def told(street: Street, vault: Vault, app: App, count: int = 1) -> list[tuple[str, str | None]]:
    """What was done at the provider for this user, once so much was decided."""
    who: dict[str, Any] = {"subject_issuer": street.world.places.issuer, "subject": app.user}
    async with asyncio.timeout(15):
        while True:
            events = (await vault.audit(**who))["events"]
            found = [each for each in events if each["type"].startswith("provider.")]
            if len(found) >= count:
                return [(each["type"], each.get("reason")) for each in reversed(found)]
            await asyncio.sleep(0.05)
