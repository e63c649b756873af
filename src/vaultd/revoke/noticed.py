"""Acting on a provider's notice: the grants that it names are marked at once, and their useless tokens erased.

Where the provider does not say that a grant has ended for good, they are kept for a while, as when it refuses them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from vaultd.audit.events import Draft, EventType
from vaultd.audit.log import AuditLog, AuditTransaction
from vaultd.connections import store
from vaultd.connections.kept import kept_for
from vaultd.connections.lookups import NoticeLookups
from vaultd.connections.sealing import data_key_of, open_account, open_connection
from vaultd.connections.table import ConnectionRow
from vaultd.db import Database
from vaultd.errors import CannotOpen, Replayed
from vaultd.keys.data_keys import DataKeys
from vaultd.notices import Notice
from vaultd.providers.registry import Providers
from vaultd.replay import ReplayMemory
from vaultd.revoke.doubted import Doubted
from vaultd.subjects.store import SubjectStore
from vaultd.terms import Clock

REASON = "revoked_at_provider"
REMEMBERED = timedelta(days=30)
"""How long a notice's id is kept; a provider tries again for days at most."""
WORDING_REMEMBERED = timedelta(days=365)
"""How long what was said is known again, where a recording cannot be told from it otherwise."""
SKEW = timedelta(seconds=60)
"""By so much may the provider's clock be behind ours (E7)."""


@dataclass(frozen=True, slots=True)
class Named:
    """What a notice names, as connections are found by it, at whichever table of the app they are."""

    providers: Collection[str]
    accounts: Collection[bytes]
    tokens: Collection[bytes]
    connected_before: datetime | None

    async def find(self, connection: AsyncConnection) -> list[tuple[UUID, UUID]]:
        """The connections and their subjects, in the order in which they are to be locked."""
        return await store.named(
            connection,
            self.providers,
            accounts=self.accounts,
            tokens=self.tokens,
            connected_before=self.connected_before,
        )


@dataclass(frozen=True, slots=True)
class Ending:
    """How what is named ends: with which event, its tokens kept for how long, and of it `only` these generations."""

    draft: Draft
    only: Mapping[UUID, int] | None
    keep: timedelta


class ActOnNotice:
    """Breaks the connections that a believed notice names."""

    def __init__(
        self,
        *,
        database: Database,
        log: AuditLog,
        data_keys: DataKeys,
        lookups: NoticeLookups,
        subjects: SubjectStore,
        replay: ReplayMemory,
        providers: Providers,
        doubted: Doubted,
        keep_broken: timedelta,
        clock: Clock,
    ) -> None:
        self._database = database
        self._log = log
        self._data_keys = data_keys
        self._lookups = lookups
        self._subjects = subjects
        self._replay = replay
        self._providers = providers
        self._doubted = doubted
        self._keep_broken = keep_broken
        self._clock = clock

    async def __call__(self, notice: Notice, *, provider: str, draft: Draft) -> None:
        """Act, once. What it names and we do not have is nothing to us.

        What was heard before, and may be a recording, ends only what the provider says has ended.

        Raises:
            TemporarilyUnavailable: nothing was changed; the provider may tell us again.
        """
        tables = [str(table.name) for table in self._providers.told_together(self._providers.get(provider))]
        accounts = [self._lookups.account(table, account) for table in tables for account in notice.accounts]
        tokens = [self._lookups.token(table, token) for table in tables for token in notice.tokens]
        if not accounts and not tokens:
            return
        named = Named(tables, accounts, tokens, None if notice.at is None else notice.at + SKEW)
        only = await self._ended_at_provider(named) if await self._heard_before(notice, provider) else None
        # What is only out of use, or was not asked about, may be good after all.
        keep = timedelta() if notice.ended and only is None else self._keep_broken
        ending = Ending(draft, only, keep)
        async with self._log.transaction() as transaction:
            try:
                if notice.once is not None:
                    # In the same transaction: what could not be done is not remembered as done.
                    await self._replay.use_within(
                        transaction.connection, "notice", provider, notice.once, until=self._clock() + REMEMBERED
                    )
            except Replayed:
                return
            for connection_id, subject_id in await named.find(transaction.connection):
                await self._end(transaction, connection_id, subject_id, ending)

    async def _heard_before(self, notice: Notice, provider: str) -> bool:
        if notice.wording is None:
            return False
        try:
            # Before anything is done: should that fail, the provider's next try is doubted, and asked about.
            await self._replay.use("wording", provider, notice.wording, until=self._clock() + WORDING_REMEMBERED)
        except Replayed:
            return True
        return False

    async def _ended_at_provider(self, named: Named) -> dict[UUID, int]:
        async with self._database.transaction() as connection:
            found = await named.find(connection)
        return await self._doubted.still_ended([connection_id for connection_id, _ in found])

    async def _end(self, transaction: AuditTransaction, connection_id: UUID, subject_id: UUID, ending: Ending) -> None:
        known = await self._subjects.hold(transaction.connection, subject_id)
        row = await store.lock_for_revocation(transaction.connection, connection_id)
        if known is None or row is None:
            return
        if ending.only is not None and ending.only.get(row.id) != row.generation:
            return
        kept = self._kept(row, ending.keep)
        if await store.break_connection(transaction.connection, row, fence=None, reason=REASON, kept=kept):
            await transaction.append(
                replace(
                    ending.draft,
                    type=EventType.CONNECTION_BROKEN,
                    reason=REASON,
                    subject=known.key,
                    connection=row.provider,
                    connection_id=row.id,
                    account=self._label(row),
                    generation=row.generation,
                    revision=row.revision,
                )
            )

    def _kept(self, row: ConnectionRow, keep: timedelta) -> dict[str, Any]:
        if row.status != "connected":
            return {}
        try:
            key = data_key_of(row, self._data_keys)
            return kept_for(key, row, open_connection(key, row), now=self._clock(), lasts=keep)
        except CannotOpen:
            return {}

    def _label(self, row: ConnectionRow) -> str | None:
        try:
            return open_account(data_key_of(row, self._data_keys), row)[1]
        except CannotOpen:
            return None
