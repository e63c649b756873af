"""Nothing clear decides whose, where or until when.

Every column of every table, as the database's own catalogue names them, is changed by the serving role in a vault that
two people have used. Each change is refused by the database, makes what depends on it refused, has no effect, or is
named by `vaultd audit verify`; never is anything given to somebody else. `docs/decisions/0009-clear-columns.md` says
which it is for each column, and a column that it does not know fails here.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import combinations, product
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from tests.conftest import DatabaseUrls
from tests.support.house import House
from tests.support.lived_in import KEPT, PEOPLE, REFUSED, LivedIn, live_in
from vaultd.app.verifying import verification_of
from vaultd.db import Database
from vaultd.keys.keyring import make_keys_once, open_keyring
from vaultd.keys.local import LocalBackend
from vaultd.terms import Secret, system_clock

DOCUMENT = Path(__file__).parents[3] / "docs/decisions/0009-clear-columns.md"
CATALOGUE = text(
    """SELECT c.relname AS "table", a.attname AS "column", format_type(a.atttypid, a.atttypmod) AS type
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
        AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY c.relname, a.attnum"""
)
VICTIMS = 3
BOUND = {"subjects": {"lookup", "audit_ref"}, "data_keys": {"wrapped"}, "sessions": {"subject_id"}}
"""Columns that mean something to somebody who may write everything; others' words may be refused by a constraint."""
HARMLESS = {"subjects": {"created_at", "held"}, "data_keys": set[str](), "sessions": set[str]()}
OVER = ("idle session", "old session", "old consent", "old sign-in", "away")
ALIVE = ("exchange", "narrowed", "lease", "notice", "accounts", "session", "consent", "callback", "sign-in")
OTHERS: dict[str, tuple[str, ...]] = {
    "bytea": ("sha256('other')", "''", "NULL"),
    "bytea[]": ("ARRAY[sha256('other')]", "NULL"),
    "uuid": ("gen_random_uuid()", "NULL"),
    "timestamp with time zone": (
        "{column} + interval '10 years'",
        "{column} - interval '10 years'",
        "now() + interval '10 years'",
        "now() - interval '10 years'",
        "'infinity'",
        "'-infinity'",
        "NULL",
    ),
    "date": ("current_date + 1000", "date '4000-01-01 BC'", "date 'infinity'", "NULL"),
    "bigint": ("{column} + 1", "1", "9223372036854775807", "NULL"),
    "integer": ("{column} + 1", "2147483647", "-2147483648"),
    "smallint": ("1", "{column} + 1"),
    "text": ("'evil'", "NULL"),
    "character varying(32)": ("'0001'",),
}
WORDS = {
    "provider": ("'slack'",),
    "status": ("'connected'", "'reconnect_required'", "'revoked'"),
    "stage": ("'begun'", "'sent'", "'returned'"),
    "kind": ("'api'", "'door'"),
    "purpose": ("'subject'", "'connection'", "'pending'", "'kek'", "'chain'"),
    "state": ("'active'", "'retired'"),
    "client_id": ("'other-agent'",),
    "redirect_uri": ("'https://evil.example/steal'",),
    "granted_scopes": ("''", "'repo user admin'"),
}


def documented() -> dict[str, set[str]]:
    """What the document says of each column."""
    found = {}
    for line in DOCUMENT.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("| ").split("|")]
        if len(cells) == 4 and re.fullmatch(r"`\w+\.\w+`", cells[0]):
            found[cells[0].strip("`")] = {word.strip() for word in cells[2].split(",")}
    return found


def table_of(place: str) -> str:
    return place.partition(".")[0]


TABLES = sorted({table_of(place) for place in documented()})


class Tamperer:
    """Whoever has the serving role's password and no key."""

    def __init__(self, vault: LivedIn, database: Database) -> None:
        self.vault = vault
        self.database = database
        self.verify = verification_of(vault.house.database, vault.house.keyring)

    async def rows(self, table: str) -> list[str]:
        """Always those three, whatever was put back meanwhile: what somebody can get something by, then the oldest."""
        order = "to_jsonb(t) ->> 'status' = 'connected' DESC NULLS LAST"
        source = f"public.{table} t"
        if table in KEPT:
            source += f" JOIN saved.{table} s ON t::text = s::text"
            order += ", s.ctid"
        async with self.vault.superuser.transaction() as connection:
            query = text(f"SELECT t.ctid::text FROM {source} ORDER BY {order} LIMIT {VICTIMS}")  # noqa: S608
            return list((await connection.execute(query)).scalars())

    async def attempts(self, table: str, column: str, kind: str, before: dict[str, object]) -> AsyncIterator[str]:
        """What came of each change that the database took. Each is undone."""
        values = [value.format(column=column) for value in (*OTHERS[kind], *WORDS.get(column, ()))]
        count = len(await self.rows(table))
        for number, value in product(range(count), values):
            if await self.change(table, column, (await self.rows(table))[number], value):
                yield await self.outcome(before)
                await self.vault.restore()
        # Two of three may hold one value.
        for one, two in combinations(range(count), 2):
            rows = await self.rows(table)
            if await self.swap(table, column, rows[one], rows[two]):
                yield await self.outcome(before)
                await self.vault.restore()
                break

    async def change(self, table: str, column: str, row: str, value: str) -> bool:
        """Whether the database took it, and anything is different now."""
        changed = f"UPDATE {table} SET {column} = {value} WHERE ctid = '{row}'::tid"  # noqa: S608
        different = f"{changed} AND {column} IS DISTINCT FROM {value}"
        try:
            async with self.database.engine.begin() as connection:
                return (await connection.execute(text(different))).rowcount > 0
        except DBAPIError:
            return False

    async def swap(self, table: str, column: str, one: str, two: str) -> bool:
        """Exchange two rows' values, also where they must be unique."""
        read = text(f"SELECT {column} FROM {table} WHERE ctid = cast(cast(:row AS text) AS tid)")  # noqa: S608
        try:
            async with self.database.engine.begin() as connection:
                values = [(await connection.execute(read, {"row": row})).scalar_one() for row in (one, two)]
                if values[0] == values[1]:
                    return False
                # By `CASE` in one statement each would meet the other; a row version gets a new ctid with each change.
                await connection.execute(text("SET CONSTRAINTS ALL DEFERRED"))
                await self._exchange(connection, table, column, (one, two), values)
        except DBAPIError:
            return False
        return True

    @staticmethod
    async def _exchange(connection: Any, table: str, column: str, rows: tuple[str, str], values: list[Any]) -> None:
        place = "ctid = cast(cast(:row AS text) AS tid)"
        junk = b"junk" if isinstance(values[1], bytes) else "junk" if isinstance(values[1], str) else None
        moved = rows[1]
        if junk is not None:
            first = f"UPDATE {table} SET {column} = :value WHERE {place} RETURNING ctid::text"  # noqa: S608
            moved = (await connection.execute(text(first), {"value": junk, "row": rows[1]})).scalar_one()
        statement = text(f"UPDATE {table} SET {column} = :value WHERE {place}")  # noqa: S608
        await connection.execute(statement, {"value": values[1], "row": rows[0]})
        await connection.execute(statement, {"value": values[0], "row": moved})

    async def outcome(self, before: dict[str, object]) -> str:
        """What came of a change, and that nobody got what is not theirs."""
        after = await self.vault.observe()
        changed = {name: (before[name], after[name]) for name in before if after[name] != before[name]}
        for name, (was, now) in changed.items():
            assert is_refusal(was, now), f"{name}: {was} became {now}"
        if changed:
            return "refused"
        return "named" if (await self.verify()).findings else "no effect"


