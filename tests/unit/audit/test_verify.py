"""Verification finds what a superuser does to the log behind the triggers' back."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from sqlalchemy import select, text

from tests.support.house import House
from vaultd.audit.events import Draft, EventType
from vaultd.audit.lane import events_table
from vaultd.audit.read import render
from vaultd.db import Database

EVENTS = 6
COLUMNS = "period, writer, seq, mac, bytes, id, at, type, decision, client_id, connection, subject_ref, connection_ref"
COPY_OF_3 = f"INSERT INTO events ({COLUMNS}) SELECT {{}} FROM events WHERE seq = 3"  # noqa: S608 - two constants


@pytest_asyncio.fixture
async def tamperer(house: House, superuser: Database) -> AsyncIterator[Database]:
    """A superuser before whom the triggers are switched off, over a closed lane of six events."""
    known = await house.subject()
    for number in range(EVENTS):
        await house.log.record(
            Draft(
                type=EventType.TOKEN_EXCHANGED,
                client_id="agent",
                connection="github",
                subject=known.key,
                ip="192.0.2.7",
                revision=number,
            )
        )
    await house.log.close()
    report = await house.verify()
    assert (report.findings, report.events, report.lanes, report.open_lanes) == ([], EVENTS, 1, 0)
    partition = f"events_{house.clock():%Y_%m}"
    async with superuser.transaction() as connection:
        for table in ("events", partition):
            await connection.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER append_only"))
    yield superuser


async def do(tamperer: Database, *statements: str) -> None:
    async with tamperer.transaction() as connection:
        for statement in statements:
            result = await connection.execute(text(statement))
            assert result.rowcount > 0, statement


@pytest.mark.parametrize(
    ("statements", "finding"),
    [
        (["UPDATE events SET bytes = set_byte(bytes, 20, 88) WHERE seq = 3"], "event 3"),
        (["UPDATE events SET bytes = '{}' WHERE seq = 3"], "event 3: its bytes are no event"),
        (["UPDATE events SET bytes = '[]' WHERE seq = 3"], "event 3: its bytes are no event"),
        (["""UPDATE events SET bytes = '{"key": 7}' WHERE seq = 3"""], "event 3: its bytes are no event"),
        (["UPDATE events SET bytes = '\\xffff' WHERE seq = 3"], "event 3: its bytes are no event"),
        (["UPDATE events SET mac = sha256(mac) WHERE seq = 3"], "event 3: it was altered"),
        (["UPDATE events SET type = 'token.refused' WHERE seq = 3"], "event 3: column type"),
        (["UPDATE events SET decision = 'refused' WHERE seq = 3"], "event 3: column decision"),
        (["UPDATE events SET client_id = NULL WHERE seq = 3"], "event 3: column client_id"),
        (["UPDATE events SET connection = 'slack' WHERE seq = 3"], "event 3: column connection"),
        (["UPDATE events SET subject_ref = NULL WHERE seq = 3"], "event 3: column subject_ref"),
        (["UPDATE events SET connection_ref = '\\x00' WHERE seq = 3"], "event 3: column connection_ref"),
        (["UPDATE events SET at = at + interval '1 second' WHERE seq = 3"], "event 3: column at"),
        (["UPDATE events SET id = gen_random_uuid() WHERE seq = 3"], "event 3: column id"),
        (["UPDATE events SET period = (period + interval '1 month')::date WHERE seq = 3"], "event 3: it stands in"),
        (["DELETE FROM events WHERE seq = 1"], "event 2: event 1 is missing"),
        (["DELETE FROM events WHERE seq = 3"], "event 4: event 3 is missing"),
        (["DELETE FROM events WHERE seq = 3", "UPDATE events SET seq = seq - 1 WHERE seq > 3"], "event 3: it was alt"),
        (["DELETE FROM events WHERE seq = 6"], "it was closed at 6, and its last event is 5"),
        (["DELETE FROM events"], "it was closed at 6, and its last event is 0"),
        (["DELETE FROM lanes"], "it holds events, but was never opened"),
        ([COPY_OF_3.format(COLUMNS.replace("seq", "7"))], "event 7: it was altered"),
        ([COPY_OF_3.format(COLUMNS.replace("writer", "gen_random_uuid()"))], "never opened"),
        (
            [COPY_OF_3.format(COLUMNS.replace("period", "(period + interval '1 month')::date"))],
            "event 3: event 4 is missing",
        ),
        (
            [
                "UPDATE events SET seq = 100 WHERE seq = 3",
                "UPDATE events SET seq = 3 WHERE seq = 4",
                "UPDATE events SET seq = 4 WHERE seq = 100",
            ],
            "event 3: it was altered, or does not follow",
        ),
    ],
)
async def test_tampering_is_found(house: House, tamperer: Database, statements: list[str], finding: str) -> None:
    await do(tamperer, *statements)
    findings = (await house.verify()).findings
    assert any(finding in found for found in findings), findings


async def test_bytes_and_columns_edited_together(house: House, tamperer: Database) -> None:
    await do(
        tamperer,
        "UPDATE events SET client_id = 'other', bytes = convert_to(replace(convert_from(bytes, 'UTF8'),"
        ' \'"client_id":"agent"\', \'"client_id":"other"\'), \'UTF8\') WHERE seq = 3',
    )
    findings = (await house.verify()).findings
    assert len(findings) == 1
    assert "event 3: it was altered" in findings[0]


async def test_an_event_under_an_unknown_chain_key(house: House, tamperer: Database) -> None:
    await do(
        tamperer,
        'UPDATE events SET bytes = convert_to(regexp_replace(convert_from(bytes, \'UTF8\'), \'"key":"[^"]*"\','
        " '\"key\":\"' || gen_random_uuid() || '\"'), 'UTF8') WHERE seq = 3",
    )
    assert any("event 3: it names a chain key" in found for found in (await house.verify()).findings)


async def test_an_erased_subject_is_unreadable_and_the_log_still_whole(house: House, tamperer: Database) -> None:
    known = await house.subject()
    async with house.database.transaction() as connection:
        row = dict((await connection.execute(select(events_table).where(events_table.c.seq == 1))).mappings().one())
    readers = await house.subjects.by_audit_refs([row["subject_ref"]])
    shown = render(row, readers[row["subject_ref"]])
    assert shown["subject"] == {"issuer": known.key.subject.issuer, "sub": "alice"}
    assert shown["ip"] == "192.0.2.7"

    await house.erase(known)
    assert await house.subjects.by_audit_refs([row["subject_ref"]]) == {}
    hidden = render(row, None)
    assert "subject" not in hidden
    assert "ip" not in hidden
    assert hidden["client_id"] == "agent"
    stored = json.loads(row["bytes"])
    assert "alice" not in str(stored)
    assert "192.0.2.7" not in str(stored)
    assert (await house.verify()).findings == []


async def test_the_same_person_again_is_not_linked_to_the_erased_one(house: House) -> None:
    known = await house.subject()
    before = known.key.subject_ref
    await house.erase(known)
    house.clock.forward(seconds=61)
    again = await house.subject()
    assert again.key.subject_ref != before
