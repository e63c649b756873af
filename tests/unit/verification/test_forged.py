"""Events that somebody else put into the log are named, and nothing that they say is believed."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import insert, select, text

from tests.support.house import House
from vaultd.app.verifying import verification_of
from vaultd.audit.events import Draft, EventType, encode, rfc3339
from vaultd.audit.lane import events_table, lanes_table
from vaultd.audit.read import UNVERIFIED, Query, Reader, render
from vaultd.subjects.away import AwaySwitch
from vaultd.subjects.store import KnownSubject


class Forger:
    """Somebody with the serving role's password and no key."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.period = house.clock().date().replace(day=1)

    async def open_lane(self) -> UUID:
        writer = uuid4()
        row = {"writer": writer, "period": self.period, "opened_at": self.house.clock()}
        async with self.house.database.transaction() as connection:
            await connection.execute(insert(lanes_table).values(**row))
        return writer

    async def put(self, writer: UUID, seq: int, known: KnownSubject, raw: bytes | None = None, **columns: Any) -> None:
        """An event about this user, of these bytes, or of ones that fit the columns."""
        at, event_id = self.house.clock(), uuid4()
        row: dict[str, Any] = {
            "period": self.period,
            "writer": writer,
            "seq": seq,
            "mac": bytes(32),
            "id": event_id,
            "at": at,
            "type": "token.refreshed",
            "decision": "allowed",
            "subject_ref": known.key.subject_ref,
            **columns,
        }
        row["bytes"] = raw if raw is not None else self._well_formed(row)
        async with self.house.database.transaction() as connection:
            await connection.execute(insert(events_table).values(**row))

    def _well_formed(self, row: dict[str, Any]) -> bytes:
        refs: dict[str, Any] = {name: encode(row[name]) for name in ("subject_ref", "connection_ref") if name in row}
        members = {"v": 1, "id": str(row["id"]), "at": rfc3339(row["at"]), "type": row["type"], **refs}
        members |= {"key": str(self.house.keyring.active("chain").id), "decision": row["decision"]}
        return json.dumps(members | {"generation": 99, "revision": 99}).encode()

    async def copy(self, event_id: UUID, writer: UUID, seq: int, **columns: Any) -> None:
        """A genuine event in another place."""
        async with self.house.database.transaction() as connection:
            query = select(events_table).where(events_table.c.id == event_id)
            row = dict((await connection.execute(query)).mappings().one())
            await connection.execute(insert(events_table).values(**row | {"writer": writer, "seq": seq, **columns}))

    async def rows(self) -> list[dict[str, Any]]:
        """What readers see of the log, each with its doubt."""
        async with self.house.database.transaction() as connection:
            found, _ = await Reader(keyring=self.house.keyring).page(connection, Query(limit=1000))
        return found

    async def found(self) -> list[str]:
        return (await verification_of(self.house.database, self.house.keyring)()).findings


@pytest.fixture
def forger(house: House) -> Forger:
    return Forger(house)


HUGE = "1" + "0" * 400
NO_EVENTS = [
    b"not json",
    b"[]",
    b"{}",
    b'"text"',
    b"null",
    b"17",
    b"\xff\xfe",
    b"\x00\x00",
    b"[" * 30_000,
    b'{"generation":' + HUGE.encode() + b"}",
    b'{"generation":1e400,"revision":-1e400}',
    b'{"generation":NaN}',
    b'{"generation":"7","revision":[1]}',
    b'{"generation":{"a":1}}',
    b'{"key":null}',
    b'{"key":"no uuid"}',
]


@pytest.mark.parametrize("forged", NO_EVENTS)
async def test_what_is_no_event_is_named_and_tells_nothing(forger: Forger, forged: bytes) -> None:
    known = await forger.house.subject()
    connection_id = await forger.house.connect(known)
    writer = await forger.open_lane()
    ref = known.key.connection_ref(connection_id)
    await forger.put(writer, 1, known, forged, connection_ref=ref)
    assert await forger.found() == [f"lane {writer} event 1: its bytes are no event"]
    (shown,) = [render(row, known.key) for row in await forger.rows() if row["writer"] == writer]
    assert (shown["type"], shown["reason"]) == (UNVERIFIED, "its bytes are no event")


def with_members(forger: Forger, known: KnownSubject, **changes: Any) -> bytes:
    members: dict[str, Any] = {
        "v": 1,
        "id": str(uuid4()),
        "at": rfc3339(forger.house.clock()),
        "type": "token.refreshed",
        "decision": "allowed",
        "key": str(forger.house.keyring.active("chain").id),
        "subject_ref": encode(known.key.subject_ref),
    }
    return json.dumps(members | changes).encode()


@pytest.mark.parametrize(
    "changes",
    [
        {"id": 7},
        {"id": None},
        {"at": 7},
        {"at": "yesterday"},
        {"at": "9999-12-31T23:59:59.999999+00:00"},
        {"subject_ref": 7},
        {"subject_ref": ["a"]},
        {"subject_ref": "ä"},
        {"subject_ref": "a"},
        {"private": "no base64 %"},
        {"private": 7},
        {"private": {"subject": {"sub": "alice"}}},
        {"type": 7},
        {"decision": ["allowed"]},
        {"client_id": {}},
        {"scopes": "admin"},
        {"key": str(uuid4())},
    ],
)
async def test_members_of_other_types_are_named_and_shown_as_not_ours(forger: Forger, changes: dict[str, Any]) -> None:
    known = await forger.house.subject()
    writer = await forger.open_lane()
    await forger.put(writer, 1, known, with_members(forger, known, **changes))
    findings = await forger.found()
    assert findings
    assert all(finding.startswith(f"lane {writer} event 1: ") for finding in findings)
    (shown,) = [render(row, known.key) for row in await forger.rows()]
    assert shown["type"] == UNVERIFIED


