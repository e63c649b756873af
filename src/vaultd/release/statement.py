"""One transaction of the counter: lock the rows, decide, append the events, commit."""

from __future__ import annotations

from collections.abc import Sequence

from vaultd.audit.events import Draft
from vaultd.audit.log import AuditLog
from vaultd.connections.locked import lock_for_release
from vaultd.connections.narrowed import Narrowed
from vaultd.release.decide import Allowed, Ask, Judge, Recorded, Refused, Verdict
from vaultd.release.narrowed import settle_narrowed
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

    async def run(self, entries: Sequence[Entry]) -> list[Verdict | Recorded | None]:
        """A verdict for each entry, in order; None where a row is locked by another.

        Raises:
            TemporarilyUnavailable: nothing was committed, or it is not known; nobody gets a token.
        """
        async with self._log.batch() as batch:
            wanted = {(entry.subject_id, entry.provider) for entry in entries if isinstance(entry, Ask)}
            locked = await lock_for_release(batch.driver, wanted) if wanted else None
            # Taken while the rows are held, so that no exchange is dated behind a revocation it preceded.
            now = self._clock()
            verdicts: list[Verdict | Recorded | None] = []
            for entry in entries:
                if isinstance(entry, Draft):
                    verdicts.append(Recorded(entry))
                    continue
                rows = locked.rows_of((entry.subject_id, entry.provider)) if locked else []
                verdicts.append(None if rows is None else self._judge.decide(entry, rows, now))
            await settle_narrowed(batch.driver, self._narrowed, entries, verdicts, now=now)
            await batch.append([one.draft for one in verdicts if isinstance(one, Allowed | Refused | Recorded)])
        return verdicts
