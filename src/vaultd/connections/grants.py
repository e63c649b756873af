"""From what a provider granted to a stored connection, in the caller's audited transaction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Self
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from vaultd.audit.events import Draft, EventType
from vaultd.audit.log import AuditTransaction
from vaultd.audit.subject_key import SubjectKey
from vaultd.connections import outbox, store
from vaultd.connections.lookups import NoticeLookups
from vaultd.connections.sealing import (
    PURPOSE,
    UNNAMED_ACCOUNT,
    Opened,
    data_key_of,
    known_account,
    open_connection,
)
from vaultd.connections.table import ConnectionRow
from vaultd.errors import CannotOpen
from vaultd.keys.data_keys import DataKeys
from vaultd.keys.keyring import Keyring
from vaultd.terms import Clock, Scopes, Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Brought:
    """A redeemed grant, in the clear between its redemption and its storing."""

    access_token: Secret
    refresh_token: Secret | None
    expires_at: datetime | None
    scopes: Scopes
    account_id: str
    account_label: str
    metadata: dict[str, Any]
    account_names: tuple[str, ...] = ()
    life: int | None = None

    def to_json(self) -> dict[str, Any]:
        """For sealing; holds the tokens in the clear."""
        return {
            "access_token": self.access_token.reveal(),
            "refresh_token": self.refresh_token.reveal() if self.refresh_token else None,
            "expires_at": self.expires_at.isoformat() if self.expires_at else None,
            "scopes": sorted(self.scopes),
            "account_id": self.account_id,
            "account_label": self.account_label,
            "account_names": self.account_names,
            "metadata": self.metadata,
            "life": self.life,
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        """The inverse of `to_json`."""
        refresh, expires_at = document["refresh_token"], document["expires_at"]
        return cls(
            access_token=Secret(document["access_token"]),
            refresh_token=Secret(refresh) if refresh is not None else None,
            expires_at=datetime.fromisoformat(expires_at) if expires_at is not None else None,
            scopes=Scopes(document["scopes"]),
            account_id=document["account_id"],
            account_label=document["account_label"],
            account_names=tuple(document.get("account_names", ())),
            metadata=document["metadata"],
            life=document.get("life"),
        )


class GrantStore:
    """Stores grants as connections."""

    def __init__(
        self,
        *,
        keyring: Keyring,
        data_keys: DataKeys,
        lookups: NoticeLookups,
        clock: Clock,
        wake_revoker: Callable[[], None],
    ) -> None:
        self._keyring = keyring
        self._data_keys = data_keys
        self._lookups = lookups
        self._clock = clock
        self._wake_revoker = wake_revoker

    async def store(
        self,
        transaction: AuditTransaction,
        *,
        subject_id: UUID,
        subject: SubjectKey,
        provider: str,
        single: bool,
        brought: Brought,
        draft: Draft,
        assumed_life: timedelta | None = None,
    ) -> UUID | str:
        """Make or renew the connection of the grant's account, with its event; gives its id, or why not.

        `assumed_life` is for a provider whose tokens end.
        Another account of the same provider is another connection, or with `single` refused (B5).
        """
        connection = transaction.connection
        account_ref = self._keyring.lookup("account", subject_id, provider, brought.account_id)
        previous = await store.lock_account(connection, subject_id, provider, account_ref)
        if previous is None:
            previous = await self._unnamed(connection, subject_id, provider)
        if single and await self._has_another(transaction, subject_id, provider, previous):
            return "account_limit"
        opened, expires_at = self._to_seal(brought, previous), brought.expires_at
        if expires_at is None and assumed_life is not None and opened.refresh_token is not None:
            # No life came and no refresh token, but the one that was kept renews this token too.
            expires_at = self._clock() + assumed_life
        connection_id, generation = await store.connect(
            connection,
            self._data_keys,
            previous=previous,
            subject_id=subject_id,
            provider=provider,
            account_ref=account_ref,
            lookups=self._lookups.of(provider, opened),
            granted_scopes=brought.scopes,
            expires_at=expires_at,
            opened=opened,
            now=self._clock(),
        )
        await transaction.append(
            replace(
                draft,
                type=EventType.CONNECTION_RECONNECTED if previous else EventType.CONNECTION_CONNECTED,
                connection=provider,
                subject=subject,
                connection_id=connection_id,
                account=brought.account_label,
                scopes=brought.scopes,
                generation=generation,
                revision=1,
            )
        )
        return connection_id

    async def give_back(
        self, transaction: AuditTransaction, provider: str, subject_id: UUID | None, brought: Brought
    ) -> None:
        """Put a grant that is not to be kept into the outbox: it is revoked, unless others live on it."""
        key = await self._data_keys.create(transaction.connection, PURPOSE)
        await outbox.put(
            transaction.connection,
            provider=provider,
            subject_id=subject_id,
            key=key,
            access_token=brought.access_token,
            refresh_token=brought.refresh_token,
            metadata=brought.metadata,
            account_id=known_account(brought.account_id),
            now=self._clock(),
        )
        # The row is committed a moment later; the revoker waits for that moment.
        self._wake_revoker()

    @staticmethod
    async def _has_another(
        transaction: AuditTransaction, subject_id: UUID, provider: str, own: ConnectionRow | None
    ) -> bool:
        rows = await store.rows_of(transaction.connection, subject_id)
        return any(row.provider == provider and (own is None or row.id != own.id) for row in rows)

    async def _unnamed(self, connection: AsyncConnection, subject_id: UUID, provider: str) -> ConnectionRow | None:
        """The connection that was imported without a word about its account: this consent gives it one.

        It is the subject's only one there. A user who agrees with another account than the imported one has the one
        they agreed with; beside it the imported one would be an account that nobody can name.
        """
        account_ref = self._keyring.lookup("account", subject_id, provider, UNNAMED_ACCOUNT)
        row = await store.lock_account(connection, subject_id, provider, account_ref)
        return row if row is not None and row.status != "revoked" else None

    def _to_seal(self, brought: Brought, previous: ConnectionRow | None) -> Opened:
        return Opened(
            access_token=brought.access_token,
            # Some providers give a refresh token at the first consent only; it serves the renewed grant as well.
            refresh_token=brought.refresh_token or self._kept_refresh_token(previous),
            account_id=brought.account_id,
            account_label=brought.account_label,
            metadata=brought.metadata,
            account_names=brought.account_names,
            life=brought.life,
        )

    def _kept_refresh_token(self, previous: ConnectionRow | None) -> Secret | None:
        if previous is None or previous.status != "connected":
            return None
        try:
            opened = open_connection(data_key_of(previous, self._data_keys), previous)
        except CannotOpen:
            return None
        # That of an account without a name may be another person's or another account's.
        return None if opened.account_id == UNNAMED_ACCOUNT else opened.refresh_token
