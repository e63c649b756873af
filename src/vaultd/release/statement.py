"""One transaction of the counter: lock the rows, decide, append the events, commit."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from uuid import UUID

from vaultd.audit.log import AuditLog
from vaultd.connections.narrowed import Narrowed
from vaultd.connections.store import exist, lock_for_release
from vaultd.connections.table import ConnectionRow
from vaultd.release.decide import Allowed, Ask, Judge, Refused, Verdict
from vaultd.release.narrowed import settle_narrowed
from vaultd.terms import Clock


class Statement:
    """Carries out one batch. A verdict is given only after its event is committed."""

    def __init__(self, *, log: AuditLog, judge: Judge, narrowed: Narrowed, clock: Clock) -> None:
        self._log = log
        self._judge = judge
        self._narrowed = narrowed
        self._clock = clock

    async def run(self, asks: Sequence[Ask]) -> list[Verdict | None]:
        """A verdict for each ask, in order; None where a row is locked by another.

        Raises:
            TemporarilyUnavailable: nothing was committed, or it is not known; nobody gets a token.
        """
        async with self._log.transaction() as transaction:
            wanted = {(ask.subject_id, ask.provider) for ask in asks}
            found: dict[tuple[UUID, str], list[ConnectionRow]] = defaultdict(list)
            expected: dict[tuple[UUID, str], int] = {}
            for row, siblings in await lock_for_release(transaction.connection, wanted):
                found[row.subject_id, row.provider].append(row)
                expected[row.subject_id, row.provider] = siblings
            unseen = wanted - expected.keys()
            hidden = await exist(transaction.connection, unseen) if unseen else set()
            # Taken while the rows are held, so that no exchange is dated behind a revocation it preceded.
            now = self._clock()
            verdicts: list[Verdict | None] = []
            for ask in asks:
                pair = (ask.subject_id, ask.provider)
                complete = pair not in hidden and len(found[pair]) == expected.get(pair, 0)
                verdicts.append(self._judge.decide(ask, found[pair], now) if complete else None)
            verdicts = await settle_narrowed(transaction.connection, self._narrowed, asks, verdicts, now=now)
            drafts = [verdict.draft for verdict in verdicts if isinstance(verdict, Allowed | Refused)]
            await transaction.append(*drafts)
        return verdicts
