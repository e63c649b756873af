"""Sealing and opening a connection's tokens, bound to everything that stands beside them (security D2).

The account is opened first, because its immutable id is part of what binds the tokens: a token put beside another
account does not open.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from vaultd.connections.table import ConnectionRow
from vaultd.errors import CannotOpen
from vaultd.keys.data_keys import DataKeys
from vaultd.keys.envelope import Key, Sealed, bind, open_sealed, seal
from vaultd.terms import Scopes, Secret

PURPOSE = "connection"
_FORMAT = 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def microseconds(moment: datetime) -> int:
    """Since 1970, as PostgreSQL keeps them: how a moment is bound."""
    return round((moment - _EPOCH).total_seconds() * 1_000_000)


@dataclass(frozen=True, slots=True)
class Place:
    """What a connection's sealed bytes are bound to, the field and the account aside."""

    connection_id: UUID
    subject_id: UUID
    provider: str
    generation: int
    revision: int
    granted_scopes: Scopes
    expires_at: datetime | None

    @classmethod
    def of(cls, row: ConnectionRow) -> Place:
        """The place that a stored row claims to be."""
        return cls(
            row.id, row.subject_id, row.provider, row.generation, row.revision, row.granted_scopes, row.expires_at
        )

    def bound(self, field: str, account_id: str | None) -> bytes:
        """The associated data of one field."""
        return bind(
            "connection",
            _FORMAT,
            field,
            self.connection_id,
            self.subject_id,
            self.provider,
            account_id,
            self.generation,
            self.revision,
            str(self.granted_scopes),
            None if self.expires_at is None else microseconds(self.expires_at),
        )


@dataclass(frozen=True, slots=True)
class Opened:
    """A connection's secrets in the clear, for as short a time as possible."""

    access_token: Secret
    refresh_token: Secret | None
    account_id: str
    account_label: str
    metadata: dict[str, Any]


def seal_connection(key: Key, place: Place, opened: Opened) -> dict[str, bytes | None]:
    """The sealed columns of a row."""
    account = json.dumps({"id": opened.account_id, "label": opened.account_label}).encode()

    def sealed(field: str, plaintext: bytes | None, account_id: str | None = opened.account_id) -> bytes | None:
        return None if plaintext is None else seal(key, plaintext, bound=place.bound(field, account_id)).blob

    refresh = opened.refresh_token.reveal().encode() if opened.refresh_token else None
    return {
        "account": sealed("account", account, None),
        "access_token": sealed("access_token", opened.access_token.reveal().encode()),
        "refresh_token": sealed("refresh_token", refresh),
        "provider_metadata": sealed("metadata", json.dumps(opened.metadata).encode() if opened.metadata else None),
    }


def data_key_of(row: ConnectionRow, data_keys: DataKeys) -> Key:
    """The row's data key. Raises `CannotOpen`, also when it was erased."""
    if row.data_key_id is None or row.wrapped_key is None:
        raise CannotOpen(detail=f"connection {row.id} has no data key")
    return data_keys.unwrap(row.data_key_id, PURPOSE, row.wrapped_key)


def open_account(key: Key, row: ConnectionRow) -> tuple[str, str]:
    """The account's immutable id and its label. Raises `CannotOpen`."""
    document = json.loads(_open(key, row.account, Place.of(row).bound("account", None)))
    return document["id"], document["label"]


def open_connection(key: Key, row: ConnectionRow) -> Opened:
    """Everything sealed in a row. Raises `CannotOpen`."""
    account_id, label = open_account(key, row)
    place = Place.of(row)

    def opened(field: str, blob: bytes | None) -> bytes | None:
        return None if blob is None else _open(key, blob, place.bound(field, account_id))

    access = opened("access_token", row.access_token)
    refresh = opened("refresh_token", row.refresh_token)
    metadata = opened("metadata", row.provider_metadata)
    if access is None:
        raise CannotOpen(detail=f"connection {row.id} holds no token")
    return Opened(
        Secret(access.decode()),
        Secret(refresh.decode()) if refresh is not None else None,
        account_id,
        label,
        json.loads(metadata) if metadata is not None else {},
    )


def _open(key: Key, blob: bytes | None, bound: bytes) -> bytes:
    if blob is None:
        raise CannotOpen(detail="the field is empty")
    return open_sealed(key, Sealed(blob), bound=bound)
