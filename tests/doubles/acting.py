"""What the tests of the catalogue do with an app and a browser at a provider's double."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import httpx

from tests.doubles.documented import Answer, load_documented
from tests.doubles.stage import Stage, asked_scopes
from tests.wire.vault import App, go_on, query_of, ticket_url
from vaultd.providers.catalogue import load_catalogue

ENTRIES = load_catalogue()
DOCUMENTED = load_documented()
SHORT = 30
"""Seconds: below every entry's refresh_margin, so that the next exchange renews the token."""


def answers_of(name: str) -> Mapping[str, Answer]:
    """What the provider's pages show."""
    return DOCUMENTED.get(name, {})


async def connect(app: App, name: str) -> dict[str, Any]:
    """The whole way; gives the account."""
    begun = await begin(app, name)
    came_back = await consented(app, begun)
    assert "connect_code" in came_back, came_back
    made = await app.complete(begun, came_back["connect_code"])
    assert made.status_code == 201, made.text
    account: dict[str, Any] = made.json()
    return account


async def begin(app: App, name: str) -> httpx.Response:
    scopes = asked_scopes(ENTRIES[name], answers_of(name))
    begun = await app.begin(name, **({"scopes": scopes} if scopes else {}))
    assert begun.status_code == 201, begun.text
    return begun


async def consented(app: App, begun: httpx.Response) -> dict[str, str]:
    """The browser's way; the person says yes at once, unless the double denies."""
    async with app.browser() as browser:
        page = await go_on(browser, ticket_url(begun))
    assert page.url.startswith(app.redirect_uri), page.text
    return query_of(page.url)


async def exchange(stage: Stage, app: App, name: str) -> httpx.Response:
    async with stage.vault() as vault:
        return await vault.exchange(app.session_token, audience=name)


async def exchanged(stage: Stage, app: App, name: str) -> dict[str, Any]:
    answer = await exchange(stage, app, name)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def token_in(name: str, step: str, member: str = "access_token") -> Any:
    """A member of the documented answer, beside the token."""
    members = answers_of(name)[step].members()
    return members.get(ENTRIES[name].get("token_path", ""), members).get(member)


async def disconnected(stage: Stage, app: App, account: str, name: str) -> dict[str, Any]:
    """Until the provider was told, or was found to have no way to be told; gives that event."""
    async with stage.vault() as vault:
        before = len(await revocations(stage, name))
        assert (await app.http.delete(f"accounts/{account}")).status_code == 204
        async with asyncio.timeout(15):
            while len(events := await revocations(stage, name)) == before:
                await asyncio.sleep(0.05)
        refused = await vault.exchange(app.session_token, audience=name)
    assert (refused.status_code, refused.json()["reason"]) == (400, "reconnect_required")
    return events[0]


async def revocations(stage: Stage, name: str) -> list[dict[str, Any]]:
    async with stage.vault() as vault:
        events = (await vault.audit(limit=300, type="provider.revoked"))["events"]
    return [event for event in events if event["connection"] == name]
