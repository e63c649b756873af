"""Sealing and opening a connection's tokens, bound to everything that stands beside them (security D2).

The account is opened first, because its immutable id is part of what binds the tokens: a token put beside another
account does not open. The access token, without which nothing leaves, is bound to the row's remaining columns as well:
which other fields it has, by what it is found, and since when it stands.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

import orjson

from vaultd.connections.refresh_end import RefreshEnd
from vaultd.connections.table import ConnectionRow
from vaultd.errors import CannotOpen
from vaultd.keys.data_keys import DataKeys
from vaultd.keys.envelope import Key, Sealed, bind, microseconds, open_sealed, seal
from vaultd.terms import NO_SCOPES, Scopes, Secret

PURPOSE = "connection"
UNNAMED_ACCOUNT = "\x1funnamed"
"""The account's id of a connection that was imported without it, until the user's next consent. No provider's account
has this one: ids are read from their answers without control characters.
"""
FORMAT = 2
"""The format of rows that are written now; a row's own is in its column. Only how the access token is bound differs."""
_HEADS = {name: bind("connection", 1, name) for name in ("account", "access_token", "refresh_token", "metadata")}
_ACCESS_TOKEN = bind("connection", FORMAT, "access_token")


def known_account(account_id: str) -> str | None:
    """An account's id at its provider, or None where it stands for one that is not known."""
    return account_id if account_id not in {"", UNNAMED_ACCOUNT} else None


@dataclass(frozen=True, slots=True)
class Beside:
    """The columns beside a connection's tokens that are neither its identity nor the state of its grant."""

    account_ref: bytes
    account_lookup: bytes | None
    token_lookups: tuple[bytes, ...]
    created_at: datetime
    connected_at: datetime
    refreshed_at: datetime | None

    def bound(self, *, has_refresh_token: bool, has_metadata: bool) -> bytes:
        """The associated data that they add to the access token's."""
        return _beside(self, has_refresh_token, has_metadata)


# Pure, and asked for the same rows again and again, as those below.
@lru_cache(maxsize=10_000)
def _beside(beside: Beside, has_refresh_token: bool, has_metadata: bool) -> bytes:  # noqa: FBT001 - a cache's key
    moments = (beside.created_at, beside.connected_at, beside.refreshed_at)
    return bind(
        has_refresh_token,
        has_metadata,
        beside.account_ref,
        beside.account_lookup,
        len(beside.token_lookups),
        *beside.token_lookups,
        *(None if moment is None else microseconds(moment) for moment in moments),
    )


@dataclass(slots=True)
class Place:
    """What a connection's sealed bytes are bound to, the field and the account aside."""

    connection_id: UUID
    subject_id: UUID
    provider: str
    generation: int
    revision: int
    granted_scopes: Scopes
    expires_at: datetime | None
    _ids: bytes = field(init=False, repr=False)
    _state: bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # What all fields of a row share is put together once.
        self._ids = _ids(self.connection_id, self.subject_id, self.provider)
        self._state = _state(self.generation, self.revision, self.granted_scopes, self.expires_at)

    @classmethod
    def of(cls, row: ConnectionRow) -> Place:
        """The place that a stored row claims to be."""
        return cls(
            row.id, row.subject_id, row.provider, row.generation, row.revision, row.granted_scopes, row.expires_at
        )

    def bound(self, name: str, account_id: str | None) -> bytes:
        """The associated data of one field."""
        return _HEADS[name] + self.bound_to(account_id)

    def bound_to(self, account_id: str | None) -> bytes:
        """What the associated data of all fields have in common."""
        return self._ids + bind(account_id) + self._state


# Pure, and asked for the same rows again and again.
@lru_cache(maxsize=10_000)
def _ids(connection_id: UUID, subject_id: UUID, provider: str) -> bytes:
    return bind(connection_id, subject_id, provider)


@lru_cache(maxsize=10_000)
def _state(generation: int, revision: int, granted_scopes: Scopes, expires_at: datetime | None) -> bytes:
    expiry = None if expires_at is None else microseconds(expires_at)
    return bind(generation, revision, str(granted_scopes), expiry)


