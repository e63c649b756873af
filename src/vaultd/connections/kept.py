"""Tokens of a connection that its provider refused: kept for a while, so that a wrong verdict can be undone.

They leave their columns, where they would be given out, and are sealed as one under another name, bound to the row that
they were of and to the moment until which they may be used. So whoever makes the row a connected one again has nothing.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from vaultd.connections.lease import told
from vaultd.connections.sealing import (
    Opened,
    Place,
    beside_of,
    open_known,
    open_metadata,
    opened_with,
    seal_connection,
)
from vaultd.connections.table import ConnectionRow, connections_table
from vaultd.errors import CannotOpen
from vaultd.keys.envelope import Key, Sealed, bind, microseconds, open_sealed, seal
from vaultd.terms import Secret

MOST_AT_ONCE = 1_000
"""Rows that are emptied in one go."""
_HEAD = bind("connection", 1, "kept")
_c = connections_table.c


def seal_kept(key: Key, row: ConnectionRow, opened: Opened, until: datetime) -> dict[str, Any]:
    """The columns of a row whose tokens are kept `until` then."""
    tokens = {
        "access_token": opened.access_token.reveal(),
        "refresh_token": None if opened.refresh_token is None else opened.refresh_token.reveal(),
    }
    bound = _bound(row, opened.account_id, until)
    return {"kept": seal(key, json.dumps(tokens).encode(), bound=bound).blob, "kept_until": until}


def kept_for(key: Key, row: ConnectionRow, opened: Opened, *, now: datetime, lasts: timedelta) -> dict[str, Any]:
    """The same for as long as an operator wants what is refused to be kept; nothing where that is no time at all."""
    return seal_kept(key, row, opened, now + lasts) if lasts else {}


def open_kept(key: Key, row: ConnectionRow) -> Opened:
    """What is kept of a broken connection. Raises `CannotOpen`, also where nothing is."""
    if row.kept is None or row.kept_until is None:
        raise CannotOpen(detail="nothing is kept")
    known = open_known(key, row)
    tokens = json.loads(open_sealed(key, Sealed(row.kept), bound=_bound(row, known.account_id, row.kept_until)))
    refresh = tokens["refresh_token"]
    return opened_with(
        known,
        Secret(tokens["access_token"]),
        Secret(refresh) if refresh is not None else None,
        open_metadata(key, row, known),
    )


async def mend(connection: AsyncConnection, row: ConnectionRow, key: Key, opened: Opened, *, now: datetime) -> bool:
    """Make a broken row the connected one that it was, as its next revision; false where it is another by now.

    Where there is something to renew it with, its access token counts as over: nobody is given it before its provider
    has said that the grant is alive.
    """
    expires_at = now if opened.refresh_token is not None else row.expires_at
    place = replace(Place.of(row), revision=row.revision + 1, expires_at=expires_at)
    statement = (
        update(connections_table)
        .where(_c.id == row.id, _c.generation == row.generation, _c.revision == row.revision)
        .where(_c.status == "reconnect_required", _c.kept.is_not(None))
        .values(
            status="connected",
            reason=None,
            revision=place.revision,
            expires_at=place.expires_at,
            renew_at=None,
            kept=None,
            kept_until=None,
            **seal_connection(key, place, beside_of(row), opened),
        )
        .returning(_c.id, told())
    )
    return (await connection.execute(statement)).first() is not None


async def erase_over(connection: AsyncConnection, *, now: datetime) -> list[UUID]:
    """Erase what has been kept for long enough, some of it at least; gives whose it was."""
    over = select(_c.id).where(_c.kept.is_not(None), _c.kept_until <= now).limit(MOST_AT_ONCE)
    statement = (
        update(connections_table)
        .where(_c.id.in_(over.with_for_update(skip_locked=True)))
        .values(kept=None, kept_until=None)
        .returning(_c.id)
    )
    return list((await connection.execute(statement)).scalars())


async def erase_kept(connection: AsyncConnection, connection_ids: Collection[UUID]) -> None:
    """Erase what is kept of these."""
    await connection.execute(
        update(connections_table).where(_c.id.in_(list(connection_ids))).values(kept=None, kept_until=None)
    )


def _bound(row: ConnectionRow, account_id: str, until: datetime) -> bytes:
    others = beside_of(row).bound(has_refresh_token=False, has_metadata=row.provider_metadata is not None)
    return _HEAD + Place.of(row).bound_to(account_id) + others + bind(microseconds(until))
