"""Uses counted from the log: by day, connection and client, and never more than a bounded look."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import event, text

from tests.support.house import House
from vaultd.audit.events import Decision, Draft, EventType
from vaultd.audit.log import AuditLog
from vaultd.audit.usage import Usage, last_use, usage_of
from vaultd.db import Database
from vaultd.subjects.store import KnownSubject

NOW = datetime.now(UTC)
GITHUB, SLACK = UUID(int=1), UUID(int=2)


class Past:
    """A log whose clock is put back for each event."""

    def __init__(self, house: House) -> None:
        self._at = NOW
        self.log = AuditLog(database=house.database, keyring=house.keyring, clock=lambda: self._at, lanes=1)

    async def record(self, known: KnownSubject, *, ago: timedelta, times: int = 1, **changes: object) -> None:
        plain = Draft(type=EventType.TOKEN_EXCHANGED, client_id="agent", connection="github", connection_id=GITHUB)
        draft = replace(plain, subject=known.key, **changes)  # type: ignore[arg-type]
        self._at = NOW - ago
        await self.log.record(*[draft] * times)


@pytest.fixture
def past(house: House) -> Past:
    return Past(house)


async def look(database: Database, known: KnownSubject, **how: int) -> Usage:
    async with database.transaction() as connection:
        return await usage_of(connection, known.key.subject_ref, now=NOW, **how)


async def test_uses_are_counted_by_day_connection_and_client(database: Database, house: House, past: Past) -> None:
    known, other = await house.subject("alice"), await house.subject("bob")
    await past.record(known, ago=timedelta(days=29), times=2)
    await past.record(known, ago=timedelta(days=1), client_id="night")
    await past.record(known, ago=timedelta(0), connection_id=SLACK, connection="slack")
    await past.record(known, ago=timedelta(0), type=EventType.TOKEN_REFUSED, decision=Decision.REFUSED)
    await past.record(known, ago=timedelta(0), type=EventType.TOKEN_REFRESHED)
    await past.record(known, ago=timedelta(days=30), times=5)
    await past.record(other, ago=timedelta(0), times=7)
    usage = await look(database, known)
    github, slack = (known.key.connection_ref(each) for each in (GITHUB, SLACK))
    today = NOW.date()
    found = {(use.connection_ref, use.client_id, use.day): use.count for use in usage.uses}
    assert found == {
        (github, "agent", today - timedelta(days=29)): 2,
        (github, "night", today - timedelta(days=1)): 1,
        (slack, "agent", today): 1,
    }
    assert (usage.whole, usage.since) == (True, today - timedelta(days=29))


async def test_a_look_is_bounded_and_says_so(database: Database, house: House, past: Past) -> None:
    known = await house.subject("alice")
    await past.record(known, ago=timedelta(days=9), times=6)
    await past.record(known, ago=timedelta(days=2), times=4)
    exact = await look(database, known, most=10)
    assert (exact.whole, sum(use.count for use in exact.uses)) == (True, 10)
    cut = await look(database, known, most=5)
    assert (cut.whole, cut.since) == (False, (NOW - timedelta(days=9)).date())
    assert sum(use.count for use in cut.uses) == 6
    narrow = await look(database, known, most=3)
    assert (narrow.whole, narrow.since) == (False, (NOW - timedelta(days=2)).date())


async def test_the_look_goes_by_the_subject_s_index(
    database: Database, superuser: Database, house: House, past: Past
) -> None:
    """However many events others have, only this subject's are read, and no more of them than asked for."""
    known, other = await house.subject("alice"), await house.subject("bob")
    await past.record(other, ago=timedelta(days=1), times=3_000)
    await past.record(known, ago=timedelta(days=1), times=40)
    async with superuser.transaction() as connection:
        await connection.execute(text("ANALYZE events"))
    ran: list[tuple[str, Any]] = []
    event.listen(database.engine.sync_engine, "before_cursor_execute", lambda *args: ran.append((args[2], args[3])))
    await look(database, known, most=20)
    (statement, parameters) = next(each for each in ran if "FROM events" in each[0])
    async with database.transaction() as connection:
        explained = await connection.exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters)
        (document,) = explained.scalar_one()
    scans = [node for node in nodes(document["Plan"]) if "Scan" in node["Node Type"] and "Relation Name" in node]
    assert {node["Node Type"] for node in scans if node["Actual Rows"]} <= {"Index Scan", "Index Only Scan"}
    assert all("subject_ref" in node["Index Cond"] for node in scans if node["Actual Rows"])
    assert sum(node["Actual Rows"] for node in scans) <= 25


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)


async def test_the_last_use_is_found_however_long_ago(database: Database, house: House, past: Past) -> None:
    known = await house.subject("alice")
    await past.record(known, ago=timedelta(days=30, hours=5), client_id="old")
    await past.record(known, ago=timedelta(days=30), client_id="newer")
    await past.record(known, ago=timedelta(0), type=EventType.TOKEN_REFUSED, decision=Decision.REFUSED)
    async with database.transaction() as connection:
        found = await last_use(connection, known.key.connection_ref(GITHUB))
        assert await last_use(connection, known.key.connection_ref(SLACK)) is None
    assert found is not None
    assert (found[0], found[1]) == ("newer", NOW - timedelta(days=30))
