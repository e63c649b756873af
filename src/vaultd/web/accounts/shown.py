"""Connections as their owner sees them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from vaultd.audit.events import rfc3339
from vaultd.connections import listing, store
from vaultd.connections.sealing import Known, data_key_of, open_known
from vaultd.connections.table import ConnectionRow
from vaultd.db import Database
from vaultd.errors import CannotOpen, NotFound
from vaultd.keys.data_keys import DataKeys
from vaultd.terms import Clock

Page = tuple[list[dict[str, Any]], str | None]


class Accounts:
    """Renders connections for their owner."""

    def __init__(self, *, database: Database, data_keys: DataKeys, clock: Clock) -> None:
        self._database = database
        self._data_keys = data_keys
        self._clock = clock

    async def page(self, subject_id: UUID, *, provider: str | None, cursor: str | None, take: int) -> Page:
        """Some of a user's accounts, oldest first, and the cursor of the next page. Raises `ForeignCursor`."""
        wanted = listing.OwnQuery(subject_id=subject_id, provider=provider, cursor=cursor, limit=take)
        async with self._database.transaction() as connection:
            rows, following = await listing.own_page(connection, wanted)
        return [self._view(row) for row in rows], following

    async def made(self, connection_id: UUID) -> dict[str, Any]:
        """An account that was connected just now. Raises `NotFound` where it is gone again."""
        async with self._database.transaction() as connection:
            row = await store.get(connection, connection_id)
        if row is None:
            raise NotFound
        return _connected(row) | _ends(row, self._known(row))

    def _view(self, row: ConnectionRow) -> dict[str, Any]:
        broken, known = row.broken(self._clock()) is not None, self._known(row)
        view = _connected(row) | {
            "status": "reconnect_required" if broken else "connected",
            "account": known.account_label if known else "",
        }
        if not broken:
            view |= _ends(row, known)
        # No time of day: the day is all that is noted.
        return view | ({"last_used_at": f"{row.last_used_on}T00:00:00Z"} if row.last_used_on else {})

    def _known(self, row: ConnectionRow) -> Known | None:
        try:
            return open_known(data_key_of(row, self._data_keys), row)
        except CannotOpen:
            return None


def _connected(row: ConnectionRow) -> dict[str, Any]:
    return {
        "id": str(row.id),
        "connection": row.provider,
        "access_type": "offline",
        "scopes": sorted(row.granted_scopes),
        "created_at": rfc3339(row.created_at),
    }


def _ends(row: ConnectionRow, known: Known | None) -> dict[str, Any]:
    """When the account needs its user again. A token that vaultd renews by itself is no end of it.

    That is what clients of Auth0's API take `expires_at` for; and so a list stays as it is through every refresh, and
    whoever keeps it by its ETag need not fetch it again. A refresh token whose end no refresh moves is one.
    """
    ends = row.expires_at
    if row.refresh_token is not None:
        end = known.refresh_end if known else None
        ends = end.at if end is not None and end.fixed else None
    return {"expires_at": rfc3339(ends)} if ends is not None else {}