def is_refusal(was: object, now: object) -> bool:
    """Whether what is seen now is what was seen, or a part of it, and the rest refused."""
    if now == REFUSED:
        return True
    if isinstance(was, list) and isinstance(now, list):
        return all(one in was or one == REFUSED for one in now)
    return False


@dataclass(frozen=True, slots=True)
class Seen:
    """A lived-in vault, and all that could be seen of it before anybody changed anything."""

    vault: LivedIn
    before: dict[str, object]


@pytest_asyncio.fixture(scope="module")
async def lived_in(module_database: DatabaseUrls, backend: LocalBackend) -> AsyncIterator[Seen]:
    serving, superuser = Database(Secret(module_database.service)), Database(Secret(module_database.owner))
    async with serving.transaction() as connection:
        await make_keys_once(connection, backend, now=system_clock())
        keyring = await open_keyring(connection, backend)
    vault = await live_in(House(serving, keyring), superuser, backend)
    yield Seen(vault, await vault.observe())
    await serving.aclose()
    await superuser.aclose()


@pytest_asyncio.fixture
async def seen(lived_in: Seen) -> Seen:
    """As nobody has changed it yet."""
    await lived_in.vault.restore()
    return lived_in


async def columns_of(vault: LivedIn) -> list[tuple[str, str, str]]:
    """Table, name and type of each."""
    async with vault.superuser.transaction() as connection:
        return [(row.table, row.column, row.type) for row in await connection.execute(CATALOGUE)]


async def test_what_is_due_to_them_is_seen_and_what_is_over_is_refused(seen: Seen) -> None:
    house = seen.vault.house
    assert (await verification_of(house.database, house.keyring)()).findings == []
    assert all(seen.before[f"{name}: {look}"] == REFUSED for name in PEOPLE for look in OVER)
    assert all(REFUSED not in str(seen.before[f"{name}: {look}"]) for name in PEOPLE for look in ALIVE)


async def test_every_column_is_in_the_document(seen: Seen) -> None:
    assert {f"{table}.{column}" for table, column, _ in await columns_of(seen.vault)} == documented().keys()


@pytest.mark.parametrize("table", TABLES)
async def test_each_column_comes_to_what_the_document_says(seen: Seen, table: str) -> None:
    tamperer = Tamperer(seen.vault, seen.vault.house.database)
    assert await tamperer.rows(table), f"nobody has used {table}"
    answers: dict[str, set[str]] = {}
    for _, column, kind in (each for each in await columns_of(seen.vault) if each[0] == table):
        outcomes = {outcome async for outcome in tamperer.attempts(table, column, kind, seen.before)}
        # What it comes to where it comes to anything: one row of three may be of no interest to anybody.
        answers[f"{table}.{column}"] = outcomes - {"no effect"} or outcomes or {"no right"}
    lines = "\n".join(f"| `{place}` | | {', '.join(sorted(words))} | |" for place, words in answers.items())
    assert answers == {place: words for place, words in documented().items() if table_of(place) == table}, lines


@pytest.mark.parametrize("table", sorted(BOUND))
async def test_nor_does_who_may_write_everything_get_at_anothers(seen: Seen, table: str) -> None:
    """The live database, read and write, and no key: also what the serving role has no right to is bound."""
    tamperer = Tamperer(seen.vault, seen.vault.superuser)
    answers: dict[str, set[str]] = {}
    for _, column, kind in (each for each in await columns_of(seen.vault) if each[0] == table):
        answers[column] = {outcome async for outcome in tamperer.attempts(table, column, kind, seen.before)}
    assert {column for column, outcomes in answers.items() if outcomes == {"no effect"}} <= HARMLESS[table]
    assert BOUND[table] <= {column for column, outcomes in answers.items() if outcomes - {"no effect"}}
