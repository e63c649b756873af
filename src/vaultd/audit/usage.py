"""How often and by whom a subject's connections were used lately, counted from the log itself.

It is counted by columns, in the database: to hold up to 10,000 events against their chains costs more than a page may.
So whoever writes into the database can make a use appear here. The list of events beside it shows theirs as not of this
vault, and `vaultd audit verify` names each.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from sqlalchemy import Date, cast, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from vaultd.audit.events import EventType
from vaultd.audit.lane import events_table

WINDOW = 30
"""Days, today among them."""
MOST = 10_000
"""Events that one look reads at most, so that a busy user's page costs no more than another's."""
_c = events_table.c


@dataclass(frozen=True, slots=True)
class Use:
    """The uses of one connection by one client on one day (UTC)."""

    connection_ref: bytes
    client_id: str | None
    day: date
    count: int
    last: datetime


@dataclass(frozen=True, slots=True)
class Usage:
    """What was found since the day `since`; `whole` unless there were more events than one look reads."""

    uses: tuple[Use, ...]
    since: date
    whole: bool


async def usage_of(connection: AsyncConnection, subject_ref: bytes, *, now: datetime, most: int = MOST) -> Usage:
    """One statement over the subject's newest events: by their index, at most `most` of them."""
    first = now.astimezone(UTC).date() - timedelta(days=WINDOW - 1)
    newest = (
        select(_c.at, _c.type, _c.client_id, _c.connection_ref)
        .where(_c.subject_ref == subject_ref, _c.period >= first.replace(day=1))
        .where(_c.at >= datetime(first.year, first.month, first.day, tzinfo=UTC))
        .order_by(_c.period.desc(), _c.at.desc())
        .limit(most + 1)
        .subquery()
    )
    used = newest.c.type == EventType.TOKEN_EXCHANGED
    day = cast(func.timezone("UTC", newest.c.at), Date)
    groups = (used, newest.c.connection_ref, newest.c.client_id, day)
    count, oldest, last = func.count(), func.min(newest.c.at), func.max(newest.c.at)
    rows = (await connection.execute(select(*groups, count, oldest, last).group_by(*groups))).all()
    whole = sum(row[4] for row in rows) <= most
    uses = tuple(Use(row[1], row[2], row[3], row[4], row[6]) for row in rows if row[0] and row[1] is not None)
    return Usage(uses, first if whole else min(row[5] for row in rows).astimezone(UTC).date(), whole)


async def last_use(connection: AsyncConnection, connection_ref: bytes) -> tuple[str | None, datetime] | None:
    """Who used a connection last, and when, however long ago; None where its last events are none."""
    newest = (
        select(_c.at, _c.type, _c.client_id)
        .where(_c.connection_ref == connection_ref)
        .order_by(_c.period.desc(), _c.at.desc())
        .limit(MOST)
        .subquery()
    )
    query = select(newest.c.client_id, newest.c.at).where(newest.c.type == EventType.TOKEN_EXCHANGED)
    row = (await connection.execute(query.order_by(newest.c.at.desc()).limit(1))).first()
    return None if row is None else (row.client_id, row.at)
