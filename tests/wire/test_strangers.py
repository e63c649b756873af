"""Tokens that somebody made up: their issuer is asked about few of them, and clients get theirs meanwhile."""

from __future__ import annotations

import asyncio
from collections import Counter

from tests.wire.issuers import Issuers
from tests.wire.test_introspection import ACCOUNTS
from tests.wire.vault import Vault, bearer, fresh
from vaultd.sandbox.dev_config import SAMPLE_AGENT
from vaultd.sandbox.loopback import loopback_http

MANY = 800
MOST = 150
"""Far above the budget of one address for as long as this takes, far below what is asked."""


async def flood(vault: Vault) -> Counter[int]:
    """Made-up tokens, in every way in which a stranger can present one; gives how often each status came."""
    at_once = asyncio.Semaphore(100)

    async def present(number: int) -> int:
        token = fresh("made-up")
        async with at_once:
            match number % 3:
                case 0:
                    answer = await strangers.get(ACCOUNTS, headers=bearer(token))
                case 1:
                    form = vault.exchange_form(token, client_id=SAMPLE_AGENT)
                    answer = await strangers.post("/oauth/token", data=form)
                case _:
                    answer = await strangers.post("/oauth/token", data=vault.exchange_form(token))
        assert answer.status_code != 429 or int(answer.headers["retry-after"]) >= 1
        return answer.status_code

    async with loopback_http(base_url=vault.http.base_url, timeout=60) as strangers:
        return Counter(await asyncio.gather(*(present(number) for number in range(MANY))))


async def test_made_up_tokens_do_not_keep_clients_from_theirs(issuers: Issuers, believer: Vault) -> None:
    token = issuers.opaque(fresh("user"))
    async with issuers.app(token) as app:
        await app.connect()
    issuers.asked.asked.clear()
    issuers.asked.held = True
    flooding = asyncio.create_task(flood(believer))
    await until_asked(issuers, 16)
    exchange = asyncio.create_task(believer.exchange(token))
    await until_asked(issuers, 17)
    assert issuers.asked.asked[-1]["token"] == token
    issuers.asked.held = False
    answer = await exchange
    assert answer.status_code == 200, answer.text
    statuses = await flooding
    assert len(issuers.asked.asked) < MOST
    assert statuses[429] > MANY - MOST
    assert set(statuses) == {400, 401, 429}


async def test_made_up_tokens_do_not_keep_a_user_from_the_accounts(issuers: Issuers, believer: Vault) -> None:
    """All of them have one address here; so they use up what that address has, and the user comes from it too."""
    token = issuers.opaque(fresh("user"))
    async with asyncio.timeout(60):
        # The budget may be used up by the tests before this one.
        while (await believer.http.get(ACCOUNTS, headers=bearer(token))).status_code != 200:
            await asyncio.sleep(0.2)
    flooding = asyncio.create_task(flood(believer))
    statuses = Counter([(await believer.http.get(ACCOUNTS, headers=bearer(token))).status_code for _ in range(100)])
    assert statuses == {200: 100}
    assert (await flooding)[429] > MANY - MOST
    assert (await believer.http.get(ACCOUNTS, headers=bearer(token))).status_code == 200


async def until_asked(issuers: Issuers, times: int) -> None:
    async with asyncio.timeout(60):
        while len(issuers.asked.asked) < times:
            await asyncio.sleep(0.01)


async def test_a_429_says_what_it_is(issuers: Issuers, believer: Vault) -> None:
    async with asyncio.timeout(60):
        while (answer := await believer.http.get(ACCOUNTS, headers=bearer(fresh("made-up")))).status_code != 429:
            assert answer.status_code == 401
    assert answer.json()["type"] == "urn:vaultd:error:slow_down"
    async with asyncio.timeout(60):
        while True:
            form = believer.exchange_form(fresh("made-up"), client_id=SAMPLE_AGENT)
            refused = await believer.http.post("/oauth/token", data=form)
            if refused.status_code == 429:
                break
    assert refused.json()["error"] == "slow_down"


async def test_what_just_was_not_active_is_not_asked_about_again(issuers: Issuers, believer: Vault) -> None:
    token = fresh("soon-good")
    async with asyncio.timeout(60):
        # The budget may be used up by the tests before this one.
        while (await believer.http.get(ACCOUNTS, headers=bearer(token))).status_code != 401:
            await asyncio.sleep(0.2)
    for _ in range(20):
        assert (await believer.http.get(ACCOUNTS, headers=bearer(token))).status_code == 401
    assert [form["token"] for form in issuers.asked.asked].count(token) <= 2
    issuers.asked.answers[token] = issuers.asked.answers[issuers.opaque(fresh("user"))]
    async with asyncio.timeout(60):
        while (await believer.http.get(ACCOUNTS, headers=bearer(token))).status_code != 200:
            await asyncio.sleep(0.2)
