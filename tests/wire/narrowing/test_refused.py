"""Narrowed tokens that the provider's API refused before their end: each is replaced by itself."""

from __future__ import annotations

import asyncio

from tests.wire.narrowing.conftest import Asking


async def test_a_refused_narrowed_token_is_narrowed_anew(asking: Asking) -> None:
    dead = (await asking.ask("reader")).token
    stored = (await asking.ask("whole")).token
    asking.provider.grants.end_access_tokens()
    (fresh,) = await asking.report("reader", dead)
    fresh.carries("read:user")
    assert fresh.token != dead
    assert (await asking.newest("token.exchanged"))["reported"] == "renewed"
    assert (await asking.ask("reader")).token == fresh.token
    assert asking.refreshes == 2
    # The stored one is as dead, and nobody has said so yet.
    assert (await asking.ask("whole")).token == stored


async def test_c5_many_reports_of_a_narrowed_token_over_two_replicas_narrow_once(asking: Asking) -> None:
    dead = (await asking.ask("reader")).token
    places = (asking.vaults.narrowing, asking.vaults.replica)
    told = await asyncio.gather(*(asking.report("reader", dead, at=at, times=25) for at in places))
    tokens = {one.token for answers in told for one in answers}
    assert len(tokens) == 1
    assert dead not in tokens
    assert asking.refreshes == 2
    assert not asking.family.reuse_detected


async def test_what_another_client_gets_is_not_this_clients_to_renew(asking: Asking) -> None:
    """A narrower client cannot report the stored token, nor a wider one a token that is narrowed for others."""
    stored = (await asking.ask("whole")).token
    narrowed = (await asking.ask("reader")).token
    for client, foreign, own in (("reader", stored, narrowed), ("whole", narrowed, stored)):
        (told,) = await asking.report(client, foreign)
        assert told.token == own
        assert (await asking.newest("token.exchanged"))["reported"] == "not_current"
    assert asking.refreshes == 1


async def test_each_set_of_scopes_is_reported_by_itself(asking: Asking) -> None:
    first = (await asking.ask("whole", "repo")).token
    second = (await asking.ask("whole", "read:user")).token
    (fresh,) = await asking.report("whole", first, "repo")
    fresh.carries("repo")
    assert (await asking.ask("whole", "read:user")).token == second
    assert asking.refreshes == 3


async def test_the_limit_is_the_connections_whatever_the_scopes(asking: Asking) -> None:
    tokens = {scope: (await asking.ask("whole", scope)).token for scope in ("repo", "read:user")}
    before = asking.refreshes
    for _ in range(4):
        for scope, token in tokens.items():
            (told,) = await asking.report("whole", token, scope)
            told.carries(scope)
            tokens[scope] = told.token
    # The window may end in between, by the clock on the wall.
    assert 3 <= asking.refreshes - before <= 6
    assert (await asking.newest("token.exchanged"))["reported"] in {"limit_reached", "renewed"}


async def test_a_grant_that_is_over_takes_the_narrowed_tokens_along(asking: Asking) -> None:
    dead = (await asking.ask("reader")).token
    asking.family.alive = False
    (told,) = await asking.report("reader", dead)
    assert (told.answer.status_code, told.answer.json()["reason"]) == (400, "reconnect_required")
    assert (await asking.newest("token.refused"))["reported"] == "ended"
    assert await asking.kept() == []


async def test_without_the_provider_only_who_reports_is_refused(asking: Asking) -> None:
    token = (await asking.ask("reader")).token
    asking.provider.faults.token = "down"
    (told,) = await asking.report("reader", token)
    assert (told.answer.status_code, told.answer.json()["error"]) == (503, "temporarily_unavailable")
    assert (await asking.newest("token.refused"))["reported"] == "not_renewed"
    assert (await asking.ask("reader")).token == token
