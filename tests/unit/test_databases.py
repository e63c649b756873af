"""What the tests themselves stand on: that a database which is used again is as one that nobody has used."""

from __future__ import annotations

from tests.support.databases import DatabaseUrls, execute, own_database
from tests.support.house import House
from vaultd.db import Database
from vaultd.keys.keyring import make_keys_once, open_keyring
from vaultd.keys.local import LocalBackend
from vaultd.sandbox.postgres import RunningPostgres
from vaultd.terms import Secret, system_clock

ROWS = """SELECT count(*) FROM (
    SELECT FROM keyring UNION ALL SELECT FROM data_keys UNION ALL SELECT FROM subjects UNION ALL SELECT FROM connections
    UNION ALL SELECT FROM events UNION ALL SELECT FROM lanes)"""


async def lived_in(urls: DatabaseUrls, backend: LocalBackend) -> None:
    """Keys, a subject, a connection and the events that tell of them."""
    database = Database(Secret(urls.service))
    async with database.transaction() as connection:
        await make_keys_once(connection, backend, now=system_clock())
        house = House(database, await open_keyring(connection, backend))
    await house.connect(await house.subject())
    await house.log.close()
    await database.aclose()


async def test_it_is_empty_and_guarded_when_it_is_used_again(
    postgres: RunningPostgres, template: str, backend: LocalBackend
) -> None:
    with own_database(postgres, template) as first:
        await lived_in(first, backend)
        name = first.owner.rpartition("/")[2].partition("?")[0]
        assert int(postgres.run(ROWS, database=name)) > 5
    with own_database(postgres, template) as second:
        assert second == first
        assert postgres.run(ROWS, database=name).strip() == "0"
        assert postgres.run("SELECT count(*) FROM locks", database=name).strip() == "2"
        unguarded = "SELECT count(*) FROM pg_trigger WHERE tgname = 'append_only' AND tgenabled <> 'A'"
        assert postgres.run(unguarded, database=name).strip() == "0"
        await lived_in(second, backend)


async def test_it_is_not_used_again_when_more_than_rows_came_and_went(postgres: RunningPostgres, template: str) -> None:
    for statement in (
        "ALTER TABLE events DISABLE TRIGGER append_only",
        "ALTER TABLE connections DROP CONSTRAINT connections_sealed_anew",
        "GRANT DELETE ON subjects TO vaultd_app",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "UPDATE alembic_version SET version_num = '0001'",
        "REVOKE CONNECT ON DATABASE {name} FROM vaultd_auditor",
        "ALTER DATABASE {name} SET statement_timeout = 1000",
    ):
        with own_database(postgres, template) as changed:
            name = changed.owner.rpartition("/")[2].partition("?")[0]
            await execute(changed.owner, statement.format(name=name))
        with own_database(postgres, template) as next_one:
            assert next_one != changed, statement


def test_no_test_waits_for_the_disk(postgres: RunningPostgres) -> None:
    assert postgres.run("SHOW fsync").strip() == "off"
