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
from vaultd.connections.refresh_end import RefreshEnd
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
    refresh_end: RefreshEnd | None = None

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
            "refresh_end": self.refresh_end.to_json() if self.refresh_end else None,
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
            refresh_end=RefreshEnd.from_json(document.get("refresh_end")),
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
        earlier = self._earlier(previous)
        opened, expires_at = self._to_seal(brought, earlier), brought.expires_at
        if brought.life is None and opened.refresh_token is not None:
            # None came, but the one that was said before holds (RFC 6749 §5.1). So it does where no refresh token came
            # either: the one that was kept renews this token too.
            known = timedelta(seconds=opened.life) if opened.life is not None else assumed_life
            expires_at = self._clock() + known if known is not None else expires_at
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
        self, connection: AsyncConnection, provider: str, subject_id: UUID | None, brought: Brought
    ) -> None:
        """Put a grant that is not to be kept into the outbox: it is revoked, unless others live on it."""
        key = await self._data_keys.create(connection, PURPOSE)
        await outbox.put(
            connection,
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

    def _to_seal(self, brought: Brought, earlier: Opened | None) -> Opened:
        # Some providers give a refresh token at the first consent only; it serves the renewed grant as well.
        kept = earlier if brought.refresh_token is None else None
        return Opened(
            access_token=brought.access_token,
            refresh_token=kept.refresh_token if kept else brought.refresh_token,
            account_id=brought.account_id,
            account_label=brought.account_label,
            metadata=brought.metadata,
            account_names=brought.account_names,
            life=brought.life or (earlier.life if earlier else None),
            refresh_end=kept.refresh_end if kept else brought.refresh_end,
        )

    def _earlier(self, previous: ConnectionRow | None) -> Opened | None:
        """What the account's connection holds until now."""
        if previous is None or previous.status != "connected":
            return None
        try:
            opened = open_connection(data_key_of(previous, self._data_keys), previous)
        except CannotOpen:
            return None
        # What an account without a name holds may be another person's or another account's.
        return None if opened.account_id == UNNAMED_ACCOUNT else opened
