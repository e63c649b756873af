"""Subjects: each opens under its own references, and none is gone without an event that says so."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from vaultd.audit.events import encode
from vaultd.errors import CannotOpen
from vaultd.subjects.store import KnownSubject, SubjectStore

BATCH = 200
# By the index of events on their subject. An erasure event counts wherever it stands: one that this vault did not write
# is a finding of the log's own check.
_VANISHED = text(
    """SELECT DISTINCT e.subject_ref FROM events e WHERE e.subject_ref IS NOT NULL
        AND NOT EXISTS (SELECT FROM subjects s WHERE s.audit_ref = e.subject_ref)
        AND NOT EXISTS (SELECT FROM events x WHERE x.subject_ref = e.subject_ref AND x.type = 'subject.erased')"""
)
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


async def vanished(connection: AsyncConnection) -> AsyncIterator[str]:
    """Subjects that events name, without a row and without an erasure."""
    for row in await connection.execute(_VANISHED):
        ref = encode(row.subject_ref)
        yield f"subject_ref {ref}: events name it, its row is gone, and no event says that it was erased"
