"""Migrations and roles: the serving role may add to the audit log and read it, nobody may change it."""

from __future__ import annotations

import asyncio
from itertools import product

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from tests.support.house import House
from vaultd import schema
from vaultd.audit.events import Draft, EventType
from vaultd.db import Database
from vaultd.errors import SchemaError
from vaultd.sandbox.postgres import RunningPostgres
from vaultd.terms import Secret

REFUSED = {
    "update": "UPDATE {table} SET type = 'token.refused'",
    "delete": "DELETE FROM {table}",
    "truncate": "TRUNCATE {table}",
}
PARTITIONS = (
    "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
    " WHERE i.inhparent = 'events'::regclass ORDER BY c.relname"
)
INSERT = text(
    "INSERT INTO events (period, writer, seq, mac, bytes, id, at, type, decision) VALUES"
    " (date_trunc('month', now())::date, gen_random_uuid(), 1, sha256(''), '{}', gen_random_uuid(), now(), 't',"
    " 'allowed')"
)


async def tables_of(connection: AsyncConnection) -> list[str]:
    partitions = list((await connection.execute(text(PARTITIONS))).scalars())
    assert len(partitions) == 13, "this month and a year ahead"
    return ["events", *partitions]


async def refused(connection: AsyncConnection, statement: str) -> str:
    """The message with which PostgreSQL refuses a statement."""
    with pytest.raises(DBAPIError) as caught:
        async with connection.begin_nested():
            await connection.execute(text(statement))
    return str(caught.value.orig)


async def test_the_serving_role_adds_and_reads(database: Database) -> None:
    async with database.transaction() as connection:
        await connection.execute(INSERT)
    async with database.transaction() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM events"))).scalar_one() == 1


async def test_the_serving_role_changes_nothing_in_the_log(database: Database) -> None:
    async with database.transaction() as connection:
        await connection.execute(INSERT)
        for table, (_, statement) in product(await tables_of(connection), REFUSED.items()):
            assert "permission denied" in await refused(connection, statement.format(table=table))
        for statement in (
            "ALTER TABLE events DISABLE TRIGGER append_only",
            "DROP TABLE events",
            "CREATE TABLE mine (n int)",
            "SET session_replication_role = replica",
            "SET ROLE vaultd_owner",
        ):
            message = await refused(connection, statement)
            assert "permission denied" in message or "must be owner" in message, statement


@pytest.mark.parametrize("replication_role", ["origin", "replica"])
async def test_not_even_the_owner_changes_the_log(superuser: Database, replication_role: str) -> None:
    async with superuser.transaction() as connection:
        await connection.execute(INSERT)
        await connection.execute(text(f"SET LOCAL session_replication_role = {replication_role}"))
        for table, (_, statement) in product(await tables_of(connection), REFUSED.items()):
            assert "append-only" in await refused(connection, statement.format(table=table)), (table, statement)


async def test_the_tables_owner_is_refused_by_the_trigger(superuser: Database) -> None:
    async with superuser.transaction() as connection:
        tables = await tables_of(connection)
        await connection.execute(text("SET LOCAL ROLE vaultd_owner"))
        for table, (_, statement) in product(tables, REFUSED.items()):
            assert "append-only" in await refused(connection, statement.format(table=table))


async def test_a_partition_made_later_is_guarded_as_well(database: Database, superuser: Database) -> None:
    async with database.transaction() as connection:
        await connection.execute(
            text("SELECT vaultd_ensure_partition((date_trunc('month', now()) + interval '14 months')::date)")
        )
    async with superuser.transaction() as connection:
        newest = list((await connection.execute(text(PARTITIONS))).scalars())[-1]
        assert "append-only" in await refused(connection, REFUSED["truncate"].format(table=newest))
    async with database.transaction() as connection:
        assert "permission denied" in await refused(connection, REFUSED["delete"].format(table=newest))
        assert "too far" in await refused(connection, "SELECT vaultd_ensure_partition('1999-01-01')")


async def test_migrating_again_changes_nothing(superuser: Database) -> None:
    async with superuser.transaction() as connection:
        assert await schema.upgrade(connection) == schema.head()
        await schema.check(connection)


async def test_two_migrations_at_once(postgres: RunningPostgres) -> None:
    url = Secret(postgres.create_database("migrated_twice"))
    owners = [Database(url), Database(url)]

    async def migrate(owner: Database) -> str:
        async with owner.transaction() as connection:
            return await schema.upgrade(connection)

    try:
        async with owners[0].transaction() as connection:
            with pytest.raises(SchemaError, match="revision none"):
                await schema.check(connection)
        before = await asyncio.gather(*(migrate(owner) for owner in owners))
        assert sorted(before) == sorted(["none", schema.head()])
        async with owners[0].transaction() as connection:
            await schema.check(connection)
    finally:
        for owner in owners:
            await owner.aclose()


async def test_a_closed_lane_is_not_changed(house: House, superuser: Database) -> None:
    await house.log.record(Draft(type=EventType.OPERATOR_READ))
    await house.log.close()
    for statement in (
        "UPDATE lanes SET last_seq = 0",
        "UPDATE lanes SET closed_at = NULL",
        "UPDATE lanes SET closed_at = now()",
        "UPDATE lanes SET opened_at = now()",
    ):
        for role in (house.database, superuser):
            async with role.transaction() as connection:
                message = await refused(connection, statement)
                assert "closed lane" in message or "permission denied" in message


async def test_no_subject_vanishes_without_an_event(house: House) -> None:
    alice, bob = await house.subject("alice"), await house.subject("bob")
    async with house.database.transaction() as connection:
        assert "permission denied" in await refused(connection, "DELETE FROM subjects")
        assert "permission denied" in await refused(connection, "DELETE FROM data_keys")
        assert "without an event" in await refused(connection, f"SELECT vaultd_erase_subject('{alice.id}')")
        await connection.execute(text(f"SELECT vaultd_erase_data_keys(ARRAY['{alice.key.data_key_id}'::uuid])"))
    assert await house.subjects.find(alice.key.subject) is not None, "a key that is in use stays"
    await house.erase(alice)
    assert await house.subjects.find(alice.key.subject) is None
    assert await house.subjects.find(bob.key.subject) is not None
    async with house.database.transaction() as connection:
        # What the event of one says is not said of another.
        assert "without an event" in await refused(connection, f"SELECT vaultd_erase_subject('{bob.id}')")


async def test_what_was_used_once_is_forgotten_when_it_has_ended_and_not_before(database: Database) -> None:
    async with database.transaction() as connection:
        await connection.execute(text("INSERT INTO replay VALUES ('over', now() - interval '1 s')"))
        await connection.execute(text("INSERT INTO replay VALUES ('good', now() + interval '1 h')"))
        for statement in ("DELETE FROM replay", "UPDATE replay SET expires_at = now() - interval '1 h'"):
            assert "permission denied" in await refused(connection, statement)
        await connection.execute(text("SELECT vaultd_forget_replayed('infinity')"))
        assert list((await connection.execute(text("SELECT jti_hash FROM replay"))).scalars()) == [b"good"]


def test_the_head_is_the_one_that_alembic_finds() -> None:
    config = Config()
    config.set_main_option("script_location", str(schema.location()))
    assert ScriptDirectory.from_config(config).get_heads() == [schema.head()]
