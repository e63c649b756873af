"""Checks the log against itself: dense numbers, an unbroken keyed chain, columns that say what the bytes say."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncConnection

from vaultd.audit.lane import columns_of, events_table, lanes_table, link
from vaultd.errors import CannotOpen
from vaultd.keys.keyring import Keyring


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
        last = await _verify_lane(connection, keyring, lane, report)
        if lane.closed_at is None:
            report.open_lanes += 1
        elif lane.last_seq is not None and lane.last_seq != last:
            report.findings.append(f"lane {writer}: it was closed at {lane.last_seq}, and its last event is {last}")
    return report


async def _verify_lane(connection: AsyncConnection, keyring: Keyring, lane: Row[Any], report: Report) -> int:
    writer: UUID = lane.writer
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
        report.findings += [f"{name}: {finding}" for finding in _verify_event(dict(row), keyring, previous)]
        expected, previous = row["seq"] + 1, row["mac"]
    return expected - 1


def _verify_event(row: dict[str, Any], keyring: Keyring, previous: bytes) -> list[str]:
    try:
        chain_key = keyring.get(UUID(json.loads(row["bytes"])["key"]), "chain")
        derived = columns_of(row["bytes"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return ["its bytes are no event"]
    except CannotOpen:
        return ["it names a chain key that is not in the keyring"]
    findings = []
    if link(chain_key, previous, row["bytes"]) != row["mac"]:
        findings.append("it was altered, or does not follow the event before it")
    findings += [f"column {name} differs from its bytes" for name, value in derived.items() if row[name] != value]
    return findings
