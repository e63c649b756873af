"""The keyring: wrapped keys in the database, opened once at start (security D1, D4).

Purposes: `kek` wraps data keys, `chain` keys the audit lanes, `lookup` keys the hashes by which subjects and
accounts are found and, by a key derived from it, the MACs of rows that seal nothing, `signing` signs vaultd's own
access tokens. Each row carries a check value, so that a wrong root key is noticed before anything is written.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID, uuid4

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy import Column, DateTime, LargeBinary, Table, Text, Uuid, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from vaultd.db import metadata
from vaultd.errors import CannotOpen, KeyringError, NoKeysYet
from vaultd.keys.envelope import KEY_BYTES, Key, Random, Sealed, bind
from vaultd.keys.root import RootBackend

Purpose = Literal["kek", "chain", "lookup", "signing"]
State = Literal["active", "decrypt-only", "retired"]
PURPOSES: tuple[Purpose, ...] = ("kek", "chain", "lookup", "signing")
_ROW_MAC = b"vaultd row mac v1"
_MAKE_FIRST_KEYS = text(
    """SELECT vaultd_make_first_keys(cast(:ids AS uuid[]), cast(:purposes AS text[]), :root,
        cast(:wrapped AS bytea[]), cast(:checks AS bytea[]), :created_at)"""
)

keyring_table = Table(
    "keyring",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("purpose", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("root", Text, nullable=False),
    Column("wrapped", LargeBinary, nullable=False),
    Column("check", LargeBinary, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
)


@dataclass(frozen=True, slots=True)
class RingKey:
    """One opened key of the ring."""

    key: Key
    purpose: Purpose
    state: State
    created_at: datetime


class Keyring:
    """The opened keys. Immutable; a rotation opens a new one."""

    def __init__(self, keys: Iterable[RingKey]) -> None:
        self._keys = {entry.key.id: entry for entry in keys}
        self._active: dict[Purpose, Key] = {}
        for entry in self._keys.values():
            if entry.state == "active":
                self._active[entry.purpose] = entry.key
        missing = [purpose for purpose in PURPOSES if purpose not in self._active]
        if missing:
            raise KeyringError(f"The database has no active key for: {', '.join(missing)}.")
        self._row_mac = _derive(self._active["lookup"].material, _ROW_MAC)

    def active(self, purpose: Purpose) -> Key:
        """The key that new things are made with."""
        return self._active[purpose]

    def get(self, key_id: UUID, purpose: Purpose) -> Key:
        """A key by its id, for opening what it once made. Raises `CannotOpen`."""
        entry = self._keys.get(key_id)
        if entry is None or entry.purpose != purpose:
            raise CannotOpen(detail=f"no {purpose} key {key_id} in the keyring")
        return entry.key

    def lookup(self, *fields: str | bytes | UUID) -> bytes:
        """A keyed hash by which a thing is found without its name being stored."""
        return hmac.digest(self.active("lookup").material, bind(*fields), hashlib.sha256)

    def row_mac(self, table: str, *fields: str | int | bytes | UUID | None) -> bytes:
        """Bind the clear columns of a row that seals nothing, under a key of this purpose alone."""
        return hmac.digest(self._row_mac, bind(table, *fields), hashlib.sha256)

    def entries(self) -> list[RingKey]:
        """All opened keys, oldest first."""
        return sorted(self._keys.values(), key=lambda entry: entry.created_at)


async def open_keyring(connection: AsyncConnection, backend: RootBackend) -> Keyring:
    """Open every key in the database.

    Raises:
        NoKeysYet: the database is empty.
        KeyringError: it belongs to another keyring, or a key does not open.
    """
    rows = (await connection.execute(select(keyring_table))).mappings().all()
    if not rows:
        raise NoKeysYet
    return Keyring([await _open_row(dict(row), backend) for row in rows])


async def make_keys_once(
    connection: AsyncConnection, backend: RootBackend, *, now: datetime, random: Random = os.urandom
) -> None:
    """Make the first keys of an empty database; of several processes that start at once, one does it."""
    if (await connection.execute(select(keyring_table.c.id).limit(1))).first() is not None:
        return
    keys = {purpose: Key(uuid4(), random(KEY_BYTES)) for purpose in PURPOSES}
    wrapped = {purpose: await backend.wrap(key.material, bound=place(key.id, purpose)) for purpose, key in keys.items()}
    values = {
        "ids": [key.id for key in keys.values()],
        "purposes": list(keys),
        "root": backend.name,
        "wrapped": [sealed.blob for sealed in wrapped.values()],
        "checks": [check_value(key, purpose) for purpose, key in keys.items()],
        "created_at": now,
    }
    # The serving role has no other way to add a key, and the function adds none beside others.
    await connection.execute(_MAKE_FIRST_KEYS, values)


async def _open_row(row: dict[str, Any], backend: RootBackend) -> RingKey:
    if row["root"] != backend.name:
        raise KeyringError(
            f"This database belongs to another keyring: key {row['id']} ({row['purpose']}) was wrapped by "
            f"{row['root']}, and the configured one is {backend.name}."
        )
    try:
        material = await backend.unwrap(Sealed(row["wrapped"]), bound=place(row["id"], row["purpose"]))
    except CannotOpen:
        raise KeyringError(f"Key {row['id']} ({row['purpose']}) does not open with {backend.name}.") from None
    key = Key(row["id"], material)
    if not hmac.compare_digest(check_value(key, row["purpose"]), row["check"]):
        raise KeyringError(f"Key {row['id']} ({row['purpose']}) opens, but its check value is another key's.")
    return RingKey(key, row["purpose"], row["state"], row["created_at"])


def check_value(key: Key, purpose: Purpose) -> bytes:
    """Tells whether a key is the one that was stored, and tells nothing else about it."""
    return hmac.digest(key.material, bind("vaultd key check", 1, key.id, purpose), hashlib.sha256)[:16]


def place(key_id: UUID, purpose: Purpose) -> bytes:
    """What a wrapped key of the ring is bound to."""
    return bind("keyring", 1, key_id, purpose)


def _derive(material: bytes, info: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=info).derive(material)
