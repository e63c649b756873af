"""A connection's secrets on their way out: to the outbox and nowhere else (C7)."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from vaultd.connections import narrowed, outbox, store
from vaultd.connections.kept import open_kept
from vaultd.connections.sealing import PURPOSE, data_key_of, known_account, open_connection
from vaultd.connections.table import ConnectionRow
from vaultd.errors import CannotOpen
from vaultd.keys.data_keys import DataKeys
from vaultd.terms import Clock


class Secrets:
    """Empties rows that the caller holds."""

    def __init__(self, *, data_keys: DataKeys, clock: Clock) -> None:
        self._data_keys = data_keys
        self._clock = clock

    async def move(self, connection: AsyncConnection, row: ConnectionRow, *, subject_id: UUID | None) -> str | None:
        """Move all tokens of a locked row to the outbox, under `subject_id`; gives the account's label."""
        if row.status != "connected" and row.kept is None:
            await self._erase_key(connection, row)
            return None
        try:
            key = data_key_of(row, self._data_keys)
            # What its provider refused may be alive all the same, as long as it could be tried again.
            opened = open_connection(key, row) if row.kept is None else open_kept(key, row)
        except CannotOpen:
            # Altered bytes cannot be revoked at the provider, but they must not keep the user from disconnecting.
            await self._erase_key(connection, row)
            return None
        now = self._clock()
        narrower = await narrowed.take(connection, key, row, opened.account_id, now=now)
        # A row of the outbox takes its key along when it is done, so each token has one of its own.
        own_keys = [await self._data_keys.create(connection, PURPOSE) for _ in narrower]
        moved = [(key, opened.access_token, opened.refresh_token)]
        moved += [(own_key, token, None) for own_key, token in zip(own_keys, narrower, strict=True)]
        for sealing_key, access_token, refresh_token in moved:
            await outbox.put(
                connection,
                provider=row.provider,
                subject_id=subject_id,
                key=sealing_key,
                access_token=access_token,
                refresh_token=refresh_token,
                metadata=opened.metadata,
                account_id=known_account(opened.account_id),
                now=now,
            )
        return opened.account_label

    async def _erase_key(self, connection: AsyncConnection, row: ConnectionRow) -> None:
        if row.data_key_id is not None:
            await store.forget_key(connection, row)
            await self._data_keys.erase(connection, row.data_key_id)
