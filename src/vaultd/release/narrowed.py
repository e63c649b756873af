"""Deciding where a token for fewer scopes than the grant's is to leave: found kept beside its connection, or not yet.

Read in the transaction that holds the connections' rows, and only for the asks that need it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import asyncpg

from vaultd.audit.events import Draft
from vaultd.connections.narrowed import AccessToken, Narrowed, NarrowedRow, find_many
from vaultd.connections.sealing import Delivery
from vaultd.errors import CannotOpen, RequestRefused
from vaultd.policy import check_delivery
from vaultd.release.decide import Allowed, Ask, Gone, Narrow, Recorded, Renew, Verdict, heed, left, refused, stale


async def settle_narrowed(
    driver: asyncpg.Connection,
    narrowed: Narrowed,
    entries: Sequence[Ask | Draft],
    verdicts: list[Verdict | Recorded | Gone | None],
    *,
    now: datetime,
) -> None:
    """Settle the verdicts in their places; a `Narrow` stays only where its token is still to be fetched."""
    wanted = {(verdict.row.id, verdict.scopes) for verdict in verdicts if isinstance(verdict, Narrow)}
    if not wanted:
        return
    kept = await find_many(driver, wanted, after=now)
    for place, (entry, verdict) in enumerate(zip(entries, verdicts, strict=True)):
        if isinstance(verdict, Narrow) and isinstance(entry, Ask):
            verdicts[place] = _settle(narrowed, entry, verdict, kept.get((verdict.row.id, verdict.scopes)), now)


def _settle(narrowed: Narrowed, ask: Ask, needed: Narrow, kept: NarrowedRow | None, now: datetime) -> Verdict:
    try:
        delivery, token = narrowed.open(needed.row, kept)
    except CannotOpen as error:
        return refused(ask, error)
    return decide_narrowed(ask, needed, delivery, token, now)


def decide_narrowed(ask: Ask, needed: Narrow, delivery: Delivery, token: AccessToken | None, now: datetime) -> Verdict:
    """The verdict, pure: `token` is the one that is kept and still good, if there is one."""
    failure = ask.narrowing_failed
    if token is None:
        return needed if failure is None else refused(ask, failure)
    if failure is None and stale(ask, token.expires_at, now):
        return needed
    try:
        # What it really carries: a provider may answer with more than it was asked for (A7).
        check_delivery(granted=token.scopes, allowed=ask.allowed, on_wider_grant=ask.on_wider_grant, rules=ask.rules)
        heeded = heed(ask, token.token, failure)
    except RequestRefused as error:
        return refused(ask, error)
    if heeded is None:
        return Renew(needed.row, needed.scopes)
    return Allowed(needed.row, delivery, left(heeded, needed.row, delivery.account_label, token.scopes), token)
