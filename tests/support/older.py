"""A database as release 0.1 left it: at revision 0005, in use, all sealed in that release's formats."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, insert, text
from sqlalchemy.ext.asyncio import AsyncConnection

from tests.support.aged import old_consent, plain
from tests.support.house import House
from vaultd.audit.events import Draft, EventType
from vaultd.connections import narrowed
from vaultd.connections.grants import Brought
from vaultd.connections.sealing import Place
from vaultd.connections.table import connections_table, revocations_table
from vaultd.db import Database
from vaultd.keys.envelope import KEY_BYTES, Key, bind, seal
from vaultd.keys.keyring import PURPOSES, check_value, place
from vaultd.keys.local import LocalBackend
from vaultd.sessions.flows import sign_ins_table
from vaultd.subjects.store import KnownSubject
from vaultd.terms import Scopes, Secret

REVISION = "0005"
MIGRATIONS = Path(__file__).parents[2] / "migrations"
USER = Scopes({"user"})


async def migrate_to(connection: AsyncConnection, revision: str) -> None:
    """Bring an empty database to an older revision."""

    def run(sync_connection: Connection) -> None:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
        config.attributes["connection"] = sync_connection
        command.upgrade(config, revision)

    await connection.run_sync(run)


async def first_keys(connection: AsyncConnection, backend: LocalBackend, *, now: Any) -> None:
    """As a process made them at its start, which it could then."""
    for purpose in PURPOSES:
        key = Key(uuid4(), os.urandom(KEY_BYTES))
        wrapped = (await backend.wrap(key.material, bound=place(key.id, purpose))).blob
        await connection.execute(
            text(
                'INSERT INTO keyring (id, purpose, state, root, wrapped, "check", created_at)'
                " VALUES (:id, :purpose, 'active', :root, :wrapped, :check, :now)"
            ),
            {
                "id": key.id,
                "purpose": purpose,
                "root": backend.name,
                "wrapped": wrapped,
                "check": check_value(key, purpose),
                "now": now,
            },
        )


class Older:
    """Fills it. `house` is at that revision, as the serving role; `superuser` writes what today's rooms cannot."""

    def __init__(self, house: House, superuser: Database) -> None:
        self.house = house
        self.superuser = superuser

    async def connected(
        self, known: KnownSubject, provider: str = "github", *, found_by: bool = True, brought: Brought | None = None
    ) -> UUID:
        """A consent as it was stored: the access token bound to its place alone."""
        (connection_id,) = await self.all_connected([known], provider, found_by=found_by, brought=brought)
        return connection_id

    async def all_connected(
        self,
        people: Sequence[KnownSubject],
        provider: str = "github",
        *,
        found_by: bool = True,
        brought: Brought | None = None,
    ) -> list[UUID]:
        """One for each of them."""
        rows, ids = [], [uuid4() for _ in people]
        async with self.house.log.transaction() as transaction:
            keys = await self.house.data_keys.create_many(transaction.connection, "connection", len(people))
            for known, connection_id, key in zip(people, ids, keys, strict=True):
                grant = brought or replace(
                    self.house.brought(), access_token=Secret(f"token of {known.key.subject.sub} at {provider}")
                )
                rows.append(self._row(known, connection_id, provider, key, grant, found_by=found_by))
                event = Draft(
                    type=EventType.CONNECTION_CONNECTED,
                    client_id="agent",
                    connection=provider,
                    subject=known.key,
                    connection_id=connection_id,
                    account=grant.account_label,
                    scopes=grant.scopes,
                    generation=1,
                    revision=1,
                )
                await transaction.append(event)
            await transaction.connection.execute(insert(connections_table), rows)
        return ids

    def _row(
        self, known: KnownSubject, connection_id: UUID, provider: str, key: Key, grant: Brought, *, found_by: bool
    ) -> dict[str, Any]:
        now = self.house.clock()
        bound = Place(connection_id, known.id, provider, 1, 1, grant.scopes, grant.expires_at)
        named = {"id": grant.account_id, "label": grant.account_label, "names": list(grant.account_names)}

        def sealed(name: str, value: str, account_id: str | None) -> bytes:
            return seal(key, value.encode(), bound=bound.bound(name, account_id)).blob

        refresh = grant.refresh_token
        return {
            "id": connection_id,
            "subject_id": known.id,
            "provider": provider,
            "account_ref": self.house.keyring.lookup("account", known.id, provider, grant.account_id),
            "account_lookup": self.house.lookups.account(provider, grant.account_id) if found_by else None,
            "status": "connected",
            "generation": 1,
            "revision": 1,
            "granted_scopes": str(grant.scopes),
            "expires_at": grant.expires_at,
            "data_key_id": key.id,
            "access_token": sealed("access_token", grant.access_token.reveal(), grant.account_id),
            "refresh_token": refresh and sealed("refresh_token", refresh.reveal(), grant.account_id),
            "account": sealed("account", json.dumps(named), None),
            "provider_metadata": sealed("metadata", json.dumps(grant.metadata), grant.account_id),
            "lease_fence": 0,
            "created_at": now,
            "connected_at": now,
        }

    async def broken(self, known: KnownSubject, provider: str, *, found_by: bool = True) -> UUID:
        """One whose grant has ended."""
        connection_id = await self.connected(known, provider, found_by=found_by)
        async with self.house.log.transaction() as transaction:
            await transaction.connection.execute(
                text(
                    "UPDATE connections SET status = 'reconnect_required', reason = 'invalid_grant',"
                    " access_token = NULL, refresh_token = NULL WHERE id = :id"
                ),
                {"id": connection_id},
            )
            await transaction.append(
                _ended(EventType.CONNECTION_BROKEN, "invalid_grant", known, provider, connection_id, revision=1)
            )
        return connection_id

    async def revoked(self, known: KnownSubject, provider: str) -> UUID:
        """One that was disconnected, its tokens still to be revoked at the provider."""
        connection_id = await self.connected(known, provider)
        async with self.house.log.transaction() as transaction:
            await transaction.connection.execute(
                text(
                    "UPDATE connections SET status = 'revoked', reason = 'disconnected', generation = 2,"
                    " data_key_id = NULL, access_token = NULL, refresh_token = NULL, account = NULL, metadata = NULL"
                    " WHERE id = :id"
                ),
                {"id": connection_id},
            )
            await self._to_be_revoked(transaction.connection, known, provider)
            await transaction.append(
                _ended(EventType.CONNECTION_REVOKED, "disconnected", known, provider, connection_id)
            )
        return connection_id

    async def _to_be_revoked(self, connection: AsyncConnection, known: KnownSubject, provider: str) -> None:
        """Whose they were, and since when, stood in the clear columns alone."""
        key = await self.house.data_keys.create(connection, "connection")
        revocation_id, now = uuid4(), self.house.clock()
        tokens = json.dumps({"access_token": "going", "refresh_token": "going too", "metadata": {}}).encode()
        await connection.execute(
            insert(revocations_table).values(
                id=revocation_id,
                provider=provider,
                subject_id=known.id,
                data_key_id=key.id,
                sealed=seal(key, tokens, bound=bind("revocation", 1, revocation_id, provider)).blob,
                attempts=3,
                # Far enough, so that nobody calls the provider meanwhile.
                next_try_at=now + timedelta(hours=5),
                created_at=now,
            )
        )

    async def narrowed(self, known: KnownSubject, connection_id: UUID, provider: str = "github") -> None:
        """A token for fewer scopes, whose format is the one of today."""
        until = self.house.clock() + timedelta(hours=1)
        async with self.superuser.transaction() as connection:
            wanted = text(
                "SELECT c.data_key_id, k.wrapped FROM connections c JOIN data_keys k ON k.id = c.data_key_id"
                " WHERE c.id = :id"
            )
            row = (await connection.execute(wanted, {"id": connection_id})).one()
            key = self.house.data_keys.unwrap(row.data_key_id, "connection", row.wrapped)
            spot = narrowed.Place(connection_id, known.id, provider, "octocat", 1, USER, until)
            await narrowed.keep(connection, key, spot, Secret("narrowed"), USER, now=self.house.clock())

    async def consents(self, known: KnownSubject) -> None:
        """One in each stage."""
        now = self.house.clock()
        singles = {
            "begun": ("ticket", "auth_session"),
            "sent": ("state", "browser"),
            "returned": ("auth_session", "connect_code"),
        }
        for stage, names in singles.items():
            columns: dict[str, Any] = {
                "id": uuid4(),
                "kind": "door" if stage == "sent" else "api",
                "stage": stage,
                "subject_id": known.id,
                "client_id": "agent",
                "provider": "github",
                "redirect_uri": "https://app.example.com/connected",
                "created_at": now,
                "expires_at": now + timedelta(minutes=10),
                "granted": self.house.brought("hubot").to_json() if stage == "returned" else None,
                **{f"{name}_hash": plain(f"{name} of {stage}") for name in names},
            }
            await old_consent(self.house, self.superuser, columns=columns, private={"state": "app state"})

    async def browsers(self, known: KnownSubject) -> None:
        """One that is signing in, and one that has."""
        now = self.house.clock()
        flow = json.dumps({"verifier": "v", "nonce": "n", "continue_to": "/connections"}).encode()
        async with self.superuser.transaction() as connection:
            key = await self.house.data_keys.create(connection, "sign_in")
            sealed = seal(key, flow, bound=bind("sign_in", 1, plain("state"))).blob
            values = {"data_key_id": key.id, "sealed": sealed, "expires_at": now + timedelta(minutes=10)}
            hashed = {"state_hash": plain("state"), "browser_hash": plain("browser")}
            await connection.execute(insert(sign_ins_table).values(**hashed, **values))
            await connection.execute(
                text("INSERT INTO sessions VALUES (:cookie, :subject, :now, :now, :until)"),
                {"cookie": plain("cookie"), "subject": known.id, "now": now, "until": now + timedelta(days=7)},
            )

    async def switched_off(self, known: KnownSubject, client_id: str) -> None:
        """By the user's switch."""
        async with self.house.log.transaction() as transaction:
            await transaction.connection.execute(
                text("INSERT INTO away_refusals VALUES (:subject, :client, now())"),
                {"subject": known.id, "client": client_id},
            )
            await transaction.append(Draft(type=EventType.AWAY_REFUSED, subject=known.key, client_id=client_id))


def _ended(
    kind: EventType,
    reason: str,
    known: KnownSubject,
    provider: str,
    connection_id: UUID,
    *,
    revision: int | None = None,
) -> Draft:
    return Draft(
        type=kind,
        reason=reason,
        subject=known.key,
        connection=provider,
        connection_id=connection_id,
        generation=1,
        revision=revision,
    )
