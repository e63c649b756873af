"""One transaction of the counter: lock the rows, decide, append the events, commit."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from vaultd.audit.events import Draft
from vaultd.audit.log import AuditLog
from vaultd.connections.locked import Locked, lock_for_release
from vaultd.connections.narrowed import Narrowed
from vaultd.release.decide import Allowed, Ask, Gone, Judge, Recorded, Refused, Verdict
from vaultd.release.narrowed import settle_narrowed
from vaultd.subjects.present import Presence, hold_present
from vaultd.terms import Clock

Entry = Ask | Draft
"""An exchange to decide on, or an event that is decided already."""


class Statement:
    """Carries out one batch. A verdict is given only after its event is committed."""

    def __init__(self, *, log: AuditLog, judge: Judge, narrowed: Narrowed, clock: Clock) -> None:
        self._log = log
        self._judge = judge
        self._narrowed = narrowed
        self._clock = clock

    async def run(self, entries: Sequence[Entry]) -> list[Verdict | Recorded | Gone | None]:
        """A verdict for each entry, in order; None where a row is locked by another.

        Raises:
            TemporarilyUnavailable: nothing was committed, or it is not known; nobody gets a token.
        """
        async with self._log.batch() as batch:
            wanted = {(entry.subject_id, entry.provider) for entry in entries if isinstance(entry, Ask)}
            locked = await lock_for_release(batch.driver, wanted) if wanted else _NOTHING_LOCKED
            # A connection that is held keeps its subject; of the others we know only what we remember.
            presence = await hold_present(batch.driver, _only_remembered(entries, locked))
            # Taken while the rows are held, so that no exchange is dated behind a revocation it preceded.
            now = self._clock()
            verdicts = [self._verdict(entry, locked, presence, now) for entry in entries]
            await settle_narrowed(batch.driver, self._narrowed, entries, verdicts, now=now)
            await batch.append([one.draft for one in verdicts if isinstance(one, Allowed | Refused | Recorded)])
        return verdicts

    def _verdict(
        self, entry: Entry, locked: Locked, presence: Presence, now: datetime
    ) -> Verdict | Recorded | Gone | None:
        subject_ref = entry.subject.subject_ref if entry.subject is not None else None
        if subject_ref in presence.erased:
            return Gone()
        if subject_ref in presence.locked:
            return None
        if isinstance(entry, Draft):
            return Recorded(entry)
        rows = locked.rows_of((entry.subject_id, entry.provider))
        return None if rows is None else self._judge.decide(entry, rows, now)


_NOTHING_LOCKED = Locked({}, ())


def _only_remembered(entries: Sequence[Entry], locked: Locked) -> set[bytes]:
    """The subjects that an event is about to be written of while no row of theirs is held."""
    return {
        entry.subject.subject_ref
        for entry in entries
        if entry.subject is not None
        and (isinstance(entry, Draft) or locked.rows_of((entry.subject_id, entry.provider)) == [])
    }
