"""The subject table: found by a keyed hash, sealed under the subject's own erasable key (data.md).

The two clear references of a row, `lookup` and `audit_ref`, follow from what is sealed in it and from its data key.
They are worked out again whenever a row is opened, so that a reference that was moved to another row opens nothing.

A row is made only for a verified subject. What is known of a subject is kept in memory for a minute at most,
so that an erased one's key lives no longer than that; before an event is written under what is remembered, the counter
looks whether the row is still there (`subjects.present`).
"""

from __future__ import annotations

import hmac
import json
from collections import OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import structlog
from sqlalchemy import Column, DateTime, ForeignKey, LargeBinary, Select, Table, Uuid, cast, func, select, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.elements import ColumnElement

from vaultd.audit.subject_key import SubjectKey
from vaultd.db import Database, metadata
from vaultd.errors import CannotOpen
from vaultd.keys.data_keys import DataKeys, data_keys_table
from vaultd.keys.envelope import Key, Sealed, bind, open_sealed, seal
from vaultd.keys.keyring import Keyring
from vaultd.terms import Clock, Subject, SubjectId

REMEMBERED_FOR = timedelta(seconds=60)
REMEMBERED = 10_000
_PURPOSE = "subject"

subjects_table = Table(
    "subjects",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("lookup", LargeBinary, nullable=False, unique=True),
    Column("audit_ref", LargeBinary, nullable=False, unique=True),
    Column("data_key_id", Uuid, ForeignKey("data_keys.id"), nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
)
_ERASE = text("SELECT vaultd_erase_subject(:subject_id)")
# Of columns: written as rows, many of them are a long statement of their own each time.
_INSERT_MANY = text(
    """INSERT INTO subjects (id, lookup, audit_ref, data_key_id, sealed, created_at)
    SELECT * FROM unnest(cast(:id AS uuid[]), cast(:lookup AS bytea[]), cast(:audit_ref AS bytea[]),
        cast(:data_key_id AS uuid[]), cast(:sealed AS bytea[]), cast(:created_at AS timestamptz[]))
    ON CONFLICT (lookup) DO NOTHING RETURNING id"""
)


@dataclass(frozen=True, slots=True)
class KnownSubject:
    """A subject with a row, and the key under which they are audited."""

    id: SubjectId
    key: SubjectKey


class SubjectStore:
    """Finds subjects, and makes rows for verified ones."""

    def __init__(self, *, database: Database, keyring: Keyring, data_keys: DataKeys, clock: Clock) -> None:
        self._database = database
        self._keyring = keyring
        self._data_keys = data_keys
        self._clock = clock
        self._remembered: OrderedDict[Subject, tuple[datetime, KnownSubject]] = OrderedDict()

    async def ensure(self, subject: Subject) -> KnownSubject:
        """The row of a verified subject, made if there was none."""
        return self._recall(subject) or await self.current(subject)

    async def current(self, subject: Subject) -> KnownSubject:
        """The same, never from memory: for calls that are not counted in microseconds."""
        known = await self.find(subject)
        if known is None:
            known = await self._create(subject)
        self._remembered[subject] = (self._clock() + REMEMBERED_FOR, known)
        while len(self._remembered) > REMEMBERED:
            self._remembered.popitem(last=False)
        return known

    async def find(self, subject: Subject) -> KnownSubject | None:
        """The row of a subject, if there is one."""
        found = await self._select(subjects_table.c.lookup == self._lookup(subject))
        return found[0] if found else None

    async def get(self, subject_id: UUID, *, within: AsyncConnection | None = None) -> KnownSubject | None:
        """The subject of a row that refers to it; read `within` a transaction that is open already, if one is."""
        condition = subjects_table.c.id == subject_id
        found = await (self._select(condition) if within is None else self._select_in(within, condition))
        return found[0] if found else None

    async def hold(self, connection: AsyncConnection, subject_id: UUID, *, alone: bool = False) -> KnownSubject | None:
        """The subject, not to be erased before the caller's transaction ends; `alone`: nor held by anybody else.

        Whoever locks several rows of one subject takes them in one order: consents under way, the subject,
        connections.
        """
        query = self._query(subjects_table.c.id == subject_id)
        lock = query.with_for_update(of=subjects_table, read=not alone, key_share=not alone)
        row = (await connection.execute(lock)).one_or_none()
        return None if row is None else self._open(row)

    async def erase(self, connection: AsyncConnection, known: KnownSubject) -> None:
        """Delete a subject that is held alone, and their key: what it sealed cannot be read or linked again (E6).

        The event that says so is appended before: the database refuses without it. All that refers to the row goes
        with it; tokens still to be revoked at their provider stay, and say no more whose they were.
        """
        await connection.execute(_ERASE, {"subject_id": known.id})

    def forget(self, subject: Subject) -> None:
        """Remember a subject no longer."""
        self._remembered.pop(subject, None)

    async def by_ids(self, subject_ids: Collection[UUID]) -> dict[UUID, KnownSubject]:
        """These subjects, as far as they are there and open."""
        found = await self._select_openable(subjects_table.c.id.in_(list(subject_ids))) if subject_ids else []
        return {known.id: known for known in found}

    async def find_many(
        self, connection: AsyncConnection, subjects: Collection[Subject]
    ) -> dict[Subject, KnownSubject]:
        """Those of them that have a row. Nothing of it is remembered."""
        condition = subjects_table.c.lookup.in_([self._lookup(subject) for subject in subjects])
        found = await self._select_in(connection, condition) if subjects else []
        return {known.key.subject: known for known in found}

    async def ensure_many(
        self, connection: AsyncConnection, subjects: Collection[Subject]
    ) -> dict[Subject, KnownSubject]:
        """The rows of subjects that the operator vouches for, made where there were none, in the caller's transaction.

        All are held, so that none is erased before it ends. A user who signs in for the first time meanwhile waits
        for that.
        """
        known = await self._held(connection, subjects)
        missing = [subject for subject in dict.fromkeys(subjects) if subject not in known]
        made = await self._insert_many(connection, missing)
        late = [subject for subject in missing if subject not in made]
        if late:
            # Another process was first, and its row is committed: we waited for it.
            made |= await self._held(connection, late)
        return known | made

    async def _held(self, connection: AsyncConnection, subjects: Collection[Subject]) -> dict[Subject, KnownSubject]:
        lookups = [self._lookup(subject) for subject in subjects]
        query = self._query(subjects_table.c.lookup.in_(lookups)).order_by(subjects_table.c.id)
        rows = (await connection.execute(query.with_for_update(of=subjects_table, read=True, key_share=True))).all()
        found = [self._open(row) for row in rows]
        return {known.key.subject: known for known in found}

    async def hold_many(self, connection: AsyncConnection, subject_ids: Collection[UUID]) -> list[UUID]:
        """Hold these subjects as `hold` does, as far as they are still there; gives those."""
        query = select(subjects_table.c.id).where(subjects_table.c.id == func.any(cast(list(subject_ids), ARRAY(Uuid))))
        held = query.order_by(subjects_table.c.id).with_for_update(read=True, key_share=True)
        return list((await connection.execute(held)).scalars())

    async def by_audit_refs(self, refs: Collection[bytes]) -> dict[bytes, SubjectKey]:
        """The keys that open these subjects' events; a subject that was erased, or does not open, is missing."""
        found = await self._select_openable(subjects_table.c.audit_ref.in_(list(refs))) if refs else []
        return {known.key.subject_ref: known.key for known in found}

    def _recall(self, subject: Subject) -> KnownSubject | None:
        remembered = self._remembered.get(subject)
        if remembered is None:
            return None
        if remembered[0] <= self._clock():
            self.forget(subject)
            return None
        return remembered[1]

    def _lookup(self, subject: Subject) -> bytes:
        return self._keyring.lookup("subject", subject.issuer, subject.sub)

    @staticmethod
    def _query(condition: ColumnElement[bool]) -> Select[Any]:
        return (
            select(subjects_table, data_keys_table.c.wrapped)
            # Outer, since a subject whose data key is gone is one that does not open, and not one that is not there.
            .outerjoin(data_keys_table, data_keys_table.c.id == subjects_table.c.data_key_id)
            .where(condition)
        )

    async def _select(self, condition: ColumnElement[bool]) -> list[KnownSubject]:
        async with self._database.transaction() as connection:
            return await self._select_in(connection, condition)

    async def _select_in(self, connection: AsyncConnection, condition: ColumnElement[bool]) -> list[KnownSubject]:
        rows = (await connection.execute(self._query(condition))).all()
        return [self._open(row) for row in rows]

    async def some_after(
        self, connection: AsyncConnection, after: UUID, *, limit: int
    ) -> tuple[list[KnownSubject | CannotOpen], UUID | None]:
        """Subjects in the order of their ids, or why one does not open; and the last one's id, None at the end."""
        query = self._query(subjects_table.c.id > after).order_by(subjects_table.c.id).limit(limit)
        rows = (await connection.execute(query)).all()
        found: list[KnownSubject | CannotOpen] = []
        for row in rows:
            try:
                found.append(self._open(row))
            except CannotOpen as error:
                found.append(CannotOpen(detail=f"{row.id}: {error.detail}"))
        return found, rows[-1].id if rows else None

    async def _select_openable(self, condition: ColumnElement[bool]) -> list[KnownSubject]:
        """Those that open: one altered row must not keep a list of many from being read."""
        async with self._database.transaction() as connection:
            rows = (await connection.execute(self._query(condition))).all()
        found = []
        for row in rows:
            try:
                found.append(self._open(row))
            except CannotOpen as error:
                _log().error("a subject's row does not open", subject_id=str(row.id), detail=error.detail)
        return found

    def _open(self, row: Any) -> KnownSubject:
        if row.wrapped is None:
            raise CannotOpen(detail=f"data key {row.data_key_id} is not there")
        data_key = self._data_keys.unwrap(row.data_key_id, _PURPOSE, row.wrapped)
        document = json.loads(open_sealed(data_key, Sealed(row.sealed), bound=_place(row.id)))
        key = SubjectKey(Subject(document["iss"], document["sub"]), data_key)
        if not hmac.compare_digest(row.lookup, self._lookup(key.subject)):
            raise CannotOpen(detail=f"subject {row.id} is found by the lookup of another")
        if not hmac.compare_digest(row.audit_ref, key.subject_ref):
            raise CannotOpen(detail=f"subject {row.id} carries the audit reference of another")
        return KnownSubject(SubjectId(row.id), key)

    async def _create(self, subject: Subject) -> KnownSubject:
        async with self._database.transaction() as connection:
            known = await self._insert(connection, subject)
        if known is None:
            # Another process was first; its row is committed, or we would still be waiting for it.
            known = await self.find(subject)
        if known is None:
            return await self._create(subject)
        return known

    async def _insert(self, connection: AsyncConnection, subject: Subject) -> KnownSubject | None:
        return (await self._insert_many(connection, [subject])).get(subject)

    async def _insert_many(
        self, connection: AsyncConnection, subjects: Sequence[Subject]
    ) -> dict[Subject, KnownSubject]:
        """The rows that were made; a subject who has one already, or gets one meanwhile, is missing."""
        if not subjects:
            return {}
        data_keys = await self._data_keys.create_many(connection, _PURPOSE, len(subjects))
        made = {uuid4(): SubjectKey(subject, key) for subject, key in zip(subjects, data_keys, strict=True)}
        rows = [
            self._row(row_id, key, data_key) for (row_id, key), data_key in zip(made.items(), data_keys, strict=True)
        ]
        columns = {name: [row[name] for row in rows] for name in rows[0]}
        inserted = set((await connection.execute(_INSERT_MANY, columns)).scalars())
        await self._data_keys.erase(connection, *(row["data_key_id"] for row in rows if row["id"] not in inserted))
        return {made[row_id].subject: KnownSubject(SubjectId(row_id), made[row_id]) for row_id in inserted}

    def _row(self, subject_id: UUID, key: SubjectKey, data_key: Key) -> dict[str, Any]:
        subject = key.subject
        document = json.dumps({"iss": subject.issuer, "sub": subject.sub}).encode()
        return {
            "id": subject_id,
            "lookup": self._lookup(subject),
            "audit_ref": key.subject_ref,
            "data_key_id": data_key.id,
            "sealed": seal(data_key, document, bound=_place(subject_id)).blob,
            "created_at": self._clock(),
        }


def _log() -> structlog.stdlib.BoundLogger:
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger("vaultd.subjects")
    return logger


def _place(subject_id: UUID) -> bytes:
    return bind("subject", 1, subject_id)