@dataclass(frozen=True, slots=True)
class Opened:
    """A connection's secrets in the clear, for as short a time as possible."""

    access_token: Secret
    refresh_token: Secret | None
    account_id: str
    account_label: str
    metadata: dict[str, Any]
    account_names: tuple[str, ...] = ()
    unclear_scopes: Scopes = NO_SCOPES
    """Asked for and not named, where nobody can say whether the token has them: `vaultd.scopes` says why."""
    withheld_scopes: Scopes = NO_SCOPES
    """Asked for at the last consent and not named in its answer."""
    life: int | None = None
    """Seconds that an access token of this grant lives, as its provider once said."""
    refresh_end: RefreshEnd | None = None
    wider_scopes: Scopes | None = NO_SCOPES
    """What an earlier consent's refresh token, which a later one did not replace, may bring beside the row's scopes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is sealed in a row about the account and its grant, whether the tokens are there or not."""

    account_id: str
    account_label: str
    account_names: tuple[str, ...]
    unclear_scopes: Scopes
    withheld_scopes: Scopes
    life: int | None
    refresh_end: RefreshEnd | None
    wider_scopes: Scopes | None = NO_SCOPES


@dataclass(frozen=True, slots=True)
class Delivery:
    """What of a connection leaves the vault, in the clear, and whose it is at the provider.

    `unclear` are scopes of which nobody can say whether the token has them; they decide, and do not leave.
    """

    access_token: Secret
    account_id: str
    account_label: str
    metadata: dict[str, Any]
    unclear: Scopes = NO_SCOPES


def seal_connection(key: Key, place: Place, beside: Beside, opened: Opened) -> dict[str, bytes | int | None]:
    """The sealed columns of a row, and the format that they are in."""
    named: dict[str, Any] = {"id": opened.account_id, "label": opened.account_label, "names": opened.account_names}
    if opened.unclear_scopes:
        named["unclear"] = sorted(opened.unclear_scopes)
    if opened.withheld_scopes:
        named["withheld"] = sorted(opened.withheld_scopes)
    if opened.life is not None:
        named["life"] = opened.life
    if opened.refresh_end is not None:
        named["refresh_end"] = opened.refresh_end.to_json()
    if opened.wider_scopes is None or opened.wider_scopes:
        named["wider"] = None if opened.wider_scopes is None else sorted(opened.wider_scopes)
    account = json.dumps(named).encode()

    def sealed(name: str, plaintext: bytes | None, account_id: str | None = opened.account_id) -> bytes | None:
        return None if plaintext is None else seal(key, plaintext, bound=place.bound(name, account_id)).blob

    refresh = opened.refresh_token.reveal().encode() if opened.refresh_token else None
    return {
        "format": FORMAT,
        "account": sealed("account", account, None),
        "access_token": seal_access_token(key, place, beside, opened),
        "refresh_token": sealed("refresh_token", refresh),
        "provider_metadata": sealed("metadata", json.dumps(opened.metadata).encode() if opened.metadata else None),
    }


def seal_access_token(key: Key, place: Place, beside: Beside, opened: Opened) -> bytes:
    """The access token in the newest format."""
    has = {"has_refresh_token": opened.refresh_token is not None, "has_metadata": bool(opened.metadata)}
    bound = bound_access_token(place, beside, opened.account_id, **has)
    return seal(key, opened.access_token.reveal().encode(), bound=bound).blob


def data_key_of(row: ConnectionRow, data_keys: DataKeys) -> Key:
    """The row's data key. Raises `CannotOpen`, also when it was erased."""
    if row.data_key_id is None or row.wrapped_key is None:
        raise CannotOpen(detail=f"connection {row.id} has no data key")
    return data_keys.unwrap(row.data_key_id, PURPOSE, row.wrapped_key)


def open_account(key: Key, row: ConnectionRow) -> tuple[str, str]:
    """The account's immutable id and its label. Raises `CannotOpen`."""
    known = _known(key, row, Place.of(row))
    return known.account_id, known.account_label


def open_names(key: Key, row: ConnectionRow) -> tuple[str, frozenset[str]]:
    """The account's immutable id, and all that its owner may call it by. Raises `CannotOpen`."""
    known = _known(key, row, Place.of(row))
    return known.account_id, frozenset({known.account_label, *known.account_names})


