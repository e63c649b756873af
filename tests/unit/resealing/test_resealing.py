"""What an older release sealed is read until it is sealed anew, and no longer."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text, update
from sqlalchemy.exc import DBAPIError

from tests.support.aged import age, old_consent, plain
from tests.support.house import House
from vaultd.connections import outbox
from vaultd.connections.sealing import data_key_of, open_connection
from vaultd.connections.table import connections_table, pending_table
from vaultd.db import Database
from vaultd.errors import CannotOpen
from vaultd.resealing import Resealing, connections


def resealing(house: House, superuser: Database) -> Resealing:
    return Resealing(
        database=superuser,
        data_keys=house.data_keys,
        lookups=house.lookups,
        clock=house.clock,
    )


async def reseal(house: House, superuser: Database) -> list[tuple[int, int]]:
    told: list[tuple[int, int]] = []
    await resealing(house, superuser)(lambda done, whole: told.append((done, whole)))
    return told


async def aged(house: House, superuser: Database, names: list[str], **columns: Any) -> list[UUID]:
    ids = []
    for name in names:
        ids.append(await house.connect(await house.subject(name)))
        await age(house, superuser, ids[-1], **columns)
    return ids


async def test_connections_are_read_before_and_behind(house: House, superuser: Database) -> None:
    ids = await aged(house, superuser, ["alice", "bob", "carol"])
    before = [open_connection(data_key_of(row, house.data_keys), row) for row in [await house.row(i) for i in ids]]
    assert await reseal(house, superuser) == [(3, 3)]
    rows = [await house.row(connection_id) for connection_id in ids]
    assert [row.format for row in rows] == [2, 2, 2]
    assert [open_connection(data_key_of(row, house.data_keys), row) for row in rows] == before
    assert await reseal(house, superuser) == [], "run again, it finds nothing to do"
    async with superuser.transaction() as connection:
        assert await connections.finished(connection)


async def test_in_batches_that_can_be_stopped(house: House, superuser: Database) -> None:
    ids = await aged(house, superuser, [f"user {number}" for number in range(5)])
    async with superuser.transaction() as connection:
        count, last = await connections.reseal_some(
            connection, house.data_keys, house.lookups, after=UUID(int=0), limit=2
        )
    assert (count, last) == (2, sorted(ids)[1])
    assert sorted([(await house.row(connection_id)).format for connection_id in ids]) == [1, 1, 1, 2, 2]
    for connection_id in ids:
        row = await house.row(connection_id)
        opened = open_connection(data_key_of(row, house.data_keys), row)
        assert opened.account_id == "octocat", "both formats are read meanwhile"
    assert await reseal(house, superuser) == [(3, 3)]


async def test_behind_it_the_database_takes_no_old_row(house: House, superuser: Database) -> None:
    (connection_id,) = await aged(house, superuser, ["alice"])
    old = await house.row(connection_id)
    await reseal(house, superuser)
    put_back = update(connections_table).values(access_token=old.access_token, format=1)
    async with house.database.engine.begin() as connection:
        with pytest.raises(DBAPIError, match="connections_sealed_anew"):
            async with connection.begin_nested():
                await connection.execute(put_back)
        await connection.execute(update(connections_table).values(access_token=old.access_token))
    row = await house.row(connection_id)
    with pytest.raises(CannotOpen):
        open_connection(data_key_of(row, house.data_keys), row)


async def test_names_that_older_rows_lack_are_added(house: House, superuser: Database) -> None:
    (connection_id,) = await aged(house, superuser, ["alice"], account_lookup=None)
    await reseal(house, superuser)
    assert (await house.row(connection_id)).account_lookup == house.lookups.account("github", "octocat")


async def test_one_that_does_not_open_stays_closed_and_stops_nothing(house: House, superuser: Database) -> None:
    altered, whole = await aged(house, superuser, ["alice", "bob"])
    await age_apart(superuser, altered)
    assert await reseal(house, superuser) == [(2, 2)]
    row = await house.row(altered)
    with pytest.raises(CannotOpen):
        open_connection(data_key_of(row, house.data_keys), row)
    row = await house.row(whole)
    assert open_connection(data_key_of(row, house.data_keys), row).account_id == "octocat"


async def age_apart(superuser: Database, connection_id: UUID) -> None:
    async with superuser.transaction() as connection:
        statement = update(connections_table).where(connections_table.c.id == connection_id)
        await connection.execute(statement.values(granted_scopes="everything"))


async def test_ended_ones_need_no_token(house: House, superuser: Database) -> None:
    await aged(house, superuser, ["alice"], status="revoked", access_token=None, refresh_token=None, data_key_id=None)
    assert await reseal(house, superuser) == [(1, 1)]


async def test_a_consent_under_way_ends_and_what_was_granted_is_given_back(house: House, superuser: Database) -> None:
    """Nothing in it says whose it really is."""
    known, now = await house.subject(), house.clock()
    brought = house.brought()
    common = {
        "kind": "api",
        "subject_id": known.id,
        "client_id": "agent",
        "provider": "github",
        "redirect_uri": "https://app.example.com/connected",
        "created_at": now,
        "expires_at": now + timedelta(days=365),
    }
    await age_nothing(superuser)
    for columns in (
        {"id": uuid4(), "stage": "returned", "connect_code_hash": plain("code"), "granted": brought.to_json()},
        {"id": uuid4(), "stage": "sent", "state_hash": plain("state")},
    ):
        await old_consent(house, superuser, columns=common | columns, private={"state": "app state"})
    altered = {"id": uuid4(), "stage": "returned", "state_hash": plain("other"), "granted": brought.to_json()}
    await old_consent(house, superuser, columns=common | altered, private={"state": "app state"})
    async with superuser.transaction() as connection:
        this = pending_table.c.id == altered["id"]
        await connection.execute(update(pending_table).where(this).values(granted=b"altered"))
    await reseal(house, superuser)
    async with house.database.transaction() as connection:
        assert list(await connection.execute(pending_table.select())) == []
        due = await outbox.claim(connection, house.data_keys, now=now, busy_for=timedelta(minutes=1))
    assert [(one.provider, one.subject_id, one.access_token) for one in due] == [
        ("github", known.id, brought.access_token)
    ]


async def age_nothing(superuser: Database) -> None:
    async with superuser.transaction() as connection:
        await connection.execute(text("ALTER TABLE connections DROP CONSTRAINT connections_sealed_anew"))


async def test_what_stands_in_the_new_format_is_left_as_it_is(house: House, superuser: Database) -> None:
    known, now = await house.subject(), house.clock()
    columns = {
        "kind": "door",
        "stage": "sent",
        "subject_id": known.id,
        "client_id": "agent",
        "provider": "github",
        "redirect_uri": "https://vault.example.com/connections",
        **house.pending.hashed(state="state", browser="browser"),
    }
    async with house.database.transaction() as connection:
        await house.pending.begin(
            connection, columns=columns, private={"state": None}, now=now, expires_at=now + timedelta(minutes=10)
        )
        before = (await connection.execute(pending_table.select())).mappings().one()
    await age_nothing(superuser)
    await reseal(house, superuser)
    async with house.database.transaction() as connection:
        assert (await connection.execute(pending_table.select())).mappings().one() == before
