"""Several accounts at one provider (issue 5, item 7): a second one never overwrites the first (B5)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest
import pytest_asyncio

from tests.support.processes import Installation, Running, install, serving
from tests.wire.vault import App, Vault, consent, query_of, ticket_url
from vaultd.sandbox.world import World, start_world


@pytest.fixture(scope="module")
def strict() -> Iterator[World]:
    """A world whose vault lets a user have one account at GitHub."""
    with start_world(synced=False) as world, serving(_single(world)) as running:
        yield _through(world, running)


def _single(world: World) -> Installation:
    return install(world, "single", {"[providers.github]": '[providers.github]\naccounts = "single"'})


def _through(world: World, running: Running) -> World:
    return replace(world, places=replace(world.places, vault=running.url))


@pytest_asyncio.fixture
async def strict_app(strict: World) -> AsyncIterator[App]:
    async with App(strict) as speaking:
        yield speaking


async def connect_as(app: App, person: str) -> tuple[int, dict[str, str]]:
    """The whole way, as this person at the provider; gives the completion's answer."""
    begun = await app.begin()
    async with app.browser() as browser:
        page = await consent(browser, ticket_url(begun), person=person)
    answer = await app.complete(begun, query_of(page.url)["connect_code"])
    return answer.status_code, answer.json()


async def accounts_of(app: App) -> list[tuple[str, str]]:
    listed = (await app.http.get("accounts")).json()["accounts"]
    return [(each["account"], each["status"]) for each in listed]


async def test_b5_another_account_is_a_second_connection(vault: Vault, app: App) -> None:
    first = await connect_as(app, "Alice")
    token = (await vault.exchange(app.session_token)).json()["access_token"]
    second = await connect_as(app, "Bob")
    assert (first[0], second[0]) == (201, 201)
    assert first[1]["id"] != second[1]["id"]
    assert await accounts_of(app) == [("alice@example.com", "connected"), ("bob@example.com", "connected")]
    # The first one's tokens are its own, and are good still.
    assert vault.world.providers["github"].grants.access(token) is not None
    chosen = await vault.exchange(app.session_token, login_hint="alice@example.com")
    assert (chosen.json()["access_token"], chosen.json()["account"]) == (token, "alice@example.com")


async def test_without_a_hint_several_accounts_are_ambiguous(vault: Vault, app: App) -> None:
    await connect_as(app, "Alice")
    await connect_as(app, "Bob")
    answer = await vault.exchange(app.session_token)
    assert (answer.status_code, answer.json()["reason"]) == (400, "account_ambiguous")
    assert answer.json()["accounts"] == ["alice@example.com", "bob@example.com"]
    (event,) = await vault.events_of(answer)
    assert (event["type"], event["reason"]) == ("token.refused", "account_ambiguous")


@pytest.mark.parametrize("hint", ["bob@example.com", "1002", "bob", "BOB"])
async def test_a_hint_is_the_id_the_login_or_the_e_mail(vault: Vault, app: App, hint: str) -> None:
    await connect_as(app, "Alice")
    await connect_as(app, "Bob")
    answer = await vault.exchange(app.session_token, login_hint=hint)
    assert (answer.status_code, answer.json().get("account")) == (200, "bob@example.com"), answer.text


async def test_disconnecting_one_account_leaves_the_other_and_ends_the_ambiguity(vault: Vault, app: App) -> None:
    _, first = await connect_as(app, "Alice")
    await connect_as(app, "Bob")
    assert (await app.http.delete(f"accounts/{first['id']}")).status_code == 204
    answer = await vault.exchange(app.session_token)
    assert (answer.status_code, answer.json()["account"]) == (200, "bob@example.com")
    gone = await vault.exchange(app.session_token, login_hint="alice@example.com")
    assert (gone.status_code, gone.json()["reason"]) == (400, "reconnect_required")


async def test_b5_reconnecting_the_same_account_is_its_next_generation(vault: Vault, app: App) -> None:
    _, first = await connect_as(app, "Alice")
    _, again = await connect_as(app, "Alice")
    assert again["id"] == first["id"]
    assert await accounts_of(app) == [("alice@example.com", "connected")]
    who = {"subject_issuer": vault.world.places.issuer, "subject": app.user}
    assert [event["type"] for event in (await vault.audit(**who))["events"]] == [
        "connection.reconnected",
        "connection.connected",
    ]


async def test_b5_a_single_account_is_not_joined_by_another(strict: World, strict_app: App) -> None:
    _, first = await connect_as(strict_app, "Alice")
    github = strict.providers["github"]
    refused, _ = await connect_as(strict_app, "Bob")
    assert refused == 400
    assert await accounts_of(strict_app) == [("alice@example.com", "connected")]
    # What was granted for the other does not stay alive at the provider.
    async with asyncio.timeout(10):
        while any(family.alive for family in github.grants.families if family.person.login == "bob"):
            await asyncio.sleep(0.05)
    # The same one may be renewed, and another may come once it is gone.
    assert (await connect_as(strict_app, "Alice"))[1]["id"] == first["id"]
    assert (await strict_app.http.delete(f"accounts/{first['id']}")).status_code == 204
    assert (await connect_as(strict_app, "Bob"))[0] == 201


async def test_b5_of_two_accounts_at_once_a_single_provider_keeps_one(strict: World) -> None:
    for _ in range(5):
        async with App(strict) as app:
            begun = [await app.begin() for _ in range(2)]
            codes = []
            for each, person in zip(begun, ("Alice", "Bob"), strict=True):
                async with app.browser() as browser:
                    page = await consent(browser, ticket_url(each), person=person)
                codes.append(query_of(page.url)["connect_code"])
            answers = await asyncio.gather(*(app.complete(*pair) for pair in zip(begun, codes, strict=True)))
            assert sorted(answer.status_code for answer in answers) == [201, 400]
            assert len(await accounts_of(app)) == 1
