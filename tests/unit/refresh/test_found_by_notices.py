"""A refresh writes by what a provider's notice finds the connection (issue 5, item 6)."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

import pytest

from tests.support.aged import age
from tests.unit.refresh.conftest import USER, Room
from vaultd.connections import store
from vaultd.connections.table import ConnectionRow
from vaultd.db import Database
from vaultd.notices import token_names


async def connected(room: Room) -> ConnectionRow:
    known = await room.house.subject()
    return await room.house.row(await room.house.connect(known, provider="google"))


async def found(room: Room, *, accounts: Iterable[str] = (), tokens: Iterable[str] = ()) -> list[UUID]:
    lookups = room.house.lookups
    async with room.house.database.transaction() as connection:
        rows = await store.named(
            connection,
            ["google"],
            accounts=[lookups.account("google", account) for account in accounts],
            tokens=[lookups.token("google", name) for name in tokens],
            connected_before=None,
        )
    return [connection_id for connection_id, _ in rows]


@pytest.mark.parametrize("narrowed", [False, True])
async def test_of_a_row_from_before_there_were_notices(
    room: Room,
    superuser: Database,
    narrowed: bool,  # noqa: FBT001 - a column of the table
) -> None:
    row = await connected(room)
    await age(room.house, superuser, row.id, account_lookup=None, token_lookups=None)
    row = await room.house.row(row.id)
    assert await found(room, accounts=["octocat"], tokens=token_names("refresh token of octocat")) == []
    room.answers(refresh_token=None, scope="user")
    await (room.narrow(row, USER) if narrowed else room.first.refresher.refresh(row))
    assert await found(room, accounts=["octocat"]) == [row.id]
    assert await found(room, tokens=token_names("refresh token of octocat")) == [row.id]


async def test_by_the_newest_refresh_token(room: Room) -> None:
    row = await connected(room)
    assert await found(room, tokens=token_names("refresh token of octocat")) == [row.id]
    room.answers(refresh_token="rotated refresh token")
    await room.first.refresher.refresh(row)
    assert await found(room, tokens=token_names("refresh token of octocat")) == []
    assert await found(room, tokens=token_names("rotated refresh token")) == [row.id]
