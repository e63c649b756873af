"""Issue 7, item 1: how the user's connections stand, looked up again only after the user has had to act (api.md §2)."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.clients.python.conftest import Open
from tests.clients.python.speaking import Kind, Speaker, again
from tests.support.clock import HandClock
from tests.wire.vault import App, consent, query_of, ticket_url
from vaultd.sandbox.dev_config import SAMPLE_AGENT
from vaultd.sandbox.person import ACCOUNT_SCOPES
from vaultd.sandbox.world import World
from vaultd_client import InsufficientScope, InvalidToken, ReconnectRequired, TemporarilyUnavailable, UnexpectedAnswer


async def test_a_connection_is_believed_until_an_exchange_says_otherwise(app: App, speaker: Speaker) -> None:
    account = await app.connect()
    mine = {"subject_token": app.session_token}
    for _ in range(3):
        assert await speaker("status", "github", **mine) == "connected"
    assert [each.account for each in await speaker("accounts", **mine)] == ["alice@example.com"]
    assert speaker.wire.looks == [200]
    # It ends behind the client's back, which shows when a token is asked for.
    assert (await app.http.delete(f"accounts/{account['id']}")).status_code == 204
    assert await speaker("status", "github", **mine) == "connected"
    with pytest.raises(ReconnectRequired):
        await speaker.get(**mine)
    assert await speaker("status", "github", **mine) in {"reconnect_required", "not_connected"}
    assert speaker.wire.looks == [200, 200]
    # And is back, which nobody had to be told.
    await app.connect()
    assert await speaker("status", "github", **mine) == "connected"


async def test_the_second_look_costs_a_304(app: App, speaker: Speaker) -> None:
    """ETag: what has not changed is not sent again."""
    await app.connect()
    mine = {"subject_token": app.session_token}
    for _ in range(2):
        assert await speaker("status", "slack", **mine) == "not_connected"
    assert await speaker("status", "github", **mine) == "connected"
    assert speaker.wire.looks == [200, 304]
    seen = await speaker("accounts", **mine)
    assert (seen[0].connection, seen[0].status, set(seen[0].scopes)) == ("github", "connected", {"repo", "read:user"})
    assert speaker.wire.looks == [200, 304]


async def test_an_exchange_that_shows_more_than_was_known_casts_doubt_too(app: App, speaker: Speaker) -> None:
    mine = {"subject_token": app.session_token}
    assert await speaker("accounts", **mine) == ()
    await app.connect()
    assert await speaker("accounts", **mine) == ()
    await speaker.get(**mine)
    assert [each.connection for each in await speaker("accounts", **mine)] == ["github"]
    assert await speaker("status", "github", **mine) == "connected"
    assert speaker.wire.looks == [200, 200]


async def test_of_several_accounts_one_that_works_will_do(app: App, speaker: Speaker) -> None:
    made = []
    for person in ("Alice", "Bob"):
        begun = await app.begin()
        async with app.browser() as browser:
            page = await consent(browser, ticket_url(begun), person=person)
        made.append((await app.complete(begun, query_of(page.url)["connect_code"])).json())
    assert (await app.http.delete(f"accounts/{made[0]['id']}")).status_code == 204
    assert await speaker("status", "github", subject_token=app.session_token) == "connected"


async def test_the_token_of_another_session_knows_nothing(world: World, app: App, opened: Open) -> None:
    await app.connect()
    clock = HandClock()
    speaker = opened(clock=clock)
    assert await speaker("status", "github", subject_token=app.session_token) == "connected"
    other = world.issuer.mint(app.user, azp=SAMPLE_AGENT, scope=ACCOUNT_SCOPES, ttl=60)
    assert await speaker("status", "github", subject_token=other) == "connected"
    assert speaker.wire.looks == [200, 200]
    # A session that has ended sees nothing from memory.
    clock.forward(seconds=61)
    await speaker("status", "github", subject_token=other)
    assert speaker.wire.looks == [200, 200, 200]


async def test_the_users_token_must_be_for_this(world: World, app: App, speaker: Speaker) -> None:
    narrow = world.issuer.mint(app.user, azp=SAMPLE_AGENT, scope="delete:me:connected_accounts")
    with pytest.raises(InsufficientScope, match="scope"):
        await speaker("accounts", subject_token=narrow)
    with pytest.raises(InvalidToken):
        await speaker("accounts", subject_token="no token")


def _account(number: int) -> dict[str, Any]:
    return {
        "id": str(number),
        "connection": "github",
        "access_type": "offline",
        "scopes": [],
        "created_at": "2026-01-01T00:00:00+00:00",
        "status": "connected",
        "account": f"{number}@example.com",
    }


@pytest.mark.parametrize("kind", ["threads", "asyncio"])
async def test_more_than_a_page(opened: Open, kind: Kind) -> None:
    """Nobody connects a hundred accounts in a test: the pages are made up. Of such a list no `ETag` speaks."""
    asked: list[httpx.Request] = []

    def pages(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        skip = int(request.url.params.get("from", "0"))
        body: dict[str, Any] = {"accounts": [_account(number) for number in range(skip, min(skip + 100, 250))]}
        more = {"next": str(skip + 100)} if skip + 100 < 250 else {}
        return httpx.Response(200, json=body | more, headers={"ETag": '"page"'})

    speaker = opened(transport=httpx.MockTransport(pages))
    accounts = await speaker("accounts", subject_token="s")
    assert [each.id for each in accounts] == [str(number) for number in range(250)]
    assert await speaker("status", "slack", subject_token="s") == "not_connected"
    assert [request.url.params.get("from") for request in asked] == [None, "100", "200"] * 2
    assert not [request for request in asked if "if-none-match" in request.headers]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (httpx.Response(200, json={"accounts": [{"id": "1"}]}), UnexpectedAnswer),
        (httpx.Response(200, json={}), UnexpectedAnswer),
        (httpx.Response(304), UnexpectedAnswer),
        (httpx.Response(503, json={"type": "urn:vaultd:error:temporarily_unavailable"}), TemporarilyUnavailable),
    ],
)
async def test_what_is_no_list(opened: Open, answer: httpx.Response, expected: type[Exception]) -> None:
    speaker = opened(transport=httpx.MockTransport(lambda _: again(answer)))
    with pytest.raises(expected):
        await speaker("accounts", subject_token="s")