async def test_a_forged_event_accuses_no_connection(forger: Forger) -> None:
    known = await forger.house.subject()
    ref = known.key.connection_ref(await forger.house.connect(known))
    writer = await forger.open_lane()
    for seq, kind in enumerate(("token.refreshed", "connection.broken", "connection.revoked"), start=1):
        await forger.put(writer, seq, known, type=kind, connection_ref=ref)
    altered = "it was altered, or does not follow the event before it"
    assert await forger.found() == [f"lane {writer} event {seq}: {altered}" for seq in (1, 2, 3)]


async def test_a_forged_event_hides_no_switch_that_was_taken_away(forger: Forger) -> None:
    house = forger.house
    known = await house.subject()
    switch = AwaySwitch(database=house.database, log=house.log, clock=house.clock)
    await switch.refuse(known.id, "nightly", draft=Draft(type=EventType.AWAY_REFUSED, subject=known.key))
    async with house.database.transaction() as connection:
        await connection.execute(text("DELETE FROM away_refusals"))
    writer = await forger.open_lane()
    await forger.put(writer, 1, known, type="away.allowed", client_id="nightly")
    said = "by the log nightly is switched off while they are away, and the row says otherwise"
    assert f"subject {known.id}: {said}" in await forger.found()


async def test_a_lane_that_nobody_opened_tells_nothing(forger: Forger) -> None:
    known = await forger.house.subject()
    ref = known.key.connection_ref(await forger.house.connect(known))
    writer = uuid4()
    await forger.put(writer, 1, known, connection_ref=ref)
    assert await forger.found() == [f"lane {writer}: it holds events, but was never opened"]


async def genuine(forger: Forger, known: KnownSubject) -> UUID:
    """The id of an event that has one before it."""
    draft = Draft(type=EventType.TOKEN_EXCHANGED, client_id="agent", subject=known.key)
    await forger.house.log.record(draft, replace(draft, client_id="other"))
    async with forger.house.database.transaction() as connection:
        query = select(events_table.c.id).where(events_table.c.client_id == "other")
        event_id: UUID = (await connection.execute(query)).scalar_one()
    return event_id


async def test_a_copy_under_another_user_is_not_theirs(forger: Forger) -> None:
    alice, mallory = await forger.house.subject(), await forger.house.subject("mallory")
    event_id = await genuine(forger, alice)
    writer = await forger.open_lane()
    await forger.copy(event_id, writer, 1, subject_ref=mallory.key.subject_ref)
    assert f"lane {writer} event 1: column subject_ref differs from its bytes" in await forger.found()
    assert f"event {event_id}: it stands in 2 places of the log" in await forger.found()
    (shown,) = [row for row in await forger.rows() if row["writer"] == writer]
    assert shown["doubt"] is not None


@pytest.mark.parametrize("own_lane", [True, False])
async def test_a_copy_behind_a_made_up_row_is_a_copy(forger: Forger, *, own_lane: bool) -> None:
    """The mac before it is in the log for everybody to read: with a row that carries it, the copy seems to follow."""
    alice = await forger.house.subject()
    event_id = await genuine(forger, alice)
    async with forger.house.database.transaction() as connection:
        query = select(events_table).order_by(events_table.c.seq)
        before, original = (await connection.execute(query)).mappings().all()
    writer, seq = (await forger.open_lane(), 1) if own_lane else (original["writer"], 10)
    await forger.put(writer, seq, alice, mac=before["mac"])
    await forger.copy(event_id, writer, seq + 1)
    assert f"event {event_id}: it stands in 2 places of the log" in await forger.found()
    shown = {(row["writer"], row["seq"]): row["doubt"] for row in await forger.rows() if row["id"] == event_id}
    assert sorted(doubt is None for doubt in shown.values()) == [False, True]
    assert "it stands in the log more than once" in shown.values()


async def test_a_copy_in_another_month_is_a_copy(forger: Forger) -> None:
    """The first days of a month are days of the month before as well, as far as PostgreSQL can tell."""
    house = forger.house
    house.clock.now = (house.clock().replace(day=28) + timedelta(days=7)).replace(day=2)
    alice = await house.subject()
    event_id = await genuine(forger, alice)
    earlier = (house.clock() - timedelta(days=3)).date().replace(day=1)
    async with house.database.transaction() as connection:
        for row in (await connection.execute(select(events_table))).mappings().all():
            await connection.execute(insert(events_table).values(**dict(row) | {"period": earlier}))
    shown = {row["period"]: row["doubt"] for row in await forger.rows() if row["id"] == event_id}
    assert shown == {earlier: "it is in another month than its lane", house.clock().date().replace(day=1): None}
    assert f"event {event_id}: it stands in 2 places of the log" in await forger.found()
