"""The issuer says that somebody signed out there: OpenID Connect Back-Channel Logout 1.0, over HTTP."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest

from tests.wire.vault import Vault, fresh
from vaultd.sandbox.browser import Browser
from vaultd.sandbox.dev_config import VAULT_AT_ISSUER
from vaultd.sandbox.world import World

PATH = "/auth/login/backchannel"
EVENTS: dict[str, Any] = {"http://schemas.openid.net/event/backchannel-logout": {}}


def logout_token(world: World, sub: str, *, client_id: str = VAULT_AT_ISSUER, **changes: Any) -> str:
    """The issuer's own, without a session id, since it has none."""
    told: dict[str, Any] = {"events": EVENTS, "auth_time": None, **changes}
    return world.issuer.mint_id_token(sub, client_id=client_id, **told)


async def tell(vault: Vault, token: str) -> httpx.Response:
    return await vault.http.post(PATH, data={"logout_token": token})


async def sign_in(world: World, browser: Browser, person: str) -> None:
    await browser.open(f"{world.places.vault}/connections")
    assert (await browser.click(person)).url == f"{world.places.vault}/connections"


async def is_in(world: World, browser: Browser) -> bool:
    return (await browser.http.get(f"{world.places.vault}/connections")).status_code == 200


async def test_it_ends_all_sessions_of_that_user_and_of_nobody_else(world: World, vault: Vault) -> None:
    async with AsyncExitStack() as stack:
        alice, again, bob = [await stack.enter_async_context(Browser()) for _ in range(3)]
        for browser, person in ((alice, "Alice"), (again, "Alice"), (bob, "Bob")):
            await sign_in(world, browser, person)
        answer = await tell(vault, logout_token(world, "alice"))
        assert (answer.status_code, answer.content, answer.headers["cache-control"]) == (200, b"", "no-store")
        assert [await is_in(world, each) for each in (alice, again, bob)] == [False, False, True]
        (event,) = await vault.events_of(answer)
        assert (event["type"], event["decision"], event["reason"]) == ("session.ended", "allowed", "issuer")
        assert event["subject"]["sub"] == "alice"
        # A new sign-in is a new session.
        await sign_in(world, alice, "Alice")
        assert await is_in(world, alice)


async def test_it_is_good_once_in_all_replicas(world: World, vault: Vault) -> None:
    token = logout_token(world, "carol")
    answers = await asyncio.gather(*(tell(vault, token) for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [200] + [400] * 19
    async with Browser() as browser:
        await sign_in(world, browser, "Carol")
        assert (await tell(vault, token)).status_code == 400
        assert await is_in(world, browser), "an old token ends no new session"


async def test_somebody_who_is_not_signed_in_is_nothing_to_us(world: World, vault: Vault) -> None:
    """§2.7: the issuer is told that all is well, and nobody gets a row by being signed out."""
    answer = await tell(vault, logout_token(world, fresh("nobody")))
    assert answer.status_code == 200
    assert await vault.events_of(answer) == []


async def test_a_session_without_an_id_ends_with_any_of_its_users(world: World, vault: Vault) -> None:
    """Its ID token had no `sid`, so that it may be the one that is meant; Bob's is not."""
    async with Browser() as carol, Browser() as bob:
        await sign_in(world, carol, "Carol")
        await sign_in(world, bob, "Bob")
        assert (await tell(vault, logout_token(world, "carol", sid="of another session"))).status_code == 200
        assert [await is_in(world, each) for each in (carol, bob)] == [False, True]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"client_id": "another"}, "wrong_audience"),
        ({"nonce": "n"}, "wrong_claim"),
        ({"events": {"urn:another": {}}}, "missing_claim"),
        ({"jti": None}, "missing_claim"),
        ({"ttl": -120}, "expired"),
        ({"iss": "https://evil.example"}, "wrong_issuer"),
    ],
    ids=str,
)
async def test_what_does_not_fit_ends_nothing(world: World, vault: Vault, changes: dict[str, Any], reason: str) -> None:
    async with Browser() as browser:
        await sign_in(world, browser, "Carol")
        refused = await tell(vault, logout_token(world, "carol", **changes))
        assert await is_in(world, browser)
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_request")
    assert refused.json()["error_description"] == "The logout token is not accepted.", "why is in the event alone"
    events = (await vault.audit(type="session.refused", limit=200))["events"]
    assert reason in {event["reason"] for event in events}


async def test_other_tokens_of_the_issuer_end_nothing(world: World, vault: Vault) -> None:
    async with Browser() as browser:
        await sign_in(world, browser, "Carol")
        for token in (
            world.issuer.mint("carol", aud=VAULT_AT_ISSUER),
            world.issuer.mint("carol", aud=VAULT_AT_ISSUER, claims={"events": EVENTS}),
            world.issuer.mint_id_token("carol", client_id=VAULT_AT_ISSUER, nonce="n"),
            "x.y.z",
            "x",
        ):
            assert (await tell(vault, token)).status_code == 400
        assert await is_in(world, browser)


@pytest.mark.parametrize(
    "sent",
    [
        {"data": {}},
        {"data": {"logout_token": ""}},
        {"data": {"logout_token": ["a", "b"]}},
        {"json": {"logout_token": "a"}},
        {"content": b"logout_token=%ff%00", "headers": {"content-type": "application/x-www-form-urlencoded"}},
        {"files": {"logout_token": ("a", b"a")}},
        {"params": {"logout_token": "a"}},
    ],
    ids=str,
)
async def test_what_is_no_logout_request_is_400(vault: Vault, sent: dict[str, Any]) -> None:
    answer = await vault.http.post(PATH, **sent)
    assert answer.status_code == 400, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"


async def test_a_cookie_is_nothing_to_it_and_no_page_can_use_it(world: World, vault: Vault) -> None:
    """A page of another origin may post what it likes: what counts is the issuer's signature."""
    async with Browser() as browser:
        await sign_in(world, browser, "Carol")
        answer = await browser.http.post(world.places.vault + PATH, headers={"Origin": "https://evil.example"})
        assert answer.status_code == 400
        assert await is_in(world, browser)
