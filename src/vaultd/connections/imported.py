"""Connections that come from outside, many at once, in the caller's audited transaction.

What came without the provider's id for its account is kept under `UNNAMED_ACCOUNT`, until the user's next consent at
that provider names it (`grants`). So that this is never a guess between several, such a connection is only ever the
subject's single one there.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TypeAlias
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from vaultd.audit.events import Draft, EventType
from vaultd.audit.log import AuditTransaction
from vaultd.audit.subject_key import SubjectKey
from vaultd.connections import store
from vaultd.connections.lookups import NoticeLookups
from vaultd.connections.sealing import UNNAMED_ACCOUNT, Opened
from vaultd.connections.table import ConnectionRow
from vaultd.keys.data_keys import DataKeys
from vaultd.keys.keyring import Keyring
from vaultd.terms import Clock, Scopes, Secret

NO_ACCESS_TOKEN = Secret("imported-without-an-access-token")
"""Stands where an access token would, and is over (`LONG_OVER`), so that it is renewed and never leaves.

A text that may be sent, since disconnecting sends it for revocation; RFC 7009 §2.2: an unknown token is no error.
"""
LONG_OVER = datetime(1970, 1, 1, tzinfo=UTC)
"""The end of a token of which it is not known whether it still is good, and which can be renewed.

