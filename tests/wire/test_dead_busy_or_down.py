"""A provider's answer to a refresh: whether the grant is dead, busy or refused for a reason that nobody knows."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.doubles.acting import SHORT, connect, exchange, exchanged, token_in
from tests.doubles.documented import Answer
from tests.doubles.provider import ProviderDouble
from tests.doubles.stage import Stage


def refusing(status: int, **members: Any) -> Answer:
    """A refusal that public clients report."""
    return Answer(
        page="https://example.com/",
        seen="2026-11-30",
        status=status,
        content_type="application/json",
        body=json.dumps(members),
    )


async def refused_with(stage: Stage, double: ProviderDouble, name: str, answer: Answer) -> tuple[int, str | None]:
    """What an exchange says when the refresh is refused like this, and the account's status."""
    double.life, double.answers = SHORT, {**double.answers, "reported": answer}
    double.instead["refresh"] = "reported"
    async with stage.app() as app:
        await connect(app, name)
        told = await exchange(stage, app, name)
        (account,) = (await app.http.get("accounts")).json()["accounts"]
    return told.status_code, account["status"]


@pytest.mark.parametrize("name", ["jira", "confluence", "atlassian"])
async def test_a_dead_grant_is_dead_by_unauthorized_client_too(stage: Stage, double: ProviderDouble, name: str) -> None:
    answer = refusing(403, error="unauthorized_client", error_description="refresh_token is invalid")
    assert await refused_with(stage, double, name, answer) == (400, "reconnect_required")


@pytest.mark.parametrize("name", ["microsoft"])
@pytest.mark.parametrize(
    ("error", "number", "expected"),
    [
        ("invalid_grant", 50173, (400, "reconnect_required")),
        ("interaction_required", 65001, (400, "reconnect_required")),
        ("invalid_client", 7000215, (200, "connected")),
        ("unauthorized_client", 700016, (200, "connected")),
        ("invalid_grant", 7000215, (200, "connected")),
        ("invalid_request", 90033, (200, "connected")),
    ],
)
async def test_entra_says_by_number_what_it_means(
    stage: Stage, double: ProviderDouble, error: str, number: int, expected: tuple[int, str]
) -> None:
    answer = refusing(400, error=error, error_description=f"AADSTS{number}: …", error_codes=[number])
    assert await refused_with(stage, double, "microsoft", answer) == expected


@pytest.mark.parametrize("name", ["salesforce"])
async def test_a_busy_grant_is_asked_for_again(stage: Stage, double: ProviderDouble, name: str) -> None:
    answer = refusing(400, error="invalid_grant", error_description="token request is already being processed")
    double.answers = {**double.answers, "reported": answer}
    double.instead["refresh"] = "reported"
    async with stage.app() as app:
        await connect(app, name)
        await asyncio.sleep(2.1)
        assert (await exchange(stage, app, name)).status_code == 200, "the token is good for a while"
        double.instead.clear()
        assert (await exchanged(stage, app, name))["access_token"] == token_in(name, "refresh")
