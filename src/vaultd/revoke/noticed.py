"""Acting on a provider's notice: the grants that it names are marked at once, and their useless tokens erased."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from vaultd.audit.events import Draft, EventType
from vaultd.audit.log import AuditLog, AuditTransaction
from vaultd.connections import store
from vaultd.connections.sealing import data_key_of, open_account
from vaultd.connections.table import ConnectionRow
from vaultd.errors import CannotOpen, Replayed
from vaultd.keys.data_keys import DataKeys
from vaultd.keys.keyring import Keyring
from vaultd.notices import Notice
from vaultd.replay import ReplayMemory
from vaultd.subjects.store import SubjectStore
from vaultd.terms import Clock

REASON = "revoked_at_provider"
REMEMBERED = timedelta(days=30)
"""How long a notice's id is kept; a provider tries again for days at most."""
SKEW = timedelta(seconds=60)
"""By so much may the provider's clock be behind ours (E7)."""


class ActOnNotice:
    """Breaks the connections that a believed notice names."""

    def __init__(
        self,
        *,
        log: AuditLog,
        keyring: Keyring,
        data_keys: DataKeys,
        subjects: SubjectStore,
        replay: ReplayMemory,
        clock: Clock,
    ) -> None:
        self._log = log
        self._keyring = keyring
        self._data_keys = data_keys
        self._subjects = subjects
        self._replay = replay
        self._clock = clock

    async def __call__(self, notice: Notice, *, provider: str, draft: Draft) -> None:
        """Act, once. What it names and we do not have is nothing to us.

        Raises:
            TemporarilyUnavailable: nothing was changed; the provider may tell us again.
        """
        accounts = [store.account_lookup(self._keyring, provider, account) for account in notice.accounts]
        tokens = [store.token_lookup(self._keyring, provider, token) for token in notice.tokens]
        if not accounts and not tokens:
            return
        async with self._log.transaction() as transaction:
            try:
                if notice.once is not None:
                    # In the same transaction: what could not be done is not remembered as done.
                    await self._replay.use_within(
                        transaction.connection, "notice", provider, notice.once, until=self._clock() + REMEMBERED
                    )
            except Replayed:
                return
            named = await store.named(
                transaction.connection,
                provider,
                accounts=accounts,
                tokens=tokens,
                connected_before=None if notice.at is None else notice.at + SKEW,
            )
            for connection_id, subject_id in named:
                await self._end(transaction, connection_id, subject_id, draft)

    async def _end(self, transaction: AuditTransaction, connection_id: UUID, subject_id: UUID, draft: Draft) -> None:
        known = await self._subjects.hold(transaction.connection, subject_id)
        row = await store.lock_for_revocation(transaction.connection, connection_id)
        if known is None or row is None:
            return
        if await store.break_connection(transaction.connection, row, fence=None, reason=REASON):
            await transaction.append(
                replace(
                    draft,
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

    def _label(self, row: ConnectionRow) -> str | None:
        try:
            return open_account(data_key_of(row, self._data_keys), row)[1]
        except CannotOpen:
            return None
