"""The small APIs: their shapes, and what they say to a bad token or too few scopes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.unit.sandbox.conftest import CLIENT, HandClock, ProviderClient, make_provider
from vaultd.sandbox.apis import CALENDAR_SCOPE

EVENTS = "/calendar/v3/calendars/primary/events"
HISTORY = "/conversations.history?channel=general"
SEARCH = "/search/issues?q=is:pr"


async def get(clock: HandClock, name: str, path: str, scopes: list[str]) -> tuple[int, dict[str, Any]]:
    provider = make_provider(name=name, clock=clock)
    token = provider.issue(user="alice", client_id=CLIENT, scopes=scopes)["access_token"] if scopes else "guess"
    answer = await ProviderClient(provider).call(path, token)
    assert provider.calls == {"api": 1}
    return answer.status_code, answer.json()


async def test_github(clock: HandClock) -> None:
    status, user = await get(clock, "github", "/user", ["read:user"])
    assert (status, user["login"], user["id"]) == (200, "alice", 1001)
    status, found = await get(clock, "github", SEARCH, ["repo"])
    assert (status, found["total_count"], len(found["items"])) == (200, 2, 2)
    assert found["items"][0]["pull_request"]["html_url"].endswith("/pull/42")
    assert (await get(clock, "github", "/search/issues", ["repo"]))[0] == 422


async def test_google(clock: HandClock) -> None:
    status, calendar = await get(clock, "google", EVENTS, [CALENDAR_SCOPE])
    assert (status, calendar["kind"]) == (200, "calendar#events")
    starts = [datetime.fromisoformat(event["start"]["dateTime"]) for event in calendar["items"]]
    assert starts == sorted(starts)
    assert {start.date() for start in starts} == {clock().date()}


async def test_slack(clock: HandClock) -> None:
    status, history = await get(clock, "slack", HISTORY, ["channels:history"])
    assert (status, history["ok"]) == (200, True)
    stamps = [float(message["ts"]) for message in history["messages"]]
    assert stamps == sorted(stamps, reverse=True)
    assert (await get(clock, "slack", "/conversations.history", ["channels:history"]))[1]["error"] == (
        "channel_not_found"
    )


@pytest.mark.parametrize(
    ("name", "path", "unknown", "narrow"),
    [("github", SEARCH, 401, 403), ("google", EVENTS, 401, 403), ("slack", HISTORY, 200, 200)],
)
async def test_refusals(clock: HandClock, name: str, path: str, unknown: int, narrow: int) -> None:
    status, body = await get(clock, name, path, [])
    assert status == unknown
    assert "items" not in body
    assert "messages" not in body
    status, body = await get(clock, name, path, ["something:else"])
    assert status == narrow
    assert name != "slack" or body == {"ok": False, "error": "missing_scope", "needed": "channels:history"}


async def test_yesterday_is_told_apart_from_today(clock: HandClock) -> None:
    """Issue 7, item 4: what the example app asks each API, in that API's own words."""
    day, before = clock().date(), clock().date() - timedelta(days=1)
    for asked, count in ((f"{before}T00:00:00Z..{before}T23:59:59Z", 2), (f"{before}", 2), (f"{day}..{day}", 0)):
        _, found = await get(clock, "github", f"{SEARCH}+updated:{asked}", ["repo"])
        assert (found["total_count"], len(found["items"])) == (count, count), asked
    for first, last in ((before, day), (day, day + timedelta(days=1))):
        window = f"?timeMin={first}T00:00:00Z&timeMax={last}T00:00:00Z&singleEvents=true&orderBy=startTime"
        _, calendar = await get(clock, "google", EVENTS + window, [CALENDAR_SCOPE])
        starts = [event["start"]["dateTime"][:16] for event in calendar["items"]]
        assert starts == [f"{first}T09:30", f"{first}T14:00"]
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()
    window = f"&oldest={midnight - 86400}&latest={midnight}"
    _, history = await get(clock, "slack", HISTORY + window, ["channels:history"])
    assert [message["user"] for message in history["messages"]] == ["U1002", "U1001"]
    assert all(midnight - 86400 <= float(message["ts"]) < midnight for message in history["messages"])


@pytest.mark.parametrize(
    ("name", "path", "scope"),
    [
        ("github", f"{SEARCH}+updated:soon", "repo"),
        ("google", f"{EVENTS}?timeMin=2030-05-17T00:00:00", CALENDAR_SCOPE),
        ("slack", f"{HISTORY}&oldest=soon", "channels:history"),
    ],
)
async def test_a_time_that_is_none_is_refused(clock: HandClock, name: str, path: str, scope: str) -> None:
    status, body = await get(clock, name, path, [scope])
    assert (status, body.get("ok")) in {(422, None), (400, None), (200, False)}
