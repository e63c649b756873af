"""For each test a migrated database with nothing in it: one that another test has left, emptied, or a new one.

A copy of the template writes ten megabytes, and to truncate tables makes a hundred files anew; to delete a few rows
costs a twentieth of that. So a database is used again, if nothing was done to it but that rows came and went.
"""

# ruff: noqa: S608 - the names in the SQL are those below

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from vaultd.db import Database
from vaultd.sandbox.postgres import RunningPostgres
from vaultd.terms import Secret

SERVICE = "vaultd_service"
_numbers = count(1)

# Whatever changes tables, functions, rights or what the migrations have written leaves rows of these that are newer, or
# fewer. Rights on the database itself and its settings stand where all databases have theirs.
_WRITTEN_BY_MIGRATIONS = ("alembic_version", "locks")
_CATALOGUES = (
    *("pg_class", "pg_attribute", "pg_attrdef", "pg_constraint", "pg_index", "pg_trigger", "pg_proc", "pg_type"),
    *("pg_namespace", "pg_rewrite", "pg_policy", "pg_default_acl", "pg_event_trigger", "pg_extension"),
)
_SHAPE = f"""
SELECT string_agg(of_one, ' ') FROM (
    {
    " UNION ALL ".join(
        f"SELECT '{name}:' || count(*) || ':' || coalesce(max(xmin::text::bigint), 0) AS of_one FROM {name}"
        for name in (*_CATALOGUES, *_WRITTEN_BY_MIGRATIONS)
    )
}
    UNION ALL SELECT xmin::text FROM pg_database WHERE datname = current_database()
    UNION ALL SELECT 'settings' FROM pg_db_role_setting, pg_database d
        WHERE setdatabase = d.oid AND datname = current_database()
);
"""
# No foreign key is looked after, and the log gives up its events only without its own trigger.
_EMPTY = f"""
SET session_replication_role = replica;
DO $$
DECLARE
    filled regclass[];
    logs regclass[];
    one regclass;
BEGIN
    PERFORM pg_terminate_backend(pid, 10000) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid();
    filled := ARRAY(
        SELECT oid::regclass FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND pg_relation_size(oid) > 0
        AND relname NOT IN {_WRITTEN_BY_MIGRATIONS});
    logs := ARRAY(SELECT tgrelid FROM pg_trigger WHERE tgname = 'append_only' AND tgrelid = ANY(filled));
    FOREACH one IN ARRAY logs LOOP
        EXECUTE format('ALTER TABLE ONLY %s DISABLE TRIGGER append_only', one);
    END LOOP;
    FOREACH one IN ARRAY filled LOOP
        EXECUTE format('DELETE FROM ONLY %s', one);
    END LOOP;
    FOREACH one IN ARRAY logs LOOP
        EXECUTE format('ALTER TABLE ONLY %s ENABLE ALWAYS TRIGGER append_only', one);
    END LOOP;
END $$;
"""


@dataclass(frozen=True, slots=True)
class DatabaseUrls:
    """One database: `owner` is the superuser's way in, `service` is the serving role's."""

    owner: str
    service: str


@dataclass(frozen=True, slots=True)
class _Copy:
    name: str
    shape: str


_left: dict[Path, list[_Copy]] = {}


@contextmanager
def own_database(postgres: RunningPostgres, template: str) -> Iterator[DatabaseUrls]:
    """A migrated database that nobody else uses."""
    left = _left.setdefault(postgres.socket_folder, [])
    copy = left.pop() if left else _new(postgres, template)
    yield DatabaseUrls(postgres.url(copy.name), postgres.url(copy.name, SERVICE))
    if postgres.run(_SHAPE, database=copy.name) == copy.shape:
        left.append(_Copy(copy.name, postgres.run(_EMPTY + _SHAPE, database=copy.name)))
    else:
        postgres.run(f"DROP DATABASE {copy.name} WITH (FORCE)")


def _new(postgres: RunningPostgres, template: str) -> _Copy:
    name = f"vaultd_test_{next(_numbers)}"
    postgres.run(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY wal_log")
    return _Copy(name, postgres.run(_SHAPE, database=name))


async def execute(url: str, statement: str) -> None:
    """One statement, in a transaction of its own."""
    database = Database(Secret(url))
    async with database.transaction() as connection:
        await connection.exec_driver_sql(statement)
    await database.aclose()
