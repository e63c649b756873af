"""Trying each imported refresh token once, by the ordinary refresh, at a bounded rate.

It runs when everything is stored. A token that is no longer good ends its connection in the open: `reconnect_required`
with its event, as it would at its first use. Tokens are bound to the app they were given to (RFC 6749 §10.4), so a
wrong `client_id` makes a provider refuse all of them; after a row of failures a provider is left alone, and what was
not tried stays as it was imported.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID

from vaultd.connections import store
from vaultd.connections.table import ConnectionRow
from vaultd.db import Database
from vaultd.importing.line import Mistake
from vaultd.importing.pace import Pace
from vaultd.refresh import Refresher

IN_A_ROW = 10
"""Failures of one provider, none but failures, after which it is asked no more."""


class Verdict(StrEnum):
    """What became of one connection."""

    RENEWED = "renewed"
    ENDED = "ended"
    NO_ANSWER = "no_answer"
    NOT_TRIED = "not_tried"
    NOTHING_TO_TRY = "nothing_to_try"


@dataclass(slots=True)
class Tried:
    """The result: how many of each, and those lines of which the operator should know."""

    counts: Counter[Verdict] = field(default_factory=Counter)
    findings: list[Mistake] = field(default_factory=list)


class Trial:
    """The use case. `rate` is how many refreshes are begun in a second, and at most so many are under way."""

    def __init__(self, *, database: Database, refresher: Refresher, rate: int) -> None:
        self._database = database
        self._refresher = refresher
        self._rate = rate
        self._pace = Pace(rate)
        self._failures: Counter[str] = Counter()

    async def run(self, stored: Sequence[tuple[int, UUID]], *, tell: Callable[[int], None]) -> Tried:
        """Try them all. Raises `TemporarilyUnavailable` when the database is away; what was tried then stays so."""
        tried = Tried()
        for start in range(0, len(stored), self._rate):
            batch = stored[start : start + self._rate]
            outcomes = await asyncio.gather(*(self._try(connection_id) for _, connection_id in batch))
            for (line, _), (verdict, text) in zip(batch, outcomes, strict=True):
                tried.counts[verdict] += 1
                if verdict in {Verdict.ENDED, Verdict.NO_ANSWER}:
                    tried.findings.append(Mistake(line, text))
            tell(start + len(batch))
        return tried

    async def _try(self, connection_id: UUID) -> tuple[Verdict, str]:
        row = await self._row(connection_id)
        if row is None or row.status != "connected" or row.refresh_token is None:
            return Verdict.NOTHING_TO_TRY, ""
        if self._failures[row.provider] < IN_A_ROW:
            await self._pace.wait()
        # Asked after the wait, since others have failed meanwhile.
        if self._failures[row.provider] >= IN_A_ROW:
            return Verdict.NOT_TRIED, ""
        refusal = await self._refresher.refresh(row)
        after = await self._row(connection_id)
        if after is not None and after.status == "reconnect_required":
            self._failures[row.provider] += 1
            return Verdict.ENDED, f"the refresh token is no longer good ({after.reason}); the user must connect again"
        if refusal is not None:
            self._failures[row.provider] += 1
            return Verdict.NO_ANSWER, f"the refresh token could not be tried ({refusal.reason}); it stays as it is"
        self._failures[row.provider] = 0
        return Verdict.RENEWED, ""

    async def _row(self, connection_id: UUID) -> ConnectionRow | None:
        async with self._database.transaction() as connection:
            return await store.get(connection, connection_id)
