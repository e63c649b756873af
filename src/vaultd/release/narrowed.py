"""Deciding where a token for fewer scopes than the grant's is to leave: found kept beside its connection, or not yet.

Read in the transaction that holds the connections' rows, and only for the asks that need it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from vaultd.connections.narrowed import AccessToken, Narrowed, NarrowedRow, find
from vaultd.errors import CannotOpen, InvalidScope
from vaultd.policy import check_delivery
from vaultd.release.decide import Allowed, Ask, Narrow, Verdict, left, refused, stale


async def settle_narrowed(
    connection: AsyncConnection,
    narrowed: Narrowed,
    asks: Sequence[Ask],
    verdicts: Sequence[Verdict | None],
    *,
    now: datetime,
) -> list[Verdict | None]:
    """The same verdicts; a `Narrow` stays only where its token is still to be fetched."""
    wanted = {(verdict.row.id, verdict.scopes) for verdict in verdicts if isinstance(verdict, Narrow)}
    if not wanted:
        return list(verdicts)
    kept = await find(connection, wanted, after=now)
    return [
        _settle(narrowed, ask, verdict, kept.get((verdict.row.id, verdict.scopes)), now)
        if isinstance(verdict, Narrow)
        else verdict
        for ask, verdict in zip(asks, verdicts, strict=True)
    ]


def _settle(narrowed: Narrowed, ask: Ask, needed: Narrow, kept: NarrowedRow | None, now: datetime) -> Verdict:
    try:
        label, token = narrowed.label_and_token(needed.row, kept)
    except CannotOpen as error:
        return refused(ask, error)
    return decide_narrowed(ask, needed, label, token, now)


def decide_narrowed(ask: Ask, needed: Narrow, label: str, token: AccessToken | None, now: datetime) -> Verdict:
    """The verdict, pure: `token` is the one that is kept and still good, if there is one."""
    failure = ask.narrowing_failed
    if token is None:
        return needed if failure is None else refused(ask, failure)
    if failure is None and stale(ask, token.expires_at, now):
        return needed
    try:
        # What it really carries: a provider may answer with more than it was asked for (A7).
        check_delivery(granted=token.scopes, allowed=ask.allowed, on_wider_grant=ask.on_wider_grant)
    except InvalidScope as error:
        return refused(ask, error)
    return Allowed(needed.row, label, left(ask, needed.row, label, token.scopes), token)
