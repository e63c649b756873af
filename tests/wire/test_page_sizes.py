"""Pages end by size too: what was stored before there were bounds is shown, and costs no more than anything else."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from html import unescape
from uuid import UUID

import pytest_asyncio

from tests.support.house import House
from tests.support.superuser import execute
from tests.wire.vault import App, Vault, bearer
from vaultd import sizes
from vaultd.db import Database
from vaultd.keys.keyring import open_keyring
from vaultd.keys.local import open_keyring_file
from vaultd.sandbox.browser import Browser
from vaultd.sandbox.world import World
from vaultd.terms import Scopes, Subject
from vaultd.web.overview import AT_ONCE

HUGE = Scopes(f"scope{number:06d}" for number in range(70_000))
LONG = Scopes(f"{number:03d}".ljust(sizes.LONGEST_SCOPE, "s") for number in range(sizes.MOST_SCOPES))


@dataclass(frozen=True, slots=True)
class Filled:
    """A user with three accounts of 70,000 scopes each, thirty of 51 kB and seventy ordinary ones, in this order."""

    sub: str
    browser: Browser
    ids: list[UUID]


@pytest_asyncio.fixture(scope="module")
async def filled(world: World) -> AsyncIterator[Filled]:
    database = Database(world.settings.database_url, pool_size=2)
    async with database.transaction() as connection:
        keyring = await open_keyring(connection, open_keyring_file(world.settings.keys.path))
    house = House(database, keyring)
    async with Browser() as browser:
        page = await browser.open(f"{world.places.vault}/connections")
        page = await browser.click("Bob")
        assert page.status == 200
        known = await house.subjects.ensure(Subject(world.issuer.issuer, "bob"))
        ids = []
        for number in range(103):
            scopes = HUGE if number < 3 else LONG if number < 33 else Scopes({"repo"})
            brought = replace(house.brought(f"account-{number:03d}"), scopes=scopes)
            ids.append(await house.connect(known, brought, "gitlab"))
            house.clock.forward(seconds=1)
        await house.log.close()
        yield Filled("bob", browser, ids)
    await database.aclose()
    await execute(world, "DELETE FROM connections WHERE id = ANY($1)", ids)


async def pages(world: World, filled: Filled) -> list[str]:
    """All of the user's pages; other tests' accounts may be among the accounts on them."""
    path, texts = "/connections", []
    while True:
        answer = await filled.browser.http.get(f"{world.places.vault}{path}")
        assert answer.status_code == 200
        assert len(answer.content) < 2 * sizes.PAGE
        texts.append(answer.text)
        following = re.search(r'rel="next" href="(/connections\?cursor=[^"]+)"', answer.text)
        if following is None:
            return texts
        path = unescape(following[1])


async def test_the_page_ends_early_and_leads_on(world: World, filled: Filled) -> None:
    texts = await pages(world, filled)
    each = [re.findall(r'href="/connections/([0-9a-f-]{36})/disconnect"', text) for text in texts]
    shown = [UUID(one) for page in each for one in page]
    assert all(len(page) <= AT_ONCE for page in each)
    assert [one for one in shown if one in set(filled.ids)] == filled.ids
    assert len(shown) == len(set(shown))
    assert len(texts) > 3


async def test_of_very_many_permissions_the_number_is_told(world: World, filled: Filled) -> None:
    whose = re.compile(rf'href="/connections/({"|".join(str(one) for one in filled.ids[:3])})/disconnect"')
    told = [text for text in await pages(world, filled) if whose.search(text)]
    assert told
    for text in told:
        huge = len(whose.findall(text))
        assert text.count("scope000") <= huge * sizes.MOST_SCOPES
        assert text.count("69,800 more that are not listed here") == huge
        assert text.count("69,995 more permissions") == huge


async def test_each_account_can_be_disconnected_from_its_page(world: World, filled: Filled) -> None:
    for account in (filled.ids[0], filled.ids[-1]):
        answer = await filled.browser.http.get(f"{world.places.vault}/connections/{account}/disconnect")
        assert answer.status_code == 200


async def test_a_cursor_that_was_not_given_out_is_refused(world: World, filled: Filled) -> None:
    answer = await filled.browser.http.get(f"{world.places.vault}/connections?cursor=bm9uZQ")
    assert answer.status_code == 400


async def test_the_operators_list(vault: Vault, filled: Filled) -> None:
    headers, cursor, shown = bearer(await vault.operator_token("connections:read")), None, []
    issuer = vault.world.issuer.issuer
    while True:
        params = {"limit": "1000", "subject_issuer": issuer, "subject": filled.sub} | (
            {"cursor": cursor} if cursor else {}
        )
        answer = await vault.http.get("/v1/connections", params=params, headers=headers)
        assert len(answer.content) < 2 * sizes.PAGE
        shown += [UUID(one["id"]) for one in answer.json()["connections"]]
        cursor = answer.json().get("next")
        if cursor is None:
            break
    assert [one for one in reversed(shown) if one in set(filled.ids)] == filled.ids


async def test_the_accounts_api(world: World, filled: Filled) -> None:
    async with App(world, user=filled.sub) as app:
        cursor, shown = None, []
        while True:
            answer = await app.http.get("accounts", params={"take": "100"} | ({"from": cursor} if cursor else {}))
            assert len(answer.content) < 2 * sizes.PAGE
            shown += [UUID(one["id"]) for one in answer.json()["accounts"]]
            cursor = answer.json().get("next")
            if cursor is None:
                break
    assert [one for one in shown if one in set(filled.ids)] == filled.ids


async def test_the_events(vault: Vault, filled: Filled) -> None:
    """The events of the three are cut; those of the thirty are whole, and a page of 1000 ends before them all."""
    cursor, events = None, []
    while True:
        params: dict[str, str | int] = {"limit": 1000, "connection": "gitlab", "subject": filled.sub}
        params |= {"subject_issuer": vault.world.issuer.issuer} | ({"cursor": cursor} if cursor else {})
        body = await vault.audit(**params)
        events += body["events"]
        cursor = body.get("next")
        if cursor is None:
            break
    by_id = {event["connection_id"]: event for event in events if event["type"].startswith("connection.")}
    for place, connection_id in enumerate(filled.ids):
        event = by_id[str(connection_id)]
        assert event.get("cut") == (["scopes"] if place < 3 else None)
        if 3 <= place < 33:
            assert event["scopes"] == sorted(LONG)
