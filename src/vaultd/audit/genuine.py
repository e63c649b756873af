"""Whether this vault wrote an event: in its place in a chain that nobody can write without the chain key.

The mac before an event is in the log for everybody to read. So an event can be copied to another place, behind a row
made up to carry that mac, and seems to follow there as well: of each event one place is believed.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, TypeAlias
from uuid import UUID

from sqlalchemy import select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from vaultd.audit.lane import columns_of, events_table, lanes_table, link
from vaultd.errors import CannotOpen
from vaultd.keys.keyring import Keyring

_MOST_COPIES = 1_000
"""Copies that one look takes in, so that no number of them makes reading slow."""
_Place: TypeAlias = tuple[date, UUID, int]
_BEFORE = text(
    """SELECT e.period, e.writer, e.seq, e.mac
    FROM unnest(cast(:period AS date[]), cast(:writer AS uuid[]), cast(:seq AS bigint[])) AS w (period, writer, seq)
    JOIN events e ON e.period = w.period AND e.writer = w.writer AND e.seq = w.seq - 1"""
)
_PLACES = text(
    """SELECT id, period, writer, seq FROM events WHERE id = ANY (cast(:ids AS uuid[]))
    ORDER BY period, writer, seq LIMIT :most"""
)
# A row may hold anything that its writer chose: whatever is wrong with its bytes is the same finding.
_NO_EVENT = (ValueError, KeyError, TypeError, AttributeError, RecursionError)


def doubts_about(row: Mapping[str, Any], keyring: Keyring, previous: bytes) -> list[str]:
    """What speaks against an event that follows the mac `previous`; nothing for a genuine one. Never raises."""
    try:
        chain_key = keyring.get(UUID(json.loads(row["bytes"])["key"]), "chain")
        derived = columns_of(row["bytes"])
    except _NO_EVENT:
        return ["its bytes are no event"]
    except CannotOpen:
        return ["it names a chain key that is not in the keyring"]
    doubts = []
    if not hmac.compare_digest(link(chain_key, previous, row["bytes"]), row["mac"]):
        doubts.append("it was altered, or does not follow the event before it")
    doubts += [f"column {name} differs from its bytes" for name, value in derived.items() if row[name] != value]
    return doubts


async def judged(connection: AsyncConnection, keyring: Keyring, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows, each with its `doubt`: a word against it, or None."""
    everywhere = [*rows, *await _elsewhere(connection, rows)]
    before, months = await _macs_before(connection, everywhere), await _months_of_lanes(connection, everywhere)
    once: set[UUID] = set()
    # In the order of their places, so that whatever page one stands on, it is judged alike.
    for row in sorted(everywhere, key=_place):
        doubts = _doubts(row, keyring, before.get(_place(row)), months.get(row["writer"]))
        if not doubts and row["id"] in once:
            doubts = ["it stands in the log more than once"]
        row["doubt"] = doubts[0] if doubts else None
        if not doubts:
            once.add(row["id"])
    return rows


def _doubts(row: Mapping[str, Any], keyring: Keyring, previous: bytes | None, month: date | None) -> list[str]:
    if row["seq"] == 1:
        previous = row["writer"].bytes
    if previous is None:
        return ["the event before it is missing"]
    doubts = doubts_about(row, keyring, previous)
    # The month of a lane is not changed, and is in no event's bytes.
    return doubts if row["period"] == month else [*doubts, "it is in another month than its lane"]


def _place(row: Mapping[str, Any]) -> _Place:
    return row["period"], row["writer"], row["seq"]


async def _macs_before(connection: AsyncConnection, rows: Sequence[Mapping[str, Any]]) -> dict[_Place, bytes]:
    """The mac of the event before each of these, by the place of the one behind it."""
    wanted = {name: [row[name] for row in rows] for name in ("period", "writer", "seq")}
    found = await connection.execute(_BEFORE, wanted)
    return {(row.period, row.writer, row.seq + 1): row.mac for row in found}


async def _months_of_lanes(connection: AsyncConnection, rows: Sequence[Mapping[str, Any]]) -> dict[UUID, date]:
    lanes = select(lanes_table.c.writer, lanes_table.c.period)
    found = await connection.execute(lanes.where(lanes_table.c.writer.in_({row["writer"] for row in rows})))
    return {row.writer: row.period for row in found}


async def _elsewhere(connection: AsyncConnection, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The same events in other places of the log: nothing, unless somebody has copied one."""
    here = {_place(row) for row in rows}
    wanted = {"ids": list({row["id"] for row in rows}), "most": len(rows) + _MOST_COPIES}
    found = (await connection.execute(_PLACES, wanted)).mappings()
    others = [place for place in (_place(dict(row)) for row in found) if place not in here]
    if not others:
        return []
    place = tuple_(events_table.c.period, events_table.c.writer, events_table.c.seq)
    return [dict(row) for row in (await connection.execute(select(events_table).where(place.in_(others)))).mappings()]
