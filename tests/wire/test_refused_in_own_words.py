"""A token that an API refused, reported where the provider has ways of its own to answer the renewal."""

from __future__ import annotations

from typing import Any

import pytest

from tests.doubles.own_words import Words
from tests.wire.vault import App
from tests.wire.words import Town

DEAD = Words(403, {"error": "unauthorized_client", "error_description": "refresh_token is invalid"})
NOT_NOW = {
    "the app is refused": Words(401, {"error": "invalid_client"}),
    "in unknown words": Words(400, {"error": "odd_words"}),
    "without a word": Words(403, ""),
    "busy": Words(400, {"error": "invalid_grant", "error_description": "token request is already being processed"}),
    "down": Words(500, {"error": "invalid_grant"}),
    "limited": Words(429, {"error": "invalid_grant"}, {"retry-after": "3"}),
}


@pytest.fixture(autouse=True)
def well(town: Town) -> None:
    for provider in town.at.values():
        provider.reset()
        provider.token = provider.renewed = {"expires_in": 3600}


async def given(town: Town, app: App, name: str, refused: str | None = None) -> str:
    changes = {} if refused is None else {"refused_token": refused}
    answer = await town.exchange(app, name, **changes)
    assert answer.status_code == 200, answer.text
    token: str = answer.json()["access_token"]
    return token


async def last(town: Town, app: App, kind: str = "token.exchanged") -> dict[str, Any]:
    town.clock.forward(milliseconds=1)
    return (await town.events(app, kind))[0]


async def test_a_provider_that_gives_that_very_token_again_is_asked_once(town: Town) -> None:
    async with town.app() as app:
        granted = await town.connected(app, "never")
        token = await given(town, app, "never")
        town.at["never"].renewed = {"access_token": token, "expires_in": 3600}
        for _ in range(4):
            assert await given(town, app, "never", token) == token
            assert (await last(town, app))["reported"] == "no_other"
        assert len(granted.asked) == 1
        assert (await town.account(app))["status"] == "connected"


async def test_a_token_without_an_end_is_replaced_too(town: Town) -> None:
    provider = town.at["own"]
    provider.token = provider.renewed = {"expires_in": None}
    async with town.app() as app:
        granted = await town.connected(app, "own")
        first = await given(town, app, "own")
        assert await given(town, app, "own") == first
        second = await given(town, app, "own", first)
        assert (second, len(granted.asked)) == (granted.access[-1], 1)
        assert second != first


async def test_a_grant_that_is_over_in_its_providers_own_words_ends(town: Town) -> None:
    async with town.app() as app:
        granted = await town.connected(app, "jira")
        token = await given(town, app, "jira")
        granted.says = [DEAD]
        answer = await town.exchange(app, "jira", refused_token=token)
        assert (answer.status_code, answer.json()["reason"]) == (400, "reconnect_required")
        assert (await last(town, app, "token.refused"))["reported"] == "ended"


@pytest.mark.parametrize("how", NOT_NOW)
async def test_what_is_not_final_costs_only_who_reported_it(town: Town, how: str) -> None:
    async with town.app() as app:
        granted = await town.connected(app, "salesforce")
        token = await given(town, app, "salesforce")
        granted.says = [NOT_NOW[how]]
        answer = await town.exchange(app, "salesforce", refused_token=token)
        assert (answer.status_code, answer.json()["error"]) == (503, "temporarily_unavailable")
        assert int(answer.headers["retry-after"]) > 0
        assert (await last(town, app, "token.refused"))["reported"] == "not_renewed"
        assert await given(town, app, "salesforce") == token
        granted.says = []
        town.clock.forward(minutes=1)
        assert await given(town, app, "salesforce", token) == granted.access[-1] != token


async def test_without_a_refresh_token_a_word_at_userinfo_ends_it_and_a_riddle_does_not(town: Town) -> None:
    town.at["own"].token = {"refresh_token": None, "expires_in": None}
    async with town.app() as app:
        await town.connected(app, "own")
        token = await given(town, app, "own")
        town.at["own"].userinfo = Words(200, {"ok": False, "error": "invalid_auth"})
        assert await given(town, app, "own", token) == token
        town.at["own"].userinfo = Words(200, {"ok": False, "error": "token_revoked"})
        answer = await town.exchange(app, "own", refused_token=token)
        assert answer.json()["reason"] == "reconnect_required"
        assert (await last(town, app, "connection.broken"))["reason"] == "revoked_at_provider"
