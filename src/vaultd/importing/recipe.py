"""The recipe: check all lines, store all lines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import BinaryIO, TypeAlias
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from vaultd.audit.log import AuditLog
from vaultd.connections.imported import Conflict, ImportedGrants, Owned
from vaultd.connections.sealing import UNNAMED_ACCOUNT
from vaultd.db import Database
from vaultd.errors import ConfigurationError
from vaultd.importing.accounts import Accounts
from vaultd.importing.claims import Claims
from vaultd.importing.line import Line, LineReader, LineRefused, Mistake
from vaultd.importing.source import numbered_lines
from vaultd.importing.spool import Spool
from vaultd.subjects.store import KnownSubject, SubjectStore
from vaultd.terms import Clock, Subject

CHUNK = 500
"""Lines that are in memory, and rows that go to the database, at a time."""

_AGAINST = MappingProxyType(
    {
        Conflict.CONNECTED: "this account is connected here already; leave the line out",
        Conflict.DISCONNECTED: (
            "the user disconnected this account here; leave the line out, and have them connect it again if they want"
        ),
        Conflict.CANNOT_TELL: (
            "the user has a connection at this provider, and nothing says whether it is the same account;"
            ' write account = {"id": …} as the provider names it, or leave the line out'
        ),
        Conflict.ACCOUNT_LIMIT: (
            'the user has another account at this provider, which has accounts = "single"; leave the line out'
        ),
    }
)


class Stage(StrEnum):
    """What is being done, for whoever shows progress."""

    READING = "Reading"
    ASKING = "Asking the providers for accounts"
    COMPARING = "Comparing with what is stored"
    STORING = "Storing"
    TRYING = "Trying the refresh tokens"


Tell: TypeAlias = Callable[[Stage, int], None]
"""Called with how many lines this stage has behind it."""


@dataclass(frozen=True, slots=True)
class Checked:
    """The result of checking. Only without mistakes may it be stored. `familiar` are the subjects with a row."""

    spool: Spool
    lines: int
    unnamed: int
    mistakes: Sequence[Mistake]
    familiar: frozenset[UUID]


@dataclass(slots=True)
class _Compared:
    """How many accounts have no name, what stands against lines in the database, and who has a row there."""

    unnamed: int = 0
    mistakes: list[Mistake] = field(default_factory=list)
    familiar: set[UUID] = field(default_factory=set)


class Changed(Exception):
    """Something came in between the check and the storing; nothing was stored."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        self.mistakes = mistakes
        super().__init__(f"{len(mistakes)} lines")


