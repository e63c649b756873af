"""The subject table: found by a keyed hash, sealed under the subject's own erasable key (data.md).

A row is made only for a verified subject. What is known of a subject is kept in memory for a minute at most,
so that erasure is felt by every process within that time.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from sqlalchemy import Column, DateTime, ForeignKey, LargeBinary, Select, Table, Uuid, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.elements import ColumnElement

from vaultd.audit.subject_key import SubjectKey
from vaultd.db import Database, metadata
from vaultd.keys.data_keys import DataKeys, data_keys_table
from vaultd.keys.envelope import Sealed, bind, open_sealed, seal
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
        known = self._recall(subject)
        if known is not None:
            return known
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
        found = await self._select(subjects_table.c.id == subject_id, within)
        return found[0] if found else None

    async def by_audit_refs(self, refs: Collection[bytes]) -> dict[bytes, SubjectKey]:
        """The keys that open these subjects' events; an erased subject is missing."""
        found = await self._select(subjects_table.c.audit_ref.in_(list(refs))) if refs else []
        return {known.key.subject_ref: known.key for known in found}

    def _recall(self, subject: Subject) -> KnownSubject | None:
        remembered = self._remembered.get(subject)
        if remembered is None or remembered[0] <= self._clock():
            return None
        return remembered[1]

    def _lookup(self, subject: Subject) -> bytes:
        return self._keyring.lookup("subject", subject.issuer, subject.sub)

    async def _select(
        self, condition: ColumnElement[bool], within: AsyncConnection | None = None
    ) -> list[KnownSubject]:
        query: Select[tuple[UUID, UUID, bytes, bytes]] = (
            select(
                subjects_table.c.id, subjects_table.c.data_key_id, subjects_table.c.sealed, data_keys_table.c.wrapped
            )
            .join(data_keys_table, data_keys_table.c.id == subjects_table.c.data_key_id)
            .where(condition)
        )
        if within is not None:
            rows = (await within.execute(query)).all()
        else:
            async with self._database.transaction() as connection:
                rows = (await connection.execute(query)).all()
        return [self._open(row.id, row.data_key_id, row.sealed, row.wrapped) for row in rows]

    def _open(self, subject_id: UUID, data_key_id: UUID, sealed: bytes, wrapped: bytes) -> KnownSubject:
        data_key = self._data_keys.unwrap(data_key_id, _PURPOSE, wrapped)
        document = json.loads(open_sealed(data_key, Sealed(sealed), bound=_place(subject_id)))
        return KnownSubject(SubjectId(subject_id), SubjectKey(Subject(document["iss"], document["sub"]), data_key))

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
        subject_id = uuid4()
        data_key = await self._data_keys.create(connection, _PURPOSE)
        key = SubjectKey(subject, data_key)
        document = json.dumps({"iss": subject.issuer, "sub": subject.sub}).encode()
        statement = (
            insert(subjects_table)
            .values(
                id=subject_id,
                lookup=self._lookup(subject),
                audit_ref=key.subject_ref,
                data_key_id=data_key.id,
                sealed=seal(data_key, document, bound=_place(subject_id)).blob,
                created_at=self._clock(),
            )
            .on_conflict_do_nothing(index_elements=["lookup"])
            .returning(subjects_table.c.id)
        )
        if (await connection.execute(statement)).first() is None:
            await self._data_keys.erase(connection, data_key.id)
            return None
        return KnownSubject(SubjectId(subject_id), key)


def _place(subject_id: UUID) -> bytes:
    return bind("subject", 1, subject_id)
