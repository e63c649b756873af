"""The role that serves can do and become nothing more than serving needs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from itertools import count

import pytest

from tests.conftest import SERVICE, DatabaseUrls
from tests.support.databases import execute
from vaultd.db import Database
from vaultd.errors import SchemaError
from vaultd.sandbox.postgres import RunningPostgres
from vaultd.serving_role import check_role, open_to_everybody
from vaultd.terms import Secret

_numbers = count(1)


@contextmanager
def role(postgres: RunningPostgres, words: str) -> Iterator[str]:
    """A login role of these attributes, gone at the end."""
    name = f"serving_{next(_numbers)}"
    postgres.run(f"CREATE ROLE {name} LOGIN {words}")
    yield name
    postgres.run(f"DROP ROLE {name}")


@asynccontextmanager
async def serving_as(urls: DatabaseUrls, name: str) -> AsyncIterator[Database]:
    database = Database(Secret(urls.service.replace(SERVICE, name)))
    yield database
    await database.aclose()


async def complaint(urls: DatabaseUrls, name: str) -> str:
    async with serving_as(urls, name) as database, database.transaction() as connection:
        with pytest.raises(SchemaError) as caught:
            await check_role(connection)
    return caught.value.description


async def test_the_serving_role_passes(database: Database) -> None:
    async with database.transaction() as connection:
        await check_role(connection)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("SUPERUSER IN ROLE vaultd_app", "is a superuser"),
        ("CREATEROLE IN ROLE vaultd_app", "may create and grant roles"),
        ("REPLICATION IN ROLE vaultd_app", "may copy the whole server"),
        ("BYPASSRLS IN ROLE vaultd_app", "bypasses row level security"),
        ("IN ROLE vaultd_app, vaultd_owner", "vaultd_owner owns the tables"),
        ("NOINHERIT IN ROLE vaultd_app, vaultd_owner", "vaultd_owner owns the tables"),
        ("IN ROLE vaultd_app, pg_write_all_data", "pg_write_all_data has rights beyond"),
        ("IN ROLE vaultd_app, pg_execute_server_program", "pg_execute_server_program has rights beyond"),
        ("IN ROLE vaultd_auditor", "is not in vaultd_app"),
        ("", "is not in vaultd_app"),
    ],
)
async def test_a_role_that_is_more(
    postgres: RunningPostgres, database_urls: DatabaseUrls, words: str, expected: str
) -> None:
    with role(postgres, words) as name:
        assert expected in await complaint(database_urls, name)


@pytest.mark.parametrize("options", ["WITH INHERIT FALSE", "WITH INHERIT FALSE, SET FALSE", "WITH ADMIN OPTION"])
async def test_a_way_to_the_owner_in_two_steps(
    postgres: RunningPostgres, database_urls: DatabaseUrls, options: str
) -> None:
    with role(postgres, "NOINHERIT IN ROLE vaultd_owner") as between, role(postgres, "IN ROLE vaultd_app") as name:
        postgres.run(f"GRANT {between} TO {name} {options}")
        assert "vaultd_owner owns the tables" in await complaint(database_urls, name)


@pytest.mark.parametrize(
    "right",
    [
        "DELETE on events",
        "TRIGGER on events",
        "UPDATE on keyring",
        "DELETE on subjects",
        "UPDATE (wrapped) on keyring",
        "UPDATE (lookup) on subjects",
        "UPDATE (subject_id) on sessions",
        "CREATE on schema public",
    ],
)
async def test_a_right_that_serving_never_needs(
    postgres: RunningPostgres, database_urls: DatabaseUrls, right: str
) -> None:
    with role(postgres, "IN ROLE vaultd_app") as name:
        database = database_urls.owner
        await execute(database, f"GRANT {right} TO {name}")
        privilege, _, place = right.rpartition(" on ")
        told = await complaint(database_urls, name)
        assert f"{privilege.partition(' ')[0]} on {place}" in told
        assert privilege.partition("(")[2] in told
        await execute(database, f"REVOKE {right} FROM {name}")


async def test_who_may_connect(database: Database, superuser: Database, postgres: RunningPostgres) -> None:
    async with database.transaction() as connection:
        assert await open_to_everybody(connection), "a database is, until somebody says otherwise"
        name = (await connection.exec_driver_sql("SELECT current_database()")).scalar_one()
    postgres.run(f"REVOKE CONNECT ON DATABASE {name} FROM PUBLIC")
    async with superuser.transaction() as connection:
        assert not await open_to_everybody(connection)


async def test_migrating_shuts_the_database_to_strangers(postgres: RunningPostgres, template: str) -> None:
    query = f"SELECT has_database_privilege('public', '{template}', 'CONNECT')"
    other = Database(Secret(postgres.url("postgres")))
    async with other.transaction() as connection:
        assert (await connection.exec_driver_sql(query)).scalar_one() is False
        for group in ("vaultd_owner", "vaultd_app", "vaultd_sealer", "vaultd_auditor"):
            granted = query.replace("public", group)
            assert (await connection.exec_driver_sql(granted)).scalar_one() is True
    await other.aclose()


async def test_who_may_make_functions_here_becomes_nobody_by_them(
    postgres: RunningPostgres, database_urls: DatabaseUrls
) -> None:
    """What runs as the owner calls nothing that somebody else could have put in its way."""
    with role(postgres, "IN ROLE vaultd_app") as name:
        await execute(database_urls.owner, f"GRANT CREATE ON SCHEMA public TO {name}")
        async with serving_as(database_urls, name) as database, database.transaction() as connection:
            await connection.exec_driver_sql(
                """CREATE FUNCTION public.to_char(date, text) RETURNS text LANGUAGE plpgsql AS $$
                BEGIN RAISE EXCEPTION 'called as %', current_user; END $$"""
            )
            await connection.exec_driver_sql("SELECT vaultd_ensure_partition((now() + interval '14 months')::date)")
        await execute(database_urls.owner, "DROP FUNCTION public.to_char(date, text)")
        await execute(database_urls.owner, f"REVOKE CREATE ON SCHEMA public FROM {name}")