class Importer:
    """The use case. Nobody's consent is asked for: who runs it vouches for what is in the file."""

    def __init__(
        self,
        *,
        database: Database,
        log: AuditLog,
        subjects: SubjectStore,
        grants: ImportedGrants,
        reader: LineReader,
        clock: Clock,
    ) -> None:
        self._database = database
        self._log = log
        self._subjects = subjects
        self._grants = grants
        self._reader = reader
        self._clock = clock

    async def check(self, file: BinaryIO, *, stack: ExitStack, tell: Tell, accounts: Accounts | None = None) -> Checked:
        """Check every line. Stores nothing. With `accounts`, providers are asked when all lines are right as such.

        Raises:
            ConfigurationError: the file is no text of lines.
            TemporarilyUnavailable: the database is away.
        """
        spool = stack.enter_context(Spool())
        lines, mistakes = self._read(file, spool, Claims(unnamed_alone=accounts is None), tell)
        if accounts is not None and not mistakes:
            named = stack.enter_context(Spool())
            mistakes += await self._name(spool, named, accounts, tell)
            spool = named
        # Before all accounts are known, what is stored cannot be compared with them.
        compared = _Compared()
        if accounts is None or not mistakes:
            await self._compare(spool, compared, tell)
            mistakes += compared.mistakes
        in_order = sorted(mistakes, key=lambda mistake: mistake.line)
        return Checked(spool, lines, compared.unnamed, in_order, frozenset(compared.familiar))

    async def store(self, checked: Checked, *, tell: Tell) -> list[tuple[int, UUID]]:
        """Store every line, or none. Gives each line's number with its connection.

        Raises:
            Changed: meanwhile an account was connected or disconnected that a line is about; nothing was stored.
            ConfigurationError: another import is under way; nothing was stored.
            TemporarilyUnavailable: nothing was stored, or, if the database was lost at the very end, all of it.
        """
        stored: list[tuple[int, UUID]] = []
        async with self._log.transaction() as transaction:
            connection = transaction.connection
            await _alone(connection)
            await self._grants.hold(connection, await self._subjects.hold_many(connection, checked.familiar))
            for chunk in checked.spool.chunks(CHUNK):
                known = await self._subjects.ensure_many(connection, [line.subject for line in chunk])
                ids = await self._grants.bring_in(transaction, _owned(chunk, known))
                if isinstance(ids, dict):
                    raise Changed([Mistake(chunk[place].number, _AGAINST[why]) for place, why in ids.items()])
                stored += [(line.number, connection_id) for line, connection_id in zip(chunk, ids, strict=True)]
                tell(Stage.STORING, len(stored))
        return stored

    def _read(self, file: BinaryIO, spool: Spool, claims: Claims, tell: Tell) -> tuple[int, list[Mistake]]:
        now, lines = self._clock(), 0
        mistakes: list[Mistake] = []
        for number, raw in numbered_lines(file):
            lines += 1
            try:
                if isinstance(raw, LineRefused):
                    raise raw
                line = self._reader.read(raw, number=number, now=now)
                _claim(claims, line)
                spool.put(line)
            except LineRefused as refused:
                mistakes += [Mistake(number, said) for said in refused.texts]
            if lines % CHUNK == 0:
                tell(Stage.READING, lines)
        tell(Stage.READING, lines)
        return lines, mistakes

    async def _name(self, spool: Spool, named: Spool, accounts: Accounts, tell: Tell) -> list[Mistake]:
        """Fill `named` with the lines and the accounts that the providers told."""
        mistakes: list[Mistake] = []
        claims, done = Claims(unnamed_alone=True), 0
        for chunk in spool.chunks(accounts.rate):
            for line, answer in zip(chunk, await accounts.name(chunk), strict=True):
                try:
                    if isinstance(answer, LineRefused):
                        raise answer
                    _claim(claims, answer)
                    named.put(answer)
                except LineRefused as refused:
                    mistakes += [Mistake(line.number, said) for said in refused.texts]
            done += len(chunk)
            tell(Stage.ASKING, done)
        return mistakes

    async def _compare(self, spool: Spool, compared: _Compared, tell: Tell) -> None:
        done = 0
        for chunk in spool.chunks(CHUNK):
            compared.unnamed += sum(line.imported.account_id == UNNAMED_ACCOUNT for line in chunk)
            async with self._database.transaction() as connection:
                known = await self._subjects.find_many(connection, {line.subject for line in chunk})
                # Who has no row has no connection.
                familiar = [line for line in chunk if line.subject in known]
                conflicts = await self._grants.conflicts(connection, _owned(familiar, known))
            compared.familiar |= {subject.id for subject in known.values()}
            compared.mistakes += [Mistake(familiar[place].number, _AGAINST[why]) for place, why in conflicts.items()]
            done += len(chunk)
            tell(Stage.COMPARING, done)


def _claim(claims: Claims, line: Line) -> None:
    against = claims.claim(line)
    if against:
        raise LineRefused(against)


def _owned(lines: Sequence[Line], known: dict[Subject, KnownSubject]) -> list[Owned]:
    return [Owned(known[line.subject].id, known[line.subject].key, line.imported) for line in lines]


async def _alone(connection: AsyncConnection) -> None:
    # Two imports that make the same users in another order would wait for each other.
    free = await connection.execute(text("SELECT name FROM locks WHERE name = 'import' FOR UPDATE SKIP LOCKED"))
    if free.first() is None:
        raise ConfigurationError("Another import is under way. Nothing was stored; run this one when it has ended.")
