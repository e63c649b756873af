"""Every entry of the catalogue against a double that answers as its provider's documentation shows (issue 5 §2)."""

from __future__ import annotations

import asyncio
from datetime import date
from typing import Any

import pytest

from tests.doubles.acting import (
    DOCUMENTED,
    ENTRIES,
    SHORT,
    answers_of,
    begin,
    connect,
    consented,
    disconnected,
    exchange,
    exchanged,
    token_in,
)
from tests.doubles.asked import Asked
from tests.doubles.expected import KNOWN, LEFT_OUT, REVOKED, WAYS
from tests.doubles.provider import ProviderDouble
from tests.doubles.stage import ASSUMED_LIFE, Stage, asked_scopes, granted_scopes
from tests.wire.vault import App

NAMES = sorted(ENTRIES)
ROTATING = {"slack", "slack-user"}
"""Their pages show apps without token rotation first; the refresh is that of an app with it."""


def is_played(name: str, what: str) -> bool:
    """Whether the pages show all the answers of it."""
    entry, answers = ENTRIES[name], answers_of(name)
    source = entry.get("account_source", "userinfo")
    needed = {"connect": {"token"}, "refresh": {"refresh"}, "refusal": {"token"}}[what]
    needed |= {"userinfo"} if source == "userinfo" or "userinfo_metadata" in entry else set()
    needed |= {"id_token"} if source == "id_token" else set()
    needed |= {"lookup"} if "lookup" in entry else set()
    token = answers["token_with_rotation" if name in ROTATING else "token"].body if "token" in answers else ""
    return needed <= answers.keys() and "token" in answers and (what == "connect" or "refresh_token" in token)


CONNECTED = [name for name in NAMES if is_played(name, "connect")]
REFRESHED = [name for name in NAMES if is_played(name, "refresh")]
REFUSED = [name for name in NAMES if is_played(name, "refusal") and ENTRIES[name]["expires"]]
"""All whose tokens end, and that give a refresh token in an answer that some page shows."""
KNOWN_REFUSALS = [(name, step) for name in REFUSED for step in answers_of(name) if step.startswith("refresh_")]
"""Each of their refusals, as somebody's page shows it: a dead grant's are `refresh_error`."""


def test_what_is_left_out() -> None:
    """No page was seen for these; the table shrinks by transcribing one, and grows only knowingly."""
    left_out = {
        "connect": [name for name in NAMES if name not in CONNECTED],
        "refresh": [name for name in CONNECTED if name not in REFRESHED],
        "answer to a revocation": [
            name for name in CONNECTED if name in REVOKED and "revocation" not in answers_of(name)
        ],
    }
    assert {what: " ".join(names) for what, names in left_out.items()} == LEFT_OUT
    assert sorted(KNOWN) == CONNECTED
    assert sorted(" ".join(WAYS.values()).split()) == CONNECTED


def test_every_answer_cites_its_page() -> None:
    for name, answers in DOCUMENTED.items():
        assert name in ENTRIES
        for step, answer in answers.items():
            assert answer.page.startswith("https://"), (name, step)
            assert date.fromisoformat(answer.seen).year >= 2026, (name, step)


def asked_for(name: str) -> list[str]:
    """What the documented consent asks for, and what vaultd needs itself besides."""
    entry = ENTRIES[name]
    own = (*entry.get("identity_scopes", ()), *entry.get("renewal_scopes", ()))
    return sorted({*asked_scopes(entry, answers_of(name)), *own})


@pytest.mark.parametrize("name", NAMES)
async def test_the_authorization_request_and_a_refusal(stage: Stage, double: ProviderDouble, name: str) -> None:
    entry, double.denies = ENTRIES[name], True
    async with stage.app() as app:
        came_back = await consented(app, await begin(app, name))
    assert (came_back["error"], came_back["state"]) == ("access_denied", "app-state")
    (asked,) = double.asked
    params = dict(asked.params)
    scopes = asked_for(name)
    scope_name = entry.get("parameter_names", {}).get("scope", "scope")
    assert sorted(filter(None, params.pop(scope_name, "").split(entry.get("scope_separator", " ")))) == scopes
    assert (params.pop("code_challenge_method", None), len(params.pop("code_challenge", ""))) == (
        ("S256", 43) if entry["pkce"] else (None, 0)
    )
    assert params.keys() - {"client_id", "redirect_uri", "response_type", "state", "nonce"} == set(
        entry.get("authorization_params", {})
    )
    assert params.items() >= entry.get("authorization_params", {}).items()
    assert double.complaints == []


