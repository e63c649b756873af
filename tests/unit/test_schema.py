"""Migrations and roles: the serving role may add to the audit log and read it, nobody may change it."""

from __future__ import annotations

import asyncio
from itertools import product

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from tests.conftest import DatabaseUrls
from vaultd import schema
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
    " (date_trunc('month', now())::date, gen_random_uuid(), 1, '', '', gen_random_uuid(), now(), 't', 'allowed')"
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


async def test_the_serving_role_passes(database: Database) -> None:
    async with database.transaction() as connection:
        await schema.check(connection)
        await schema.check_role(connection)


async def test_the_superuser_may_not_serve(superuser: Database) -> None:
    async with superuser.transaction() as connection:
        with pytest.raises(SchemaError, match="rewrite the audit log"):
            await schema.check_role(connection)


@pytest.mark.parametrize(
    ("group", "complaint"), [("vaultd_owner", "rewrite the audit log"), ("vaultd_auditor", "not in vaultd_app")]
)
async def test_other_roles_may_not_serve(
    postgres: RunningPostgres, database_urls: DatabaseUrls, group: str, complaint: str
) -> None:
    postgres.run(f"CREATE ROLE other_{group} LOGIN IN ROLE {group}")
    other = Database(Secret(database_urls.service.replace("vaultd_service", f"other_{group}")))
    try:
        async with other.transaction() as connection:
            with pytest.raises(SchemaError, match=complaint):
                await schema.check_role(connection)
    finally:
        await other.aclose()
