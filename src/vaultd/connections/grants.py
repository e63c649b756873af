"""From what a provider granted to a stored connection, in the caller's audited transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Self
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from vaultd.audit.events import Draft, EventType
from vaultd.audit.log import AuditTransaction
from vaultd.audit.subject_key import SubjectKey
from vaultd.connections import outbox, store
from vaultd.connections.imported import NO_ACCESS_TOKEN
from vaultd.connections.lookups import NoticeLookups
from vaultd.connections.refresh_end import RefreshEnd
from vaultd.connections.sealing import (
    PURPOSE,
    UNNAMED_ACCOUNT,
    Opened,
    data_key_of,
    known_account,
    open_account,
    open_connection,
    open_known,
    open_metadata,
)
from vaultd.connections.table import ConnectionRow
from vaultd.errors import CannotOpen
from vaultd.keys.data_keys import DataKeys
from vaultd.keys.keyring import Keyring
from vaultd.terms import NO_SCOPES, Clock, Scopes, Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Brought:
    """A redeemed grant, in the clear between its redemption and its storing.

    `known_before_as` is the id of a connection that the provider says is this account's, though kept under another id,
    and `others` are those of which it says that they are not.
    """

    access_token: Secret
    refresh_token: Secret | None
    expires_at: datetime | None
    scopes: Scopes
    account_id: str
    account_label: str
    metadata: dict[str, Any]
    account_names: tuple[str, ...] = ()
    former_ids: tuple[str | None, ...] = ()
    known_before_as: str | None = None
    others: tuple[str, ...] = ()
    unclear_scopes: Scopes = NO_SCOPES
    withheld_scopes: Scopes = NO_SCOPES
    life: int | None = None
    refresh_end: RefreshEnd | None = None

    def to_json(self) -> dict[str, Any]:
        """For sealing; holds the tokens in the clear."""
        return {
            "access_token": self.access_token.reveal(),
            "refresh_token": self.refresh_token.reveal() if self.refresh_token else None,
            "expires_at": self.expires_at.isoformat() if self.expires_at else None,
            "scopes": sorted(self.scopes),
            "unclear_scopes": sorted(self.unclear_scopes),
            "withheld_scopes": sorted(self.withheld_scopes),
            "account_id": self.account_id,
            "account_label": self.account_label,
            "account_names": self.account_names,
            "former_ids": self.former_ids,
            "known_before_as": self.known_before_as,
            "others": self.others,
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
            former_ids=tuple(document.get("former_ids", ())),
            known_before_as=document.get("known_before_as"),
            others=tuple(document.get("others", ())),
            metadata=document["metadata"],
            unclear_scopes=Scopes(document.get("unclear_scopes", ())),
            withheld_scopes=Scopes(document.get("withheld_scopes", ())),
            life=document.get("life"),
            refresh_end=RefreshEnd.from_json(document.get("refresh_end")),
        )


UNNAMED = "unnamed_before"
"""The reason in the event of a consent that took the place of a connection of which nobody could say whose it was."""


@dataclass(frozen=True, slots=True)
class Former:
    """An id that the grant's account had by earlier rules, under which its connection may still be kept.

    `is_account` says of a connection's metadata whether it is this account's, None where they do not tell.
    """

    id: str
    is_account: Callable[[Mapping[str, Any]], bool | None]


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
        former: Sequence[Former] = (),
    ) -> UUID | str:
        """Make or renew the connection of the grant's account, with its event; gives its id, or why not.

        `assumed_life` is for a provider whose tokens end. `former` are ids that the account may be kept under still.
        Another account of the same provider is another connection, or with `single` refused (B5).
        """
        connection = transaction.connection
        account_ref = self._keyring.lookup("account", subject_id, provider, brought.account_id)
        previous = await store.lock_account(connection, subject_id, provider, account_ref)
        if previous is None:
            previous = await self._former(connection, subject_id, provider, former, brought.known_before_as)
        guessed = None
        if previous is None:
            previous = await self._unnamed(connection, subject_id, provider, brought)
            guessed = UNNAMED if previous is not None and str(previous.id) != brought.known_before_as else None
        if single and await self._has_another(transaction, subject_id, provider, previous):
            return "account_limit"
        earlier = self._earlier(previous)
        opened, expires_at = self._to_seal(brought, earlier, self._withheld_before(previous)), brought.expires_at
        if previous is not None and brought.refresh_token is None and opened.refresh_token is not None:
            # The one that was kept brings tokens for what it was given for, whatever this consent was about.
            opened = replace(opened, wider_scopes=_together(opened.wider_scopes, previous.granted_scopes))
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
                reason=guessed,
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

    async def scopes_at(self, connection: AsyncConnection, subject_id: UUID, provider: str) -> Scopes:
        """What a user has granted at a provider and not taken back, of all their accounts there.

        A row that was altered says nothing.
        """
        found: set[str] = set()
        for row in await store.rows_of(connection, subject_id):
            if row.provider == provider:
                with suppress(CannotOpen):
                    # Its scopes are a part of what binds it.
                    open_account(data_key_of(row, self._data_keys), row)
                    found |= row.granted_scopes
        return Scopes(found)

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

    async def undecided(
        self, connection: AsyncConnection, subject_id: UUID, provider: str, former: Sequence[Former]
    ) -> list[tuple[UUID, Opened]]:
        """Connections that may be an account's, and do not tell whether they are: under a former id, or without one."""
        found: list[tuple[UUID, Opened]] = []
        for one in (*former, Former(UNNAMED_ACCOUNT, lambda _: None)):
            account_ref = self._keyring.lookup("account", subject_id, provider, one.id)
            row = await store.lock_account(connection, subject_id, provider, account_ref)
            if row is not None and row.status == "connected" and self._told(row, one) is None:
                with suppress(CannotOpen):
                    found.append((row.id, open_connection(data_key_of(row, self._data_keys), row)))
        return [(connection_id, opened) for connection_id, opened in found if opened.access_token != NO_ACCESS_TOKEN]

    async def _former(
        self,
        connection: AsyncConnection,
        subject_id: UUID,
        provider: str,
        former: Sequence[Former],
        known_before_as: str | None,
    ) -> ConnectionRow | None:
        """This account's connection, where it is kept under an id by earlier rules.

        By those rules one id may have stood for two accounts; the metadata tell which of them it is, or the provider
        does (`undecided`). Where neither does, a connection that lives is left beside the new one, since it may be the
        other's. One that is broken has nothing to lose, and it is the one that its user was asked to connect again.
        """
        for one in former:
            account_ref = self._keyring.lookup("account", subject_id, provider, one.id)
            row = await store.lock_account(connection, subject_id, provider, account_ref)
            if row is None or row.status == "revoked":
                continue
            told = True if str(row.id) == known_before_as else self._told(row, one)
            if told or (told is None and row.status != "connected"):
                return row
        return None

    def _told(self, row: ConnectionRow, former: Former) -> bool | None:
        try:
            key = data_key_of(row, self._data_keys)
            return former.is_account(open_metadata(key, row, open_known(key, row)))
        except CannotOpen:
            return None

    async def _unnamed(
        self, connection: AsyncConnection, subject_id: UUID, provider: str, brought: Brought
    ) -> ConnectionRow | None:
        """The connection that was imported without a word about its account: this consent gives it one.

        If the provider said that it is another account, it stays beside the new one. Where nobody can say so, a user
        who agrees with another account than the imported one has the one they agreed with, and the event tells of it:
        beside it the imported one would be an account that nobody can name.
        """
        account_ref = self._keyring.lookup("account", subject_id, provider, UNNAMED_ACCOUNT)
        row = await store.lock_account(connection, subject_id, provider, account_ref)
        if row is None or row.status == "revoked" or str(row.id) in brought.others:
            return None
        return row

    def _to_seal(self, brought: Brought, earlier: Opened | None, withheld_before: Scopes) -> Opened:
        # Some providers give a refresh token at the first consent only; it serves the renewed grant as well.
        kept = earlier if brought.refresh_token is None else None
        # Asked for at two consents in a row, and named in the answer to neither: a third one would change nothing.
        again = Scopes(brought.withheld_scopes & withheld_before)
        return Opened(
            access_token=brought.access_token,
            refresh_token=kept.refresh_token if kept else brought.refresh_token,
            account_id=brought.account_id,
            account_label=brought.account_label,
            metadata=brought.metadata,
            account_names=brought.account_names,
            unclear_scopes=Scopes(brought.unclear_scopes | again),
            withheld_scopes=brought.withheld_scopes,
            life=brought.life or (earlier.life if earlier else None),
            refresh_end=kept.refresh_end if kept else brought.refresh_end,
            wider_scopes=kept.wider_scopes if kept else NO_SCOPES,
        )

    def _withheld_before(self, previous: ConnectionRow | None) -> Scopes:
        if previous is None:
            return NO_SCOPES
        try:
            return open_known(data_key_of(previous, self._data_keys), previous).withheld_scopes
        except CannotOpen:
            return NO_SCOPES

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


def _together(wider: Scopes | None, granted: Scopes) -> Scopes | None:
    """What a refresh token that was kept brings tokens for; None where nobody knows, as of an import without scopes."""
    return Scopes(wider | granted) if wider is not None and granted else None
