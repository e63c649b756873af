"""Keys are out of the serving role's reach, and who may only connect holds nobody up."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from tests.support.processes import install, serving
from tests.wire.beside import Log
from tests.wire.importing import issued, line, run_import, write_lines
from tests.wire.inside.within import Inside
from tests.wire.vault import App
from vaultd import schema
from vaultd.db import Database
from vaultd.sandbox.postgres import RunningPostgres
from vaultd.terms import Secret

SOURCES = Path(__file__).parents[3] / "src/vaultd", Path(__file__).parents[3] / "migrations"
NAMED = re.compile(r"hashtext\('([^']+)'\)")
KEYRING = [
    "UPDATE keyring SET wrapped = sha256(wrapped)",
    "UPDATE keyring SET state = 'retired'",
    "UPDATE keyring SET root = 'local:x'",
    "UPDATE keyring SET purpose = 'chain'",
    'UPDATE keyring SET "check" = sha256("check")',
    "DELETE FROM keyring",
    "TRUNCATE keyring",
    "INSERT INTO keyring SELECT gen_random_uuid(), purpose, 'retired', root, wrapped, \"check\", now() FROM keyring",
    "DELETE FROM data_keys",
    "UPDATE data_keys SET wrapped = sha256(wrapped)",
    "UPDATE data_keys SET kek_id = (SELECT id FROM keyring LIMIT 1)",
    "DELETE FROM subjects",
    "ALTER TABLE keyring DISABLE TRIGGER ALL",
    "DROP TABLE keyring",
    "CREATE OR REPLACE FUNCTION vaultd_erase_data_keys(erased uuid[]) RETURNS void LANGUAGE sql AS ''",
]


@pytest.mark.parametrize("statement", KEYRING)
async def test_no_key_is_changed_by_the_serving_role(inside: Inside, victim: App, statement: str) -> None:
    await victim.connect()
    said = await inside.refused(statement)
    assert "permission denied" in said or "must be owner" in said, said


async def test_no_key_is_added_beside_others(inside: Inside) -> None:
    """By the function that makes the first ones: it makes no others."""
    made = "SELECT vaultd_make_first_keys(ARRAY[gen_random_uuid()], '{kek}', 'local:x', '{x}', '{x}', now())"
    keys = await inside.rows("SELECT * FROM keyring ORDER BY id")
    await inside.serving(made)
    assert await inside.rows("SELECT * FROM keyring ORDER BY id") == keys


async def test_no_key_that_something_hangs_on_is_erased(inside: Inside, log: Log, victim: App) -> None:
    """By the function that erases those that are not used any more."""
    await victim.connect()
    await inside.serving("SELECT vaultd_erase_data_keys(array_agg(id)) FROM data_keys")
    inside.forget()
    assert (await log.exchange(inside.token(victim))).status_code == 200


async def test_after_all_that_another_process_starts(inside: Inside) -> None:
    with serving(install(inside.world, "starts")):
        code, said = await inside.command("keys", "status")
    assert (code, said.count("active")) == (0, 4)


@pytest.fixture(scope="module")
def stranger(postgres: RunningPostgres) -> Iterator[str]:
    """A login of the server that is in no group, and may connect because nobody has forbidden it."""
    postgres.run("CREATE ROLE a_stranger LOGIN")
    yield "a_stranger"
    postgres.run("DROP ROLE a_stranger")


def named_locks() -> list[str]:
    """Every name that the program or a migration takes a lock by, or did once."""
    texts = [
        path.read_text(encoding="utf-8") for root in SOURCES for path in root.rglob("*.*") if path.suffix != ".pyc"
    ]
    found = {name for text in texts if "hashtext" in text for name in NAMED.findall(text)}
    return sorted(found | {"vaultd.keyring", "vaultd.partitions", "vaultd.import", "vaultd.migrate"})


@pytest_asyncio.fixture
async def held(postgres: RunningPostgres, inside: Inside, stranger: str) -> AsyncIterator[asyncpg.Connection]:
    """The stranger holds every lock that has a name, and hears whatever is told."""
    connection = await asyncpg.connect(re.sub(r"//\w+@", f"//{stranger}@", inside.urls.owner))
    try:
        for name in named_locks():
            await connection.execute("SELECT pg_advisory_lock(hashtext($1))", name)
            await connection.execute("SELECT pg_advisory_lock(hashtext($1), 0)", name)
        await connection.execute("LISTEN vaultd_connections")
        yield connection
    finally:
        await connection.close()


async def test_a_stranger_holds_up_neither_start_nor_work(
    inside: Inside, log: Log, victim: App, held: asyncpg.Connection, tmp_path: Path
) -> None:
    assert await held.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted") >= 8
    with serving(install(inside.world, "held")):
        await victim.connect()
        assert (await log.exchange(inside.token(victim))).status_code == 200
    owner = install(inside.world, "migrating", {inside.urls.service: inside.urls.owner})
    code, said = await Inside(inside.world, inside.urls, inside.clock, owner).command("migrate")
    assert (code, "already" in said) == (0, True)
    month = await inside.one("SELECT (date_trunc('month', now()) + interval '14 months')::date")
    await inside.serving("SELECT vaultd_ensure_partition($1)", month)
    file = write_lines(
        tmp_path / "tokens.ndjson", line(inside.world, "imported", issued(inside.world, "github"), "github")
    )
    done = run_import(inside.installed, str(file))
    assert (done.code, done.err) == (0, done.err), done


async def test_nor_the_first_migration_of_an_empty_database(postgres: RunningPostgres, stranger: str) -> None:
    url = postgres.create_database("still_empty")
    waiting = await asyncpg.connect(postgres.url("still_empty", stranger))
    owner = Database(Secret(url))
    try:
        # The first migration's own function takes the partitions' lock, which a later one has replaced.
        for name in set(named_locks()) - {"vaultd.partitions"}:
            await waiting.execute("SELECT pg_advisory_lock(hashtext($1))", name)
        async with asyncio.timeout(20), owner.transaction() as connection:
            assert await schema.upgrade(connection) == "none"
        async with owner.transaction() as connection:
            await schema.check(connection)
    finally:
        await waiting.close()
        await owner.aclose()
        postgres.run("DROP DATABASE still_empty WITH (FORCE)")
