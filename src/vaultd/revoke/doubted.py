"""Asking a provider whether what it is said to have told is so.

A notice that was heard before, word for word, and in which neither its id nor its time is signed, may be somebody's
recording of an earlier one. What it says can be seen at the provider itself: the token of a grant that was ended there
is no longer good.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from uuid import UUID

from vaultd.connections import store
from vaultd.connections.sealing import data_key_of, open_connection
from vaultd.connections.table import ConnectionRow
from vaultd.db import Database
from vaultd.errors import CannotOpen, InvalidTarget, ProviderRefused, ProviderUnavailable
from vaultd.keys.data_keys import DataKeys
from vaultd.providers.oauth import OAuthClient
from vaultd.providers.registry import Providers
from vaultd.terms import Clock


class Doubted:
    """Asks with the stored access tokens, which spends nothing."""

    def __init__(
        self, *, database: Database, data_keys: DataKeys, providers: Providers, oauth: OAuthClient, clock: Clock
    ) -> None:
        self._database = database
        self._data_keys = data_keys
        self._providers = providers
        self._oauth = oauth
        self._clock = clock

    async def still_ended(self, connection_ids: Collection[UUID]) -> dict[UUID, int]:
        """Those whose grant is over as far as anybody can tell, each with the generation that was asked about.

        Raises:
            TemporarilyUnavailable: the database is away.
        """
        async with self._database.transaction() as connection:
            found = [await store.get(connection, connection_id) for connection_id in connection_ids]
        rows = [row for row in found if row is not None and row.status == "connected"]
        alive = await asyncio.gather(*(self._is_alive(row) for row in rows))
        return {row.id: row.generation for row, lives in zip(rows, alive, strict=True) if not lives}

    async def _is_alive(self, row: ConnectionRow) -> bool:
        if row.expires_at is not None and row.expires_at <= self._clock():
            # It would not be accepted either way. It is not given out either: the refresh before that will tell.
            return True
        try:
            opened = open_connection(data_key_of(row, self._data_keys), row)
            provider = self._providers.get(row.provider).at(opened.metadata)
            # None where no question tells whose token it is; then what was signed stands.
            return await self._oauth.account(provider, access_token=opened.access_token) is not None
        except ProviderRefused as error:
            return error.error != "invalid_token"
        except (CannotOpen, InvalidTarget, ProviderUnavailable):
            # It cannot be asked: what was signed stands. At worst a user connects once more.
            return False
