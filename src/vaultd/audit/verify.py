"""Checks the log against itself: dense numbers, an unbroken keyed chain, columns that say what the bytes say.

What a chain does not tell is that an event of one lane was copied into another, behind a row that was made up for it.
So each event stands in the log once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Row, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from vaultd.audit.genuine import doubts_about
from vaultd.audit.lane import events_table, lanes_table
from vaultd.keys.keyring import Keyring

_CLOCKS = timedelta(minutes=2)
"""By so much a process's clock may have been put back between an event and the end of its lane (E7)."""
_TWICE = text("SELECT id, count(*) AS places FROM events GROUP BY id HAVING count(*) > 1 ORDER BY id")


@dataclass(slots=True)
class Report:
    """What was read, and what is wrong, each finding naming its lane and number."""

    lanes: int = 0
    events: int = 0
    open_lanes: int = 0
    findings: list[str] = field(default_factory=list)
    strangers: set[UUID] = field(default_factory=set)
    doubted: set[tuple[date, UUID, int]] = field(default_factory=set)

    def believes(self, event: Row[Any]) -> bool:
        """Whether nothing speaks against an event's having been written by this vault, in its place."""
        return event.writer not in self.strangers and (event.period, event.writer, event.seq) not in self.doubted


async def verify(connection: AsyncConnection, keyring: Keyring) -> Report:
    """Read the whole log once, lane by lane. Within one lane it goes on after a finding."""
    report = Report()
    # In this order, because a lane is opened before its first event: one that opens meanwhile is no stranger.
    writers = (await connection.execute(select(events_table.c.writer).distinct())).scalars().all()
    lanes = {row.writer: row for row in await connection.execute(select(lanes_table))}
    for writer in writers:
        if writer not in lanes:
            report.strangers.add(writer)
            report.findings.append(f"lane {writer}: it holds events, but was never opened")
    for writer, lane in lanes.items():
        report.lanes += 1
        last, newest = await _verify_lane(connection, keyring, lane, report)
        if lane.closed_at is None:
            report.open_lanes += 1
        elif newest is not None and newest > lane.closed_at + _CLOCKS:
            report.findings.append(f"lane {writer}: it has an event of {newest}, and was closed at {lane.closed_at}")
        elif lane.last_seq is not None and lane.last_seq != last:
            report.findings.append(f"lane {writer}: it was closed at {lane.last_seq}, and its last event is {last}")
    for row in await connection.execute(_TWICE):
        report.findings.append(f"event {row.id}: it stands in {row.places} places of the log")
    return report


async def _verify_lane(
    connection: AsyncConnection, keyring: Keyring, lane: Row[Any], report: Report
) -> tuple[int, datetime | None]:
    """The number and the time of its last event."""
    writer: UUID = lane.writer
    newest: datetime | None = None
    query = select(events_table).where(events_table.c.writer == writer).order_by(events_table.c.seq)
    expected, previous = 1, writer.bytes
    result = await connection.stream(query)
    async for row in result.mappings():
        report.events += 1
        name = f"lane {writer} event {row['seq']}"
        if row["seq"] != expected:
            report.findings.append(f"{name}: event {expected} is missing before it")
        doubts = doubts_about(dict(row), keyring, previous)
        if row["period"] != lane.period:
            doubts.append(f"it stands in {row['period']}, and its lane is of {lane.period}")
        if doubts:
            report.doubted.add((row["period"], writer, row["seq"]))
        report.findings += [f"{name}: {finding}" for finding in doubts]
        expected, previous = row["seq"] + 1, row["mac"]
        newest = row["at"] if newest is None else max(newest, row["at"])
    return expected - 1, newest
