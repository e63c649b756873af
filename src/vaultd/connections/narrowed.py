"""Tokens for fewer scopes than their grant has, kept sealed until they end (security A7).

A row stands for what was asked for: its `scopes` are the key under which it is found again. What the provider really
gave is sealed together with the token, and that is what leaves and what the log says. The data key is the one of the
connection's generation, so that no row outlives a consent.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID

import asyncpg
from sqlalchemy import BigInteger, Column, DateTime, ForeignKey, LargeBinary, Table, Text, Uuid, delete, select, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from vaultd.connections.sealing import Delivery, data_key_of, open_delivery
from vaultd.connections.table import ConnectionRow
from vaultd.db import metadata
from vaultd.errors import CannotOpen
from vaultd.keys.data_keys import DataKeys
from vaultd.keys.envelope import Key, Random, Sealed, bind, microseconds, open_sealed, seal
from vaultd.terms import Scopes, Secret

narrowed_table = Table(
    "narrowed_tokens",
    metadata,
    Column("connection_id", Uuid, ForeignKey("connections.id", ondelete="CASCADE"), primary_key=True),
    Column("scopes", Text, primary_key=True),
    Column("generation", BigInteger, nullable=False),
    Column("expires_at", DateTime(timezone=True)),
    Column("access_token", LargeBinary, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
)
_n = narrowed_table.c
_FORMAT = 1
_FIND = """
SELECT n.connection_id, n.scopes, n.generation, n.expires_at, n.access_token
FROM unnest($1::uuid[], $2::text[]) AS wanted (connection_id, scopes)
JOIN narrowed_tokens n ON n.connection_id = wanted.connection_id AND n.scopes = wanted.scopes
WHERE n.expires_at > $3
"""

Wanted: TypeAlias = tuple[UUID, Scopes]
"""A connection's id and the scopes that its token is to carry."""


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A token in the clear, for as short a time as possible, with what it carries."""

    token: Secret
    scopes: Scopes
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Place:
    """What a narrowed token's sealed bytes are bound to (security D2). `scopes` are those that were asked for."""

    connection_id: UUID
    subject_id: UUID
    provider: str
    account_id: str
    generation: int
    scopes: Scopes
    expires_at: datetime

    @classmethod
    def of(cls, row: ConnectionRow, account_id: str, scopes: Scopes, expires_at: datetime) -> Place:
        """The place beside a connection's row."""
        return cls(row.id, row.subject_id, row.provider, account_id, row.generation, scopes, expires_at)

    def bound(self) -> bytes:
        """The associated data."""
        return bind(
            "narrowed",
            _FORMAT,
            self.connection_id,
            self.subject_id,
            self.provider,
            self.account_id,
            self.generation,
            str(self.scopes),
            microseconds(self.expires_at),
        )


@dataclass(frozen=True, slots=True)
class NarrowedRow:
    """One row as it stands in the database."""

    connection_id: UUID
    scopes: Scopes
    generation: int
    expires_at: datetime
    access_token: bytes


def seal_narrowed(key: Key, place: Place, token: Secret, carries: Scopes, *, random: Random = os.urandom) -> bytes:
    """The sealed column of a row."""
    document = json.dumps({"access_token": token.reveal(), "scopes": sorted(carries)})
    return seal(key, document.encode(), bound=place.bound(), random=random).blob


def open_narrowed(key: Key, place: Place, blob: bytes) -> AccessToken:
    """The inverse. Raises `CannotOpen`."""
    document = json.loads(open_sealed(key, Sealed(blob), bound=place.bound()))
    return AccessToken(Secret(document["access_token"]), Scopes(document["scopes"]), place.expires_at)


class Narrowed:
    """Opens narrowed tokens beside their connections."""

    def __init__(self, *, data_keys: DataKeys) -> None:
        self._data_keys = data_keys

    def open(self, row: ConnectionRow, kept: NarrowedRow | None) -> tuple[Delivery, AccessToken | None]:
        """What of a connection leaves, and its narrowed token where there is one of its generation.

        Raises:
            CannotOpen: it, or any field of the connection, is not what it was.
        """
        key = data_key_of(row, self._data_keys)
        delivery = open_delivery(key, row)
        if kept is None or kept.generation != row.generation:
            return delivery, None
        place = Place.of(row, delivery.account_id, kept.scopes, kept.expires_at)
        return delivery, open_narrowed(key, place, kept.access_token)


async def find(
    connection: AsyncConnection, wanted: Collection[Wanted], *, after: datetime
) -> Mapping[Wanted, NarrowedRow]:
    """Those of these tokens that are kept and end after a moment."""
    pairs = [(connection_id, str(scopes)) for connection_id, scopes in wanted]
    query = select(narrowed_table).where(tuple_(_n.connection_id, _n.scopes).in_(pairs), _n.expires_at > after)
    rows = [_row(row) for row in (await connection.execute(query)).mappings()]
    return {(row.connection_id, row.scopes): row for row in rows}


async def find_many(
    driver: asyncpg.Connection, wanted: Collection[Wanted], *, after: datetime
) -> Mapping[Wanted, NarrowedRow]:
    """The same over the driver's own connection, for a batch at the release counter."""
    pairs = list(wanted)
    records = await driver.fetch(_FIND, [pair[0] for pair in pairs], [str(pair[1]) for pair in pairs], after)
    rows = [_row(record) for record in records]
    return {(row.connection_id, row.scopes): row for row in rows}


async def keep(
    connection: AsyncConnection, key: Key, place: Place, token: Secret, carries: Scopes, *, now: datetime
) -> None:
    """Keep a token in place of the one before it. The connection's other tokens that have ended are forgotten."""
    await connection.execute(
        delete(narrowed_table).where(_n.connection_id == place.connection_id, _n.expires_at <= now)
    )
    values = {
        "generation": place.generation,
        "expires_at": place.expires_at,
        "access_token": seal_narrowed(key, place, token, carries),
        "created_at": now,
    }
    identity = {"connection_id": place.connection_id, "scopes": str(place.scopes)}
    await connection.execute(
        insert(narrowed_table)
        .values(**identity, **values)
        .on_conflict_do_update(index_elements=list(identity), set_=values)
    )


async def forget(connection: AsyncConnection, connection_id: UUID) -> None:
    """Forget all of a connection's tokens."""
    await connection.execute(delete(narrowed_table).where(_n.connection_id == connection_id))


async def take(
    connection: AsyncConnection, key: Key, row: ConnectionRow, account_id: str, *, now: datetime
) -> list[Secret]:
    """Forget a connection's tokens that are still good, and give them, for their revocation."""
    good = delete(narrowed_table).where(
        _n.connection_id == row.id, _n.generation == row.generation, _n.expires_at > now
    )
    taken = [_row(found) for found in (await connection.execute(good.returning(narrowed_table))).mappings()]
    tokens = (_opened_or_none(key, row, account_id, kept) for kept in taken)
    return [token for token in tokens if token is not None]


def _opened_or_none(key: Key, row: ConnectionRow, account_id: str, kept: NarrowedRow) -> Secret | None:
    """Altered bytes cannot be revoked at the provider, but they must not keep the user from disconnecting."""
    try:
        return open_narrowed(key, Place.of(row, account_id, kept.scopes, kept.expires_at), kept.access_token).token
    except CannotOpen:
        return None


def _row(found: Any) -> NarrowedRow:
    return NarrowedRow(
        found["connection_id"],
        Scopes.parse(found["scopes"]),
        found["generation"],
        found["expires_at"],
        found["access_token"],
    )