@pytest.mark.parametrize("name", CONNECTED)
async def test_connect_exchange_and_disconnect(stage: Stage, double: ProviderDouble, name: str) -> None:
    entry = ENTRIES[name]
    label, metadata = KNOWN[name]
    async with stage.app() as app:
        account = await connect(app, name)
        body = await exchanged(stage, app, name)
        assert body["access_token"] == token_in(name, "token")
        granted = granted_scopes(entry, answers_of(name), "token")
        unlisted = set(asked_for(name)) & set(entry.get("scopes_unlisted", ()))
        carried = asked_for(name) if granted is None else sorted({*granted, *unlisted})
        assert sorted(body["scope"].split()) == carried
        assert (body["account"], body.get("connection_metadata", {})) == (label, metadata)
        life = token_in(name, "token", "expires_in") or ASSUMED_LIFE
        assert int(life) - 10 < body["expires_in"] <= int(life)
        (redeemed,) = double.of("token")
        assert name in WAYS[redeemed.way].split()
        assert redeemed.headers["accept"] == "application/json"
        ended = await disconnected(stage, app, account["id"], name)
    assert ended.get("reason") == (None if name in REVOKED else "unsupported")
    assert told(double.of("revocation"), name) == given_back(name)
    assert double.complaints == []


@pytest.mark.parametrize("name", REFRESHED)
async def test_refresh(stage: Stage, double: ProviderDouble, name: str) -> None:
    # The documented lives are hours; shortened in the first answer, the token is stale at the next exchange.
    double.life = SHORT
    first = "token_with_rotation" if name in ROTATING else "token"
    double.instead["token"] = first
    async with stage.app() as app:
        await connect(app, name)
        if token_in(name, first, "expires_in") is None:
            await asyncio.sleep(ASSUMED_LIFE - 60 + 0.1)
        body = await exchanged(stage, app, name)
    # A refresh of a person's token answers at the top, where the first answer nests it.
    members = answers_of(name)["refresh"].members()
    assert body["access_token"] == members["access_token"]
    assert (body["account"], body.get("connection_metadata", {})) == KNOWN[name]
    (asked,) = double.of("refresh")
    assert name in WAYS[asked.way].split()
    assert asked.params["grant_type"] == "refresh_token"
    assert asked.params["refresh_token"] == token_in(name, first, "refresh_token")
    assert asked.params.items() >= ENTRIES[name].get("refresh_params", {}).items()
    assert double.complaints == []


@pytest.mark.parametrize("name", [name for name in REFUSED if ENTRIES[name]["refusals"] == "unknown"])
async def test_a_refusal_that_no_page_explains_is_not_final(stage: Stage, double: ProviderDouble, name: str) -> None:
    double.refuses = frozenset({"refresh"})
    async with stage.app() as app:
        assert await at_the_refresh(stage, double, app, name) == (200, "connected")
        assert double.of("refresh") != []
    assert double.complaints == []


@pytest.mark.parametrize(("name", "step"), KNOWN_REFUSALS)
async def test_a_refusal_is_final_if_its_provider_means_that_the_grant_is_dead(
    stage: Stage, double: ProviderDouble, name: str, step: str
) -> None:
    """Each in its own words: `invalid_grant`, Slack's `ok: false`, LinkedIn's `invalid_request`, Twitch's message."""
    double.instead["refresh"] = step
    entry, dead = ENTRIES[name], step.startswith("refresh_error")
    async with stage.app() as app:
        expected = (400, "reconnect_required") if dead else (200, "connected")
        assert await at_the_refresh(stage, double, app, name) == expected
        twice = dead and (entry.get("dead_only_twice", False) or entry["rotation"] == "never")
        assert len(double.of("refresh")) == (2 if twice else 1)
    assert double.complaints == []


async def at_the_refresh(stage: Stage, double: ProviderDouble, app: App, name: str) -> tuple[int, str]:
    """How an exchange is answered that finds a token to be renewed, and what the account is from then on.

    The token itself is good for a while, so it is served as long as nobody says that the grant is dead.
    """
    double.life = SHORT
    double.instead["token"] = "token_with_rotation" if name in ROTATING else "token"
    await connect(app, name)
    if token_in(name, double.instead["token"], "expires_in") is None:
        await asyncio.sleep(ASSUMED_LIFE - 60 + 0.1)
    answer = await exchange(stage, app, name)
    (account,) = (await app.http.get("accounts")).json()["accounts"]
    return answer.status_code, account["status"]


def told(asked: list[Asked], name: str) -> list[tuple[str, Any]]:
    """How it was asked, and the token that was in it."""
    tokens = {token for _, token in given_back(name)}
    found = []
    for each in asked:
        values = {each.token, *each.params.values(), *each.headers.values()} & tokens
        found.append((f"{each.method} {each.way}", values.pop() if len(values) == 1 else None))
    return found


def given_back(name: str) -> list[tuple[str, Any]]:
    way, kinds = REVOKED.get(name, ("", ""))
    steps = {"refresh": ("token", "refresh_token"), "first": ("token", "access_token")}
    steps |= {"second": ("refresh", "access_token"), "account": ("token", "stripe_user_id")}
    return [(way, token_in(name, *steps[kind])) for kind in kinds.split()]
