"""Data keys: one for each connection generation, pending grant and subject, wrapped by a key of the ring."""

from __future__ import annotations

import os
from collections import OrderedDict
from uuid import UUID, uuid4

from sqlalchemy import Column, ForeignKey, LargeBinary, Table, Text, Uuid, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from vaultd.db import add_rows, metadata
from vaultd.errors import CannotOpen
from vaultd.keys.envelope import KEY_BYTES, Key, Random, Sealed, bind, open_sealed, seal
from vaultd.keys.keyring import Keyring

data_keys_table = Table(
    "data_keys",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("kek_id", Uuid, ForeignKey("keyring.id"), nullable=False),
    Column("purpose", Text, nullable=False),
    Column("wrapped", LargeBinary, nullable=False),
)
_ERASE = text("SELECT vaultd_erase_data_keys(cast(:key_ids AS uuid[]))")

REMEMBERED = 10_000
"""About 10 MB."""


class DataKeys:
    """Makes, opens and erases data keys. Erasing one makes all that it sealed unreadable.

    Keys that were opened are remembered, `REMEMBERED` of them at most, under the very bytes they were opened from: a
    key that was erased or wrapped anew is read from the database as something else, and not found here.
    """

    def __init__(self, keyring: Keyring, *, random: Random = os.urandom) -> None:
        self._keyring = keyring
        self._random = random
        self._opened: OrderedDict[bytes, tuple[UUID, str, Key]] = OrderedDict()

    async def create(self, connection: AsyncConnection, purpose: str) -> Key:
        """Make a key and store it wrapped, in the caller's transaction."""
        (key,) = await self.create_many(connection, purpose, 1)
        return key

    async def create_many(self, connection: AsyncConnection, purpose: str, count: int) -> list[Key]:
        """The same for as many as are needed, in one statement."""
        keys = [Key(uuid4(), self._random(KEY_BYTES)) for _ in range(count)]
        kek = self._keyring.active("kek")
        rows = [
            {"id": key.id, "kek_id": kek.id, "purpose": purpose, "wrapped": self._wrap(key, purpose)} for key in keys
        ]
        await add_rows(connection, data_keys_table, rows)
        return keys

    def _wrap(self, key: Key, purpose: str) -> bytes:
        kek = self._keyring.active("kek")
        return seal(kek, key.material, bound=_place(key.id, purpose), random=self._random).blob

    def unwrap(self, key_id: UUID, purpose: str, wrapped: bytes) -> Key:
        """Open a wrapped key that the caller has read already. Raises `CannotOpen`."""
        known = self._opened.get(wrapped)
        if known is not None and known[0] == key_id and known[1] == purpose:
            return known[2]
        sealed = Sealed(wrapped)
        kek = self._keyring.get(sealed.key_id, "kek")
        key = Key(key_id, open_sealed(kek, sealed, bound=_place(key_id, purpose)))
        self._opened[wrapped] = (key_id, purpose, key)
        if len(self._opened) > REMEMBERED:
            self._opened.popitem(last=False)
        return key

    async def load(self, connection: AsyncConnection, key_id: UUID, purpose: str) -> Key:
        """Read and open one. Raises `CannotOpen`, also when it was erased."""
        query = select(data_keys_table.c.wrapped).where(data_keys_table.c.id == key_id)
        wrapped = (await connection.execute(query)).scalar_one_or_none()
        if wrapped is None:
            raise CannotOpen(detail=f"data key {key_id} is not there")
        return self.unwrap(key_id, purpose, wrapped)

    async def erase(self, connection: AsyncConnection, *key_ids: UUID) -> None:
        """Delete keys, those aside that a row still refers to; nothing they sealed can be opened again."""
        if key_ids:
            await connection.execute(_ERASE, {"key_ids": list(key_ids)})


def _place(key_id: UUID, purpose: str) -> bytes:
    return bind("data_key", 1, key_id, purpose)
