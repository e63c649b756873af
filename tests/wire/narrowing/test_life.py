"""What becomes of narrowed tokens: single flight, failures, rotation, their end and their revocation (A7, C3 to C7)."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import text

from tests.wire.narrowing.conftest import Asking
from vaultd.db import Database

STALE = timedelta(seconds=30)
"""Below the margin of 60 s: a token of this life counts as stale and is still good."""


async def test_a7_and_c5_a_hundred_at_once_over_two_replicas_narrow_once(asking: Asking) -> None:
    asks = [("reader", None, at) for _ in range(50) for at in (asking.vaults.narrowing, asking.vaults.replica)]
    tokens = {told.token for told in await asking.ask_all(list(asks))}
    assert len(tokens) == 1
    assert asking.refreshes == 1


async def test_a7_and_c5_two_sets_of_scopes_at_once_use_up_no_refresh_token_twice(asking: Asking) -> None:
    """Each rotates the refresh token, so that the later one must find the earlier one's in the row."""
    places = (asking.vaults.narrowing, asking.vaults.replica)
    asks = [("whole", scope, at) for _ in range(10) for scope in ("repo", "read:user") for at in places]
    for (_, scope, _), told in zip(asks, await asking.ask_all(list(asks)), strict=True):
        told.carries(scope)
    assert asking.refreshes == 2
    assert not asking.family.reuse_detected
    assert await asking.kept() == ["read:user", "repo"]


async def test_a7_and_c5_narrowing_and_refreshing_at_once(asking: Asking) -> None:
    asking.provider.grants.ttl = STALE
    await asking.reconnect()
    asking.provider.grants.ttl = timedelta(seconds=300)
    places = (asking.vaults.narrowing, asking.vaults.replica)
    asks = [("whole", scope, at) for _ in range(10) for scope in (None, "read:user") for at in places]
    for (_, scope, _), told in zip(asks, await asking.ask_all(list(asks)), strict=True):
        told.carries(scope or "repo read:user")
        assert told.answer.json()["expires_in"] > 60, "neither is served from the token that is about to end"
    assert asking.refreshes == 2
    assert not asking.family.reuse_detected


async def test_c3_a_grant_that_is_over_asks_for_a_reconnection(asking: Asking) -> None:
    assert (await asking.ask("whole", "repo")).token
    asking.family.alive = False
    for client in ("reader", "whole"):
        told = await asking.ask(client)
        assert (told.answer.status_code, told.answer.json()["reason"]) == (400, "reconnect_required")
    assert (await asking.newest("connection.broken"))["reason"] == "invalid_grant"
    assert await asking.kept() == [], "broken: what was narrowed is gone in the same transaction"
    await asking.reconnect()
    (await asking.ask("reader")).carries("read:user")


@pytest.mark.parametrize("fault", ["down", "slow_down", "html", "drop", "error_in_200"])
async def test_c4_without_the_provider_a_narrowed_token_that_is_still_good_is_served(
    asking: Asking, fault: str
) -> None:
    asking.provider.grants.ttl = STALE
    first = await asking.ask("reader")
    asking.provider.faults.token = fault  # type: ignore[assignment]  # pydantic checks it
    second = await asking.ask("reader")
    assert second.token == first.token
    assert 0 < second.answer.json()["expires_in"] <= 30
    other = await asking.ask("whole", "repo")
    assert (other.answer.status_code, other.answer.json()["error"]) == (503, "temporarily_unavailable")
    assert int(other.answer.headers["retry-after"]) > 0
    asking.provider.faults.clear()
    if fault == "slow_down":
        # C3: the provider asked to be left alone for that long.
        await asyncio.sleep(int(other.answer.headers["retry-after"]))
    (await asking.ask("whole", "repo")).carries("repo")


async def test_a7_a_narrowed_token_that_has_ended_is_replaced(asking: Asking) -> None:
    asking.provider.grants.ttl = timedelta(seconds=1)
    first, other = await asking.ask("reader"), await asking.ask("whole", "repo")
    await asyncio.sleep(1.1)
    assert (first.access, other.access) == (None, None)
    asking.provider.grants.ttl = timedelta(seconds=300)
    (await asking.ask("reader")).carries("read:user")
    assert await asking.kept() == ["read:user"], "the other that has ended is forgotten"


async def test_a7_a_stored_token_that_has_ended_does_not_matter(asking: Asking) -> None:
    asking.provider.grants.ttl = timedelta(seconds=1)
    await asking.reconnect()
    asking.provider.grants.ttl = timedelta(seconds=300)
    await asyncio.sleep(1.1)
    (await asking.ask("reader")).carries("read:user")
    assert asking.refreshes == 1
    (await asking.ask("whole")).carries("repo read:user")
    assert asking.refreshes == 2


async def test_c6_a_rotation_whose_answer_was_lost(asking: Asking) -> None:
    asking.provider.faults.token = "drop_after"
    assert (await asking.ask("reader")).answer.status_code == 503
    asking.provider.faults.clear()
    told = await asking.ask("reader")
    assert (told.answer.status_code, told.answer.json()["reason"]) == (400, "reconnect_required")
    assert (await asking.newest("connection.broken"))["reason"] == "rotation_lost"


async def test_c6_a_rotation_whose_answer_was_lost_is_made_good_by_a_grace(asking: Asking) -> None:
    asking.provider.grants.reuse_grace = timedelta(seconds=60)
    asking.provider.faults.token = "drop_after"
    assert (await asking.ask("reader")).answer.status_code == 503
    asking.provider.faults.clear()
    (await asking.ask("reader")).carries("read:user")
    (await asking.ask("whole")).carries("repo read:user")


async def test_c7_disconnecting_ends_the_narrowed_tokens_too(asking: Asking) -> None:
    told = [await asking.ask("whole", "repo"), await asking.ask("reader")]
    assert (await asking.app.http.delete(f"accounts/{asking.account}")).status_code == 204
    assert await asking.kept() == []
    refused = await asking.ask("reader")
    assert (refused.answer.status_code, refused.answer.json()["reason"]) == (400, "reconnect_required")
    # The refresh token, the stored token and the two narrowed ones, each told to the provider by itself.
    async with asyncio.timeout(20):
        while asking.provider.calls["revoke"] < 4:
            await asyncio.sleep(0.05)
    assert [one.access for one in told] == [None, None]


async def test_c7_reconnecting_forgets_what_was_narrowed_from_the_grant_before(asking: Asking) -> None:
    before = await asking.ask("reader")
    assert await asking.kept() == ["read:user"]
    await asking.reconnect()
    assert await asking.kept() == []
    after = await asking.ask("reader")
    after.carries("read:user")
    assert after.token != before.token


async def test_d2_a_kept_row_holds_no_token_in_the_clear(asking: Asking) -> None:
    token = (await asking.ask("reader")).token
    database = Database(asking.world.settings.database_url, pool_size=1)
    try:
        async with database.transaction() as connection:
            rows = (await connection.execute(text("SELECT narrowed_tokens::text FROM narrowed_tokens"))).scalars().all()
    finally:
        await database.aclose()
    assert rows
    assert not any(token in row or token.encode().hex() in row for row in rows)
