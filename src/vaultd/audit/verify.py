"""Checks the log against itself: dense numbers, an unbroken keyed chain, columns that say what the bytes say."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncConnection

from vaultd.audit.genuine import doubts_about
from vaultd.audit.lane import events_table, lanes_table
from vaultd.keys.keyring import Keyring

_CLOCKS = timedelta(minutes=2)
"""By so much a process's clock may have been put back between an event and the end of its lane (E7)."""


@dataclass(slots=True)
class Report:
    """What was read, and what is wrong, each finding naming its lane and number."""

    lanes: int = 0
    events: int = 0
    open_lanes: int = 0
    findings: list[str] = field(default_factory=list)


async def verify(connection: AsyncConnection, keyring: Keyring) -> Report:
    """Read the whole log once, lane by lane. Within one lane it goes on after a finding."""
    report = Report()
    # In this order, because a lane is opened before its first event: one that opens meanwhile is no stranger.
    writers = (await connection.execute(select(events_table.c.writer).distinct())).scalars().all()
    lanes = {row.writer: row for row in await connection.execute(select(lanes_table))}
    for writer in writers:
        if writer not in lanes:
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
        if row["period"] != lane.period:
            report.findings.append(f"{name}: it stands in {row['period']}, and its lane is of {lane.period}")
        report.findings += [f"{name}: {finding}" for finding in doubts_about(dict(row), keyring, previous)]
        expected, previous = row["seq"] + 1, row["mac"]
        newest = row["at"] if newest is None else max(newest, row["at"])
    return expected - 1, newest
