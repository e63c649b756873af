"""Connections and switches of a batch of subjects, held against what the log last said of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import Row, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from vaultd.audit.events import EventType
from vaultd.audit.subject_key import SubjectKey
from vaultd.connections.kept import open_kept
from vaultd.connections.sealing import data_key_of, open_account, open_connection
from vaultd.connections.store import select_rows
from vaultd.connections.table import ConnectionRow, connections_table
from vaultd.errors import CannotOpen
from vaultd.keys.data_keys import DataKeys
from vaultd.subjects.away import away_refusals_table
from vaultd.subjects.store import KnownSubject

_GIVEN = (EventType.CONNECTION_CONNECTED, EventType.CONNECTION_RECONNECTED, EventType.CONNECTION_IMPORTED)
_LIFE = (
    *_GIVEN,
    EventType.TOKEN_REFRESHED,
    EventType.CONNECTION_BROKEN,
    EventType.CONNECTION_RETRIED,
    EventType.CONNECTION_REVOKED,
)
_AWAY = (EventType.AWAY_REFUSED, EventType.AWAY_ALLOWED)
_EVENTS = text(
    """SELECT period, writer, seq, id, subject_ref, connection_ref, type, client_id, bytes FROM events
    WHERE subject_ref = ANY (cast(:refs AS bytea[])) AND type = ANY (cast(:types AS text[]))"""
)


@dataclass(slots=True)
class _Told:
    """What the log says of one connection: its newest generation, and how far that has come."""

    generation: int = 0
    revision: int = 0
    status: str = "connected"
    reason: str | None = None
    judged: int = 0
    """The revision that was judged last, or that undid the verdict before."""

    def hear(self, kind: str, event: Mapping[str, Any]) -> None:
        """Take in one event, whatever the order they come in."""
        generation, revision = event.get("generation", 0), event.get("revision", 1)
        if generation > self.generation:
            self.generation, self.revision, self.status, self.reason = generation, revision, "connected", None
            self.judged = 0
        if generation < self.generation:
            return
        self.revision = max(self.revision, revision)
        if kind == EventType.CONNECTION_REVOKED:
            self.status, self.reason = "revoked", event.get("reason")
        elif self.status == "revoked":
            return
        elif kind == EventType.CONNECTION_BROKEN and revision >= self.judged:
            self.status, self.reason, self.judged = "reconnect_required", event.get("reason"), revision
        elif kind == EventType.CONNECTION_RETRIED and revision > self.judged:
            # To try again makes a revision of its own: a verdict on that one came later, whatever is read first.
            self.status, self.reason, self.judged = "connected", None, revision

    def differs(self, row: ConnectionRow) -> str | None:
        """How the row is not what the log says."""
        # Revoking makes the row the next generation, which has nothing.
        generation = self.generation + 1 if self.status == "revoked" else self.generation
        told = {"status": self.status, "generation": generation, "revision": self.revision, "reason": self.reason}
        for name, value in told.items():
            if getattr(row, name) != value:
                return f"its {name} is {getattr(row, name)}, and by the log it is {value}"
        return None


@dataclass(slots=True)
class _Switched:
    """What the log says of one switch: the events that turned it off, and on again.

    Each changed something, so they alternate, beginning with off. Their number is what counts and not their order,
    since the clocks of two processes differ; and an event counts once.
    """

    off: set[UUID] = field(default_factory=set)
    on: set[UUID] = field(default_factory=set)

    def hear(self, kind: str, event_id: UUID) -> None:
        """Take in one event, whatever the order they come in."""
        (self.off if kind == EventType.AWAY_REFUSED else self.on).add(event_id)

    @property
    def is_off(self) -> bool:
        """How it stands by the log."""
        return len(self.off) > len(self.on)


class AccountCheck:
    """Adds to `report` what is wrong. Only events that `believes` says yes to tell anything."""

    def __init__(self, *, data_keys: DataKeys, believes: Callable[[Row[Any]], bool], report: list[str]) -> None:
        self._data_keys = data_keys
        self._believes = believes
        self._report = report

    async def of(self, connection: AsyncConnection, batch: Sequence[KnownSubject]) -> int:
        """Check what these subjects have; gives how many connections that was."""
        if not batch:
            return 0
        keys = {known.key.subject_ref: known for known in batch}
        values = {"refs": list(keys), "types": [*map(str, (*_LIFE, *_AWAY))]}
        told: dict[bytes, _Told] = {}
        away: dict[tuple[UUID, str], _Switched] = {}
        async for event in await connection.stream(_EVENTS, values):
            if not self._believes(event):
                continue
            if event.type in _AWAY:
                switch = (keys[event.subject_ref].id, event.client_id or "")
                away.setdefault(switch, _Switched()).hear(event.type, event.id)
            elif event.connection_ref is not None:
                self._hear(told.setdefault(event.connection_ref, _Told()), event)
        rows = await self._rows(connection, [known.id for known in batch])
        self._connections(rows, {known.id: known.key for known in batch}, told)
        await self._switches(connection, [known.id for known in batch], away)
        return len(rows)

    @staticmethod
    def _hear(told: _Told, event: Any) -> None:
        try:
            told.hear(event.type, json.loads(event.bytes))
        except (ValueError, TypeError, AttributeError, RecursionError):
            return  # no event of ours, put there since the log was read: the next check names it

    @staticmethod
    async def _rows(connection: AsyncConnection, subject_ids: Sequence[UUID]) -> list[ConnectionRow]:
        query = select_rows().where(connections_table.c.subject_id.in_(subject_ids)).order_by(connections_table.c.id)
        return [ConnectionRow.from_mapping(row) for row in (await connection.execute(query)).mappings()]

    def _connections(
        self, rows: Iterable[ConnectionRow], keys: Mapping[UUID, SubjectKey], told: dict[bytes, _Told]
    ) -> None:
        for row in rows:
            name = f"connection {row.id}"
            last = told.pop(keys[row.subject_id].connection_ref(row.id), None)
            if last is None:
                self._report.append(f"{name}: no event tells of it")
                continue
            difference = last.differs(row)
            if difference is not None:
                self._report.append(f"{name}: {difference}")
            try:
                self._open(row)
            except CannotOpen as error:
                self._report.append(f"{name}: it does not open ({error.detail})")
        self._report += [
            f"a connection: events tell of it, and its row is gone (generation {last.generation}, {last.status})"
            for last in told.values()
        ]

    def _open(self, row: ConnectionRow) -> None:
        if row.status == "connected":
            open_connection(data_key_of(row, self._data_keys), row)
        elif row.kept is not None:
            open_kept(data_key_of(row, self._data_keys), row)
        elif row.account is not None:
            open_account(data_key_of(row, self._data_keys), row)

    async def _switches(
        self, connection: AsyncConnection, subject_ids: Sequence[UUID], away: Mapping[tuple[UUID, str], _Switched]
    ) -> None:
        a = away_refusals_table.c
        query = select(a.subject_id, a.client_id).where(a.subject_id.in_(subject_ids))
        there = {(row.subject_id, row.client_id) for row in await connection.execute(query)}
        for subject_id, client_id in sorted(there | set(away)):
            by_the_log = away.get((subject_id, client_id), _Switched()).is_off
            if ((subject_id, client_id) in there) is not by_the_log:
                said = "off" if by_the_log else "on"
                self._report.append(
                    f"subject {subject_id}: by the log {client_id} is switched {said} while they are away,"
                    " and the row says otherwise"
                )
