"""Subjects: each opens under its own references, and none is gone without an event that says so."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from vaultd.audit.events import encode
from vaultd.errors import CannotOpen
from vaultd.subjects.store import KnownSubject, SubjectStore

BATCH = 200
# By the index of events on their subject.
_VANISHED = text(
    """SELECT DISTINCT e.subject_ref FROM events e WHERE e.subject_ref IS NOT NULL
        AND NOT EXISTS (SELECT FROM subjects s WHERE s.audit_ref = e.subject_ref)
        AND NOT EXISTS (SELECT FROM events x WHERE x.subject_ref = e.subject_ref AND x.type = 'subject.erased')"""
)
_ERASED = text(
    """SELECT e.period, e.writer, e.seq, e.id, e.subject_ref FROM events e
    WHERE e.type = 'subject.erased' AND e.subject_ref IS NOT NULL
        AND NOT EXISTS (SELECT FROM subjects s WHERE s.audit_ref = e.subject_ref)"""
)
_GONE = "events name it, its row is gone"
_CAME_BACK = text(
    """SELECT s.id FROM subjects s WHERE s.audit_ref = ANY (cast(:refs AS bytea[]))
        AND EXISTS (SELECT FROM events e WHERE e.subject_ref = s.audit_ref AND e.type = 'subject.erased')"""
)


async def batch_after(
    connection: AsyncConnection, subjects: SubjectStore, after: UUID, findings: list[str]
) -> tuple[list[KnownSubject], UUID | None]:
    """Some subjects that open, and the last one's id, None at the end; those that do not open are findings."""
    some, last = await subjects.some_after(connection, after, limit=BATCH)
    known = [one for one in some if isinstance(one, KnownSubject)]
    findings += [f"subject row {one.detail}" for one in some if isinstance(one, CannotOpen)]
    refs = [one.key.subject_ref for one in known]
    for row in await connection.execute(_CAME_BACK, {"refs": refs}):
        findings.append(f"subject {row.id}: it was erased, and its row is there again")
    return known, last


async def vanished(connection: AsyncConnection, believes: Callable[[Any], bool]) -> AsyncIterator[str]:
    """Subjects that events name, without a row and without an erasure that this vault has written."""
    for row in await connection.execute(_VANISHED):
        yield f"subject_ref {encode(row.subject_ref)}: {_GONE}, and no event says that it was erased"
    erased: dict[bytes, bool] = {}
    async for row in await connection.stream(_ERASED):
        erased[row.subject_ref] = erased.get(row.subject_ref, False) or believes(row)
    for subject_ref, genuine in erased.items():
        if not genuine:
            yield f"subject_ref {encode(subject_ref)}: {_GONE}, and this vault did not write that it was erased"
