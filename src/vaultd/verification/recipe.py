"""The whole of it, in steps."""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from vaultd.audit import verify as log
from vaultd.connections.pending import PendingGrants
from vaultd.db import Database
from vaultd.keys.data_keys import DataKeys
from vaultd.keys.keyring import Keyring
from vaultd.subjects.store import SubjectStore
from vaultd.verification import rows, subjects
from vaultd.verification.accounts import AccountCheck


@dataclass(slots=True)
class Report:
    """What was read, and what is wrong, each finding naming its row or event."""

    lanes: int = 0
    open_lanes: int = 0
    events: int = 0
    subjects: int = 0
    connections: int = 0
    findings: list[str] = field(default_factory=list)


class Verification:
    """Reads everything once, beside processes that serve. Of subjects it holds the keys of one batch at a time."""

    def __init__(self, *, database: Database, keyring: Keyring, data_keys: DataKeys, subjects: SubjectStore) -> None:
        self._database = database
        self._keyring = keyring
        self._data_keys = data_keys
        self._subjects = subjects
        self._pending = PendingGrants(data_keys=data_keys, keyring=keyring)

    async def __call__(self) -> Report:
        """Verify. Raises `TemporarilyUnavailable`."""
        # 1. the log: dense numbers, an unbroken chain, columns that say what the bytes say
        async with self._database.transaction() as connection:
            chain = await log.verify(connection, self._keyring)
        report = Report(chain.lanes, chain.open_lanes, chain.events, findings=chain.findings)
        # 2. rows by themselves, in a snapshot: what they need may be erased meanwhile, together with them
        async with self._database.snapshot() as connection:
            report.findings += [finding async for finding in rows.data_keys(connection, self._data_keys)]
            report.findings += [finding async for finding in rows.passing(connection, self._keyring, self._pending)]
            report.findings += [finding async for finding in rows.outbox(connection, self._data_keys)]
        # 3. subjects and what they have, held against the log
        await self._accounts(report, chain)
        # 4. subjects that the log names and that are gone
        async with self._database.transaction() as connection:
            report.findings += [finding async for finding in subjects.vanished(connection, chain.believes)]
        return report

    async def _accounts(self, report: Report, chain: log.Report) -> None:
        check = AccountCheck(data_keys=self._data_keys, believes=chain.believes, report=report.findings)
        after: UUID | None = UUID(int=0)
        while after is not None:
            # A snapshot, so that what changes meanwhile is not taken for a difference.
            async with self._database.snapshot() as connection:
                batch, after = await subjects.batch_after(connection, self._subjects, after, report.findings)
                report.subjects += len(batch)
                report.connections += await check.of(connection, batch)
