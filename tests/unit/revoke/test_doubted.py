"""What was heard before, word for word, ends only what the provider says has ended (C7)."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from sqlalchemy import text

from tests.unit.revoke.conftest import Ends
from vaultd.audit.events import Draft, EventType
from vaultd.connections.kept import open_kept
from vaultd.connections.sealing import data_key_of, open_connection
from vaultd.db import Database
from vaultd.notices import Notice
from vaultd.terms import Secret

HEARD = Notice(accounts=("octocat",), wording="a digest")
NOTICED = Draft(type=EventType.CONNECTION_BROKEN)


async def connected(ends: Ends, subject: str = "alice", provider: str = "github") -> UUID:
    issued = ends.provider.issue(user="alice", client_id="vaultd", scopes=["repo"])
    known = await ends.house.subject(subject)
    brought = replace(ends.house.brought(), access_token=Secret(issued["access_token"]))
    return await ends.house.connect(known, brought, provider)


async def hear(ends: Ends, provider: str = "github") -> None:
    await ends.notice(HEARD, provider=provider, draft=NOTICED)


async def status(ends: Ends, connection_id: UUID) -> str:
    return (await ends.house.row(connection_id)).status


async def test_the_first_time_nobody_is_asked(ends: Ends) -> None:
    connection_id = await connected(ends)
    await hear(ends)
    assert await status(ends, connection_id) == "reconnect_required"
    assert ends.provider.calls["userinfo"] == 0


async def test_every_table_of_the_app_that_is_told_is_meant(ends: Ends) -> None:
    """An app has one address for notices, whatever vaultd calls the app."""
    at_other_tables = await connected(ends, provider="silent"), await connected(ends, provider="gitlab")
    await hear(ends)
    assert [await status(ends, each) for each in at_other_tables] == ["reconnect_required", "connected"]


async def kept(ends: Ends, connection_id: UUID) -> str | None:
    """The access token that an operator could try again with."""
    row = await ends.house.row(connection_id)
    return None if row.kept is None else open_kept(data_key_of(row, ends.house.data_keys), row).access_token.reveal()


async def test_tokens_of_a_grant_that_is_documented_as_ended_are_erased(ends: Ends) -> None:
    connection_id = await connected(ends)
    await hear(ends)
    row = await ends.house.row(connection_id)
    assert (row.status, row.access_token, row.kept) == ("reconnect_required", None, None)


async def test_tokens_that_are_only_of_no_use_for_now_are_kept(ends: Ends) -> None:
    connection_id = await connected(ends)
    token = await opened(ends, connection_id)
    await ends.notice(Notice(accounts=("octocat",), once="1", ended=False), provider="github", draft=NOTICED)
    row = await ends.house.row(connection_id)
    assert (row.status, row.access_token) == ("reconnect_required", None)
    assert row.kept_until == ends.house.clock() + timedelta(days=7)
    assert await kept(ends, connection_id) == token


async def opened(ends: Ends, connection_id: UUID) -> str:
    row = await ends.house.row(connection_id)
    return open_connection(data_key_of(row, ends.house.data_keys), row).access_token.reveal()


async def test_tokens_that_a_recording_may_have_ended_are_kept(ends: Ends) -> None:
    await hear(ends, "silent")
    connection_id = await connected(ends, provider="silent")
    token = await opened(ends, connection_id)
    await hear(ends, "silent")
    assert await status(ends, connection_id) == "reconnect_required"
    assert await kept(ends, connection_id) == token


async def test_of_several_connections_those_end_whose_grant_is_over(ends: Ends) -> None:
    await hear(ends)
    over = await connected(ends, "alice")
    ends.provider.withdraw("alice")
    alive = await connected(ends, "bob")
    await hear(ends)
    assert (await status(ends, over), await status(ends, alive)) == ("reconnect_required", "connected")


async def test_a_token_that_has_ended_by_itself_proves_nothing(ends: Ends) -> None:
    """The next refresh will tell; until then it is not given out."""
    await hear(ends)
    connection_id = await connected(ends)
    ends.provider.withdraw("alice")
    ends.house.clock.forward(hours=2)
    await hear(ends)
    assert await status(ends, connection_id) == "connected"
    assert ends.provider.calls["userinfo"] == 0


async def test_a_provider_that_tells_no_accounts_cannot_be_asked(ends: Ends) -> None:
    await hear(ends, "silent")
    connection_id = await connected(ends, provider="silent")
    await hear(ends, "silent")
    assert await status(ends, connection_id) == "reconnect_required"


async def test_a_year_later_it_is_as_if_it_were_new(ends: Ends, superuser: Database) -> None:
    await hear(ends)
    ends.house.clock.forward(days=366)
    async with superuser.transaction() as connection:
        # Forgotten by the database's own clock, which no test moves: so the row is made older.
        await connection.execute(text("UPDATE replay SET expires_at = expires_at - interval '366 days'"))
    await ends.replay.sweep()
    connection_id = await connected(ends)
    await hear(ends)
    assert await status(ends, connection_id) == "reconnect_required"


async def test_a_consent_that_comes_while_the_provider_is_asked_is_another(ends: Ends) -> None:
    await hear(ends)
    connection_id = await connected(ends)
    ends.provider.faults.userinfo = "hang"
    async with asyncio.TaskGroup() as group:
        group.create_task(hear(ends))
        while ends.provider.calls["userinfo"] == 0:
            await asyncio.sleep(0.01)
        await connected(ends)
    # Nobody answered, and so the notice stood; but it was about the grant before.
    row = await ends.house.row(connection_id)
    assert (row.status, row.generation) == ("connected", 2)
