"""The rooms below the release counter, put together over one database, and short ways to fill it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from tests.support.clock import HandClock
from vaultd.audit.events import Draft, EventType
from vaultd.audit.log import AuditLog
from vaultd.audit.verify import Report, verify
from vaultd.connections import store
from vaultd.connections.grants import Brought, GrantStore
from vaultd.connections.lookups import NoticeLookups
from vaultd.connections.pending import PendingGrants
from vaultd.connections.table import ConnectionRow
from vaultd.db import Database
from vaultd.keys.data_keys import DataKeys
from vaultd.keys.keyring import Keyring
from vaultd.notices import token_names
from vaultd.subjects.store import KnownSubject, SubjectStore
from vaultd.terms import Scopes, Secret, Subject

ISSUER = "https://login.example.com"
CONSENT = Draft(type=EventType.CONNECTION_CONNECTED, client_id="agent")


class House:
    """Database, keys, log, subjects and connections."""

    def __init__(self, database: Database, keyring: Keyring) -> None:
        self.clock = HandClock()
        self.database = database
        self.keyring = keyring
        self.data_keys = DataKeys(keyring)
        self.pending = PendingGrants(data_keys=self.data_keys, keyring=keyring)
        self.log = AuditLog(database=database, keyring=keyring, clock=self.clock)
        self.subjects = SubjectStore(database=database, keyring=keyring, data_keys=self.data_keys, clock=self.clock)
        self.lookups = NoticeLookups(keyring=keyring, token_names={"google": token_names})
        self.grants = GrantStore(
            keyring=keyring,
            data_keys=self.data_keys,
            lookups=self.lookups,
            clock=self.clock,
            wake_revoker=lambda: None,
        )

    async def subject(self, name: str = "alice") -> KnownSubject:
        """A subject with a row."""
        return await self.subjects.ensure(Subject(ISSUER, name))

    def brought(self, account: str = "octocat", scopes: str = "repo user") -> Brought:
        """A grant of one hour."""
        return Brought(
            access_token=Secret(f"access token of {account}"),
            refresh_token=Secret(f"refresh token of {account}"),
            expires_at=self.clock() + timedelta(hours=1),
            scopes=Scopes.parse(scopes),
            account_id=account,
            account_label=f"{account}@example.com",
            metadata={"team": "night shift"},
        )

    async def connect(self, known: KnownSubject, brought: Brought | None = None, provider: str = "github") -> UUID:
        """A connection of this subject, as the consent flow stores it."""
        async with self.log.transaction() as transaction:
            connection_id = await self.grants.store(
                transaction,
                subject_id=known.id,
                subject=known.key,
                provider=provider,
                single=False,
                brought=brought or self.brought(),
                draft=replace(CONSENT, connection=provider),
            )
        assert isinstance(connection_id, UUID)
        return connection_id

    async def row(self, connection_id: UUID) -> ConnectionRow:
        """The row as it stands."""
        async with self.database.transaction() as connection:
            row = await store.get(connection, connection_id)
        assert row is not None
        return row

    async def erase(self, known: KnownSubject) -> None:
        """Erase a subject, with the event that says so."""
        async with self.log.transaction() as transaction:
            held = await self.subjects.hold(transaction.connection, known.id, alone=True)
            assert held is not None
            await transaction.append(Draft(type=EventType.SUBJECT_ERASED, subject=held.key))
            await self.subjects.erase(transaction.connection, held)

    async def verify(self) -> Report:
        """The log's own check of itself."""
        async with self.database.transaction() as connection:
            return await verify(connection, self.keyring)