Far back, so that no clock that goes wrong takes it for valid.
"""


class Conflict(StrEnum):
    """Why a connection cannot be brought in beside those that are there."""

    CONNECTED = "connected"
    DISCONNECTED = "disconnected"
    CANNOT_TELL = "cannot_tell"
    ACCOUNT_LIMIT = "account_limit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """One account's tokens as they are stored. `account_id` is the provider's, or `UNNAMED_ACCOUNT`.

    `settings` are those of the connection: what the operator has fixed, or what its line says. `metadata` is what an
    API call needs beside the token.
    """

    provider: str
    single: bool
    access_token: Secret
    refresh_token: Secret | None
    expires_at: datetime | None
    scopes: Scopes
    account_id: str
    account_label: str
    account_names: tuple[str, ...] = ()
    settings: dict[str, str] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)

    def opened(self) -> Opened:
        """What is sealed of it."""
        return Opened(
            self.access_token,
            self.refresh_token,
            self.account_id,
            self.account_label,
            # A setting says where the provider is: nothing takes its place (C0).
            {**self.metadata, **self.settings},
            self.account_names,
        )


@dataclass(frozen=True, slots=True)
class Owned:
    """The same, with whose it is."""

    subject_id: UUID
    subject: SubjectKey
    imported: Imported


Accounts: TypeAlias = Mapping[bytes, ConnectionRow]
"""A subject's connections at one provider, by their accounts' references."""
Beside: TypeAlias = Mapping[tuple[UUID, str], Accounts]


class ImportedGrants:
    """Looks for conflicts, and stores what has none."""

    def __init__(self, *, keyring: Keyring, data_keys: DataKeys, lookups: NoticeLookups, clock: Clock) -> None:
        self._keyring = keyring
        self._lookups = lookups
        self._data_keys = data_keys
        self._clock = clock

    async def conflicts(self, connection: AsyncConnection, owned: Sequence[Owned]) -> dict[int, Conflict]:
        """What stands against each of them just now, by its place in the sequence."""
        return self._conflicts(owned, await _beside(connection, owned, lock=False))

    async def hold(self, connection: AsyncConnection, subject_ids: Collection[UUID]) -> None:
        """Hold what these subjects have, so that chunks of them can be stored in whatever order they come.

        Who locks several subjects' connections takes them in one order, and the file has its own.
        """
        await store.hold_of_many(connection, subject_ids)

    async def bring_in(self, transaction: AuditTransaction, owned: Sequence[Owned]) -> list[UUID] | dict[int, Conflict]:
        """Store them with an event each; gives their ids. If anything stands against some of them, gives that."""
        connection = transaction.connection
        beside = await _beside(connection, owned, lock=True)
        conflicts = self._conflicts(owned, beside)
        if conflicts:
            return conflicts
        made: dict[int, tuple[UUID, int]] = {}
        for place, one in enumerate(owned):
            there = beside.get(_there(one))
            previous = there.get(self._account_ref(one)) if there else None
            if previous is not None:
                made[place] = await self._renew(connection, one, previous)
        new = [place for place in range(len(owned)) if place not in made]
        ids = await store.connect_new(
            connection, self._data_keys, [self._new(owned[place]) for place in new], now=self._clock()
        )
        made |= {place: (connection_id, 1) for place, connection_id in zip(new, ids, strict=True)}
        stored = [made[place] for place in range(len(owned))]
        await transaction.append(*(_event(one, *what) for one, what in zip(owned, stored, strict=True)))
        return [connection_id for connection_id, _ in stored]

    def _conflicts(self, owned: Sequence[Owned], beside: Beside) -> dict[int, Conflict]:
        judged = ((place, self._conflict(one, beside.get(_there(one), {}))) for place, one in enumerate(owned))
        return {place: conflict for place, conflict in judged if conflict is not None}

    def _conflict(self, one: Owned, beside: Accounts) -> Conflict | None:
        if not beside:
            return None
        own, unnamed = self._account_ref(one), self._ref(one, UNNAMED_ACCOUNT)
        same = beside.get(own)
        others = {ref: row for ref, row in beside.items() if ref != own}
        if same is not None and same.status != "reconnect_required":
            return Conflict.DISCONNECTED if same.status == "revoked" else Conflict.CONNECTED
        if own == unnamed and others:
            return Conflict.CANNOT_TELL
        # Also one that was disconnected: what the user ended must not come back under a name.
        if unnamed in others:
            return Conflict.CANNOT_TELL
        if one.imported.single and any(row.status != "revoked" for row in others.values()):
            return Conflict.ACCOUNT_LIMIT
        return None

    async def _renew(self, connection: AsyncConnection, one: Owned, previous: ConnectionRow) -> tuple[UUID, int]:
        """The next generation of a connection whose grant had ended."""
        new = self._new(one)
        return await store.connect(
            connection,
            self._data_keys,
            previous=previous,
            subject_id=new.subject_id,
            provider=new.provider,
            account_ref=new.account_ref,
            lookups=new.lookups,
            granted_scopes=new.granted_scopes,
            expires_at=new.expires_at,
            opened=new.opened,
            now=self._clock(),
        )

    def _new(self, one: Owned) -> store.New:
        imported, opened = one.imported, one.imported.opened()
        return store.New(
            subject_id=one.subject_id,
            provider=imported.provider,
            account_ref=self._account_ref(one),
            lookups=self._lookups.of(imported.provider, opened),
            granted_scopes=imported.scopes,
            expires_at=imported.expires_at,
            opened=opened,
        )

    def _account_ref(self, one: Owned) -> bytes:
        return self._ref(one, one.imported.account_id)

    def _ref(self, one: Owned, account_id: str) -> bytes:
        return self._keyring.lookup("account", one.subject_id, one.imported.provider, account_id)


async def _beside(connection: AsyncConnection, owned: Sequence[Owned], *, lock: bool) -> Beside:
    """All connections of these subjects, by subject and provider."""
    found: dict[tuple[UUID, str], dict[bytes, ConnectionRow]] = {}
    for account_ref, row in await store.rows_of_many(connection, {one.subject_id for one in owned}, lock=lock):
        found.setdefault((row.subject_id, row.provider), {})[account_ref] = row
    return found


def _there(one: Owned) -> tuple[UUID, str]:
    return one.subject_id, one.imported.provider


def _event(one: Owned, connection_id: UUID, generation: int) -> Draft:
    return Draft(
        type=EventType.CONNECTION_IMPORTED,
        connection=one.imported.provider,
        subject=one.subject,
        connection_id=connection_id,
        account=one.imported.account_label or None,
        scopes=one.imported.scopes,
        generation=generation,
        revision=1,
    )
