"""The part of an ordered list that makes one page: so many rows, and of large ones fewer.

The database adds up the sizes, so that what does not fit on the page is not even sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Column, ColumnElement, Select, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from vaultd.sizes import PAGE

_SIZE, _BEFORE, _FOUND = "portion_size", "portion_before", "portion_found"


async def portion(
    connection: AsyncConnection,
    statement: Select[Any],
    *,
    order: Sequence[Column[Any]],
    descending: bool = False,
    size: ColumnElement[int],
    limit: int,
    room: int = PAGE,
) -> tuple[list[dict[str, Any]], bool]:
    """The first rows, and whether there are more behind them.

    At most `limit` of them, and no more than `room` takes by `size`, in bytes; the first one always.
    """
    first = _in_order(statement.add_columns(size.label(_SIZE)), order, descending=descending)
    found = first.limit(limit + 1).subquery()
    places = [found.corresponding_column(column) for column in order]
    ordered = [place.desc() if descending else place for place in places if place is not None]
    before = func.sum(found.c[_SIZE]).over(order_by=ordered, rows=(None, -1))
    added = select(found, before.label(_BEFORE), func.count().over().label(_FOUND)).subquery()
    fits = or_(added.c[_BEFORE].is_(None), added.c[_BEFORE] + added.c[_SIZE] <= room)
    ends = [added.corresponding_column(place) for place in places if place is not None]
    final = select(added).where(fits).order_by(*(end.desc() if descending else end for end in ends if end is not None))
    rows = (await connection.execute(final)).mappings().all()
    kept = [{name: row[added.c[name]] for name in statement.selected_columns.keys()} for row in rows[:limit]]  # noqa: SIM118
    return kept, bool(rows) and rows[0][_FOUND] > len(kept)


def _in_order(statement: Select[Any], order: Sequence[Column[Any]], *, descending: bool) -> Select[Any]:
    return statement.order_by(*(column.desc() if descending else column for column in order))