def open_known(key: Key, row: ConnectionRow) -> Known:
    """All that is known of the account and its grant. Raises `CannotOpen`."""
    return _known(key, row, Place.of(row))


def open_connection(key: Key, row: ConnectionRow) -> Opened:
    """Everything sealed in a row. Raises `CannotOpen`."""
    place = Place.of(row)
    known = _known(key, row, place)
    refresh = None
    if row.refresh_token is not None:
        refresh = Secret(_open(key, row.refresh_token, place.bound("refresh_token", known.account_id)).decode())
    delivery = _delivery(key, row, place, known)
    return opened_with(known, delivery.access_token, refresh, delivery.metadata)


def opened_with(known: Known, access_token: Secret, refresh_token: Secret | None, metadata: dict[str, Any]) -> Opened:
    """A connection's secrets, put together."""
    return Opened(
        access_token=access_token,
        refresh_token=refresh_token,
        account_id=known.account_id,
        account_label=known.account_label,
        metadata=metadata,
        account_names=known.account_names,
        unclear_scopes=known.unclear_scopes,
        withheld_scopes=known.withheld_scopes,
        life=known.life,
        refresh_end=known.refresh_end,
        wider_scopes=known.wider_scopes,
    )


def open_metadata(key: Key, row: ConnectionRow, known: Known) -> dict[str, Any]:
    """What an API call needs besides, also of a row whose tokens are gone. Raises `CannotOpen`."""
    return _metadata(key, row, Place.of(row), known.account_id)


def open_delivery(key: Key, row: ConnectionRow) -> Delivery:
    """What of a row leaves the vault; the refresh token stays closed. Raises `CannotOpen`."""
    place = Place.of(row)
    return _delivery(key, row, place, _known(key, row, place))


def _known(key: Key, row: ConnectionRow, place: Place) -> Known:
    document = orjson.loads(_open(key, row.account, place.bound("account", None)))
    wider = document.get("wider", ())
    # Rows that were sealed before these were kept have none of the latter six.
    return Known(
        account_id=document["id"],
        account_label=document["label"],
        account_names=tuple(document.get("names", ())),
        unclear_scopes=Scopes(document.get("unclear", ())),
        withheld_scopes=Scopes(document.get("withheld", ())),
        life=document.get("life"),
        refresh_end=RefreshEnd.from_json(document.get("refresh_end")),
        wider_scopes=None if wider is None else Scopes(wider),
    )


def _delivery(key: Key, row: ConnectionRow, place: Place, known: Known) -> Delivery:
    access = _open(key, row.access_token, _bound_as_stored(row, place, known.account_id))
    metadata = _metadata(key, row, place, known.account_id)
    return Delivery(Secret(access.decode()), known.account_id, known.account_label, metadata, known.unclear_scopes)


def _metadata(key: Key, row: ConnectionRow, place: Place, account_id: str) -> dict[str, Any]:
    if row.provider_metadata is None:
        return {}
    metadata: dict[str, Any] = json.loads(_open(key, row.provider_metadata, place.bound("metadata", account_id)))
    return metadata


def bound_access_token(
    place: Place, beside: Beside, account_id: str, *, has_refresh_token: bool, has_metadata: bool
) -> bytes:
    """The associated data of an access token in the newest format."""
    others = beside.bound(has_refresh_token=has_refresh_token, has_metadata=has_metadata)
    return _ACCESS_TOKEN + place.bound_to(account_id) + others


def _bound_as_stored(row: ConnectionRow, place: Place, account_id: str) -> bytes:
    if row.format == 1:
        # Until `vaultd migrate` has sealed it anew; from then on the database takes no such row.
        return place.bound("access_token", account_id)
    has = {"has_refresh_token": row.refresh_token is not None, "has_metadata": row.provider_metadata is not None}
    return bound_access_token(place, beside_of(row), account_id, **has)


def beside_of(row: ConnectionRow) -> Beside:
    """What stands beside a stored row's tokens."""
    return Beside(
        row.account_ref, row.account_lookup, row.token_lookups, row.created_at, row.connected_at, row.refreshed_at
    )


def _open(key: Key, blob: bytes | None, bound: bytes) -> bytes:
    if blob is None:
        raise CannotOpen(detail="the field is empty")
    return open_sealed(key, Sealed(blob), bound=bound)
