"""A scoped token that has come, and what stands in the way of its being kept."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from tests.unit.refresh.conftest import MARGIN, Room
from vaultd.connections import lease
from vaultd.connections.table import ConnectionRow
from vaultd.db import Database
from vaultd.errors import TemporarilyUnavailable
from vaultd.providers.oauth import OAuthClient
from vaultd.providers.registry import Providers
from vaultd.refresh import Patience, Scoper
from vaultd.refresh.patience import AT_ONCE
from vaultd.terms import Narrowing, Scopes, Secret

READ = Narrowing("octo-org", (), Scopes({"contents:read"}))


class OneEach:
    """Each answer has the next of these tokens."""

    def __init__(self, *tokens: str) -> None:
        self._left = iter(tokens)

    def __iter__(self) -> Iterator[bytes]:
        return iter([json.dumps({"token": next(self._left), "installation": {"permissions": {}}}).encode()])


def answers_scoped(room: Room, *tokens: str) -> None:
    room.server.answers(b"", content_type="application/json")
    room.server.pieces = OneEach(*tokens)


def scoper_of(room: Room) -> Scoper:
    """One for a GitHub App at the room's provider."""
    table = {
        "client_secret": Secret("made up"),
        "narrowing": "github_scoped",
        "narrowing_endpoint": f"{room.server.url}/scoped",
    }
    config = room.providers.get("github").config.model_copy(update=table)
    process, house = room.first, room.house
    return Scoper(
        database=house.database,
        log=house.log,
        results=process.results_at(Providers(configs={"github": config})),
        claims=process.claims,
        refresher=process.refresher,
        oauth=OAuthClient(outbound=room.outbound, clock=house.clock),
        breaker=process.breaker,
        patience=Patience(clock=house.clock, chance=lambda: 1.0),
        clock=house.clock,
    )


async def scope(room: Room, row: ConnectionRow, scoper: Scoper | None = None) -> Any:
    return await asyncio.wait_for((scoper or scoper_of(room)).scope(row, READ, margin=MARGIN), 30)


async def renewed_meanwhile(room: Room, row: ConnectionRow) -> None:
    house, results = room.house, room.first.results
    stored = results.open(row)
    newer = replace(stored, opened=replace(stored.opened, access_token=Secret("whole")))
    async with house.log.transaction() as transaction:
        connection = transaction.connection
        fence = await lease.take(connection, row, owner=uuid4(), now=house.clock())
        assert fence is not None
        whole: dict[str, Any] = {"scopes": row.granted_scopes, "expires_at": row.expires_at, "again": False}
        assert await results.store(connection, row, fence, newer, [], **whole)


async def test_it_is_kept_when_the_database_is_back(room: Room, superuser: Database) -> None:
    """It is nowhere else: dropped, it would stay alive at the provider."""
    row = await room.connected()
    answers_scoped(room, "scoped")
    async with superuser.transaction() as connection:
        for statement in (
            "CREATE SEQUENCE tries",
            # A sequence counts on when its transaction is undone.
            """CREATE FUNCTION fail_once() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
            BEGIN IF nextval('public.tries') = 1 THEN RAISE 'not now'; END IF; RETURN NEW; END $$""",
            "CREATE TRIGGER fails_once BEFORE INSERT ON narrowed_tokens FOR EACH ROW EXECUTE FUNCTION fail_once()",
        ):
            await connection.execute(text(statement))
    assert await scope(room, row) is None
    kept = await room.kept(row, READ.key)
    assert kept is not None
    assert kept.token == Secret("scoped")
    assert len(room.server.seen) == 1
    assert len(await room.events("token.refreshed")) == 1


async def test_it_is_put_aside_where_the_stored_token_was_renewed_meanwhile(room: Room) -> None:
    """Another is asked for with the new one, so nobody would ever be given the first."""
    row = await room.connected()
    room.server.holds()
    asked = asyncio.create_task(scope(room, row))
    await room.asked()
    await renewed_meanwhile(room, row)
    answers_scoped(room, "first", "second")
    assert await asked is None
    kept = await room.kept(row, READ.key)
    assert kept is not None
    assert kept.token == Secret("second")
    assert await room.to_be_revoked() == [("first", None)]


@pytest.mark.parametrize(
    ("status", "head", "calls", "retry_after"), [(401, {}, AT_ONCE, 1), (403, {"retry_after": "600"}, 1, 600)]
)
async def test_a_refusal_that_is_no_matter_of_permissions_is_not_asked_for_again_and_again(
    room: Room, status: int, head: dict[str, str], calls: int, retry_after: int
) -> None:
    """The app's secret is wrong, or the rate limit is reached."""
    row, scoper = await room.connected(), scoper_of(room)
    room.server.answers_json({"message": "made up"}, status=status, **head)
    for _ in range(calls):
        refusal = await scope(room, row, scoper)
        assert isinstance(refusal, TemporarilyUnavailable)
    for _ in range(3):
        refusal = await scope(room, row, scoper)
        assert (refusal.reason, refusal.retry_after) == ("refused_lately", retry_after)
    assert len(room.server.seen) == calls
    room.house.clock.forward(seconds=retry_after)
    answers_scoped(room, "scoped")
    assert await scope(room, row, scoper) is None
