"""A vault that two people have used for a while, and what can be seen of it without changing it.

Every look is taken by parts that remember nothing, so that what stands in the database is what counts.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from uuid import UUID, uuid4

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from tests.support.house import ISSUER, House
from vaultd.audit.events import Decision, Draft, EventType
from vaultd.connections import lease, narrowed, outbox, store
from vaultd.connections.grants import Brought
from vaultd.connections.kept import open_kept, seal_kept
from vaultd.connections.labels import Labels
from vaultd.connections.locked import lock_for_release
from vaultd.connections.pending import PendingGrants
from vaultd.connections.sealing import data_key_of, open_connection
from vaultd.db import Database
from vaultd.errors import CannotOpen, InteractionRequired, Replayed, VaultdError
from vaultd.keys.data_keys import DataKeys
from vaultd.keys.keyring import open_keyring
from vaultd.keys.local import LocalBackend
from vaultd.release.decide import Allowed, Ask, Judge, Refused
from vaultd.replay import ReplayMemory
from vaultd.revoke import Revoke
from vaultd.revoke.secrets import Secrets
from vaultd.sessions.flows import Flow, Flows
from vaultd.sessions.store import Lifetime, Sessions
from vaultd.subjects.away import AwaySwitch
from vaultd.subjects.store import KnownSubject, SubjectStore
from vaultd.terms import ProviderName, Scopes, Secret, Subject, SubjectId

PEOPLE = ("alice", "mallory")
REFUSED = "refused"
LIFETIME = Lifetime(idle=timedelta(hours=1), absolute=timedelta(days=1))
KEPT = ["locks", "keyring", "data_keys", "subjects", "connections", "narrowed_tokens", "pending_grants", "revocations"]
KEPT += ["sessions", "sign_ins", "replay", "away_refusals", "lanes"]
Look = Callable[[], Awaitable[object]]


class _Undone(Exception):
    """Ends a transaction that is to leave no trace."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LivedIn:
    """The vault and its two people."""

    house: House
    superuser: Database
    backend: LocalBackend
    cookies: dict[str, str]

    async def save(self) -> None:
        """Keep the rows as they are now, in the order in which they were written: ids are random, and tell nothing."""
        written = "xmin::text::bigint, cmin::text::bigint, ctid"
        async with self.superuser.transaction() as connection:
            await connection.execute(text("CREATE SCHEMA saved"))
            for table in KEPT:
                rows = f"SELECT * FROM public.{table} ORDER BY {written}"  # noqa: S608 - constants
                await connection.execute(text(f"CREATE TABLE saved.{table} AS {rows}"))

    async def restore(self) -> None:
        """Put them back."""
        async with self.superuser.transaction() as connection:
            await connection.execute(text("SET LOCAL session_replication_role = replica"))
            await connection.execute(text("ALTER TABLE lanes DISABLE TRIGGER closed_once"))
            for table in KEPT:
                await connection.execute(text(f"DELETE FROM public.{table}"))  # noqa: S608
                await connection.execute(text(f"INSERT INTO public.{table} TABLE saved.{table}"))
            await connection.execute(text("ALTER TABLE lanes ENABLE ALWAYS TRIGGER closed_once"))

    async def observe(self) -> dict[str, object]:
        """Whatever anybody can get out of the vault by its rows. What is refused is `REFUSED`."""
        seen: dict[str, object] = {}
        for name, look in self._looks().items():
            try:
                seen[name] = await look()
            except (VaultdError, _Undone):
                seen[name] = REFUSED
        return seen

    def _looks(self) -> dict[str, Look]:
        looks: dict[str, Look] = {"keys": self._keys, "outbox": self._outbox, "replay": self._replay}
        for name in PEOPLE:
            looks |= {
                f"{name}: exchange": partial(self._exchange, name),
                f"{name}: narrowed": partial(self._narrowed, name),
                f"{name}: lease": partial(self._lease, name),
                f"{name}: kept": partial(self._kept, name),
                f"{name}: notice": partial(self._notice, name),
                f"{name}: accounts": partial(self._accounts, name),
                f"{name}: session": partial(self._session, name, timedelta()),
                f"{name}: idle session": partial(self._session, name, timedelta(hours=2)),
                f"{name}: old session": partial(self._session, name, timedelta(days=2)),
                f"{name}: consent": partial(self._consent, name, timedelta()),
                f"{name}: old consent": partial(self._consent, name, timedelta(hours=1)),
                f"{name}: callback": partial(self._callback, name),
                f"{name}: sign-in": partial(self._sign_in, name, timedelta()),
                f"{name}: old sign-in": partial(self._sign_in, name, timedelta(hours=1)),
                f"{name}: away": partial(self._away, name),
            }
        return looks

    async def _known(self, name: str) -> KnownSubject:
        house = self.house
        fresh = SubjectStore(
            database=house.database, keyring=house.keyring, data_keys=DataKeys(house.keyring), clock=house.clock
        )
        known = await fresh.find(Subject(ISSUER, name))
        if known is None:
            raise InteractionRequired("not_connected", connection="github", display_name="GitHub")
        return known

    async def _exchange(self, name: str) -> object:
        known = await self._known(name)
        labels = Labels(data_keys=DataKeys(self.house.keyring))
        judge = Judge(labels.of, labels.matches, labels.deliver)
        ask = _ask(known)
        async with self.house.database.direct() as driver, driver.transaction():
            locked = await lock_for_release(driver, [(ask.subject_id, ask.provider)])
        verdict = judge.decide(ask, locked.rows_of((ask.subject_id, ask.provider)) or [], self.house.clock())
        if isinstance(verdict, Refused):
            raise verdict.error
        assert isinstance(verdict, Allowed), verdict
        token = verdict.delivery
        return token.access_token.reveal(), token.account_label, str(token.metadata), str(verdict.row.granted_scopes)

    async def _narrowed(self, name: str) -> object:
        known = await self._known(name)
        async with self.house.database.transaction() as connection:
            rows = [row for row in await store.rows_of(connection, known.id) if row.provider == "github"]
            wanted = [(row.id, Scopes({"user"})) for row in rows]
            kept = await narrowed.find(connection, wanted, after=self.house.clock())
        opener = narrowed.Narrowed(data_keys=DataKeys(self.house.keyring))
        opened = [opener.open(row, kept.get((row.id, Scopes({"user"}))))[1] for row in rows]
        return [REFUSED if one is None else (one.token.reveal(), str(one.scopes)) for one in opened] or REFUSED

    async def _lease(self, name: str) -> object:
        known = await self._known(name)
        async with self._undone() as connection:
            rows = [row for row in await store.rows_of(connection, known.id) if row.provider == "github"]
            fences = [await lease.take(connection, row, owner=uuid4(), now=self.house.clock()) for row in rows]
        return ["taken" if fence is not None else REFUSED for fence in fences] or REFUSED

    async def _notice(self, name: str) -> object:
        """Whose connections would end by a notice about this account."""
        lookup = self.house.lookups.account("github", name)
        ended = []
        async with self.house.database.transaction() as connection:
            moment = self.house.clock() + timedelta(minutes=1)
            found = await store.named(connection, ["github"], accounts=[lookup], tokens=[], connected_before=moment)
            for connection_id, _ in found:
                row = await store.get(connection, connection_id)
                assert row is not None
                try:
                    ended.append(open_connection(data_key_of(row, DataKeys(self.house.keyring)), row).account_label)
                except CannotOpen:
                    continue
        return ended or REFUSED

    async def _accounts(self, name: str) -> object:
        known = await self._known(name)
        labels = Labels(data_keys=DataKeys(self.house.keyring))
        async with self.house.database.transaction() as connection:
            rows = await store.rows_of(connection, known.id)
        return sorted(f"{row.provider} {labels.of(row)} {row.status}" for row in rows)

    async def _session(self, name: str, later: timedelta) -> object:
        house = self.house
        sessions = Sessions(
            database=house.database,
            log=house.log,
            keyring=house.keyring,
            clock=lambda: house.clock() + later,
            lifetime=LIFETIME,
        )
        found = await sessions.find(self.cookies[name])
        return REFUSED if found is None else str(found.subject_id)

    async def _consent(self, name: str, later: timedelta) -> object:
        pending = PendingGrants(data_keys=DataKeys(self.house.keyring), keyring=self.house.keyring)
        found_by = {**pending.hashed(connect_code=f"connect code of {name}"), "stage": "returned"}
        async with self._undone() as connection:
            taken = await pending.advance(
                connection, found_by=found_by, stage="done", now=self.house.clock() + later, set_={}
            )
            if taken is None:
                return REFUSED
            granted = await pending.open_grant(connection, taken)
        place = (str(taken.subject_id), taken.kind, taken.client_id, taken.provider, taken.redirect_uri)
        return *place, taken.code_challenge, taken.auth_session_hash, granted["access_token"]

    async def _callback(self, name: str) -> object:
        pending = PendingGrants(data_keys=DataKeys(self.house.keyring), keyring=self.house.keyring)
        hashed = pending.hashed(state=f"state of {name}", browser=f"browser of {name}")
        async with self._undone() as connection:
            found_by = {**hashed, "provider": "github", "stage": "sent"}
            taken = await pending.advance(
                connection, found_by=found_by, stage="returned", now=self.house.clock(), set_={}
            )
        if taken is None:
            return REFUSED
        return str(taken.subject_id), taken.kind, taken.client_id, taken.redirect_uri, str(taken.private)

    async def _sign_in(self, name: str, later: timedelta) -> object:
        house = self.house
        flows = Flows(
            database=house.database,
            data_keys=DataKeys(house.keyring),
            keyring=house.keyring,
            clock=lambda: house.clock() + later,
        )
        flow = await flows.take(unverified_state=f"state of {name}", browser=f"browser of {name}")
        if flow is not None:
            await self.restore_one("sign_ins", "data_keys")
        return flow or REFUSED

    async def restore_one(self, *tables: str) -> None:
        """Put back what a look has taken."""
        async with self.superuser.transaction() as connection:
            await connection.execute(text("SET LOCAL session_replication_role = replica"))
            for table in tables:
                statement = f"INSERT INTO public.{table} TABLE saved.{table} ON CONFLICT DO NOTHING"
                await connection.execute(text(statement))

    async def _kept(self, name: str) -> object:
        """What an operator brings back."""
        known = await self._known(name)
        async with self.house.database.transaction() as connection:
            rows = await store.rows_of(connection, known.id)
        row = next((row for row in rows if row.kept is not None), None)
        if row is None or row.kept_until is None or row.kept_until <= self.house.clock():
            return REFUSED
        opened = open_kept(data_key_of(row, DataKeys(self.house.keyring)), row)
        return opened.access_token.reveal(), opened.refresh_token and opened.refresh_token.reveal(), opened.account_id

    async def _away(self, name: str) -> object:
        """What an agent that was switched off may do."""
        known = await self._known(name)
        switch = AwaySwitch(database=self.house.database, log=self.house.log, clock=self.house.clock)
        return REFUSED if await switch.is_refused(known.id, "nightly") else "allowed"

    async def _outbox(self) -> object:
        async with self._undone() as connection:
            due = await outbox.claim(
                connection, DataKeys(self.house.keyring), now=self.house.clock(), busy_for=timedelta(minutes=1)
            )
        return sorted(
            f"{one.provider} {one.access_token.reveal()} {one.subject_id}" if one.access_token else REFUSED
            for one in due
        )

    async def _replay(self) -> object:
        memory = ReplayMemory(database=self.house.database, clock=self.house.clock)
        async with self._undone() as connection:
            try:
                until = self.house.clock() + timedelta(minutes=1)
                await memory.use_within(connection, "assertion", "agent", "once", until=until)
            except Replayed:
                return REFUSED
        return "used twice"

    async def _keys(self) -> object:
        async with self.house.database.transaction() as connection:
            return len((await open_keyring(connection, self.backend)).entries())

    @asynccontextmanager
    async def _undone(self) -> AsyncIterator[AsyncConnection]:
        try:
            async with self.house.database.transaction() as connection:
                yield connection
                raise _Undone  # noqa: TRY301 - nothing of it is to stay
        except _Undone:
            return


def _ask(known: KnownSubject) -> Ask:
    event = Draft(type=EventType.TOKEN_EXCHANGED, client_id="agent", subject=known.key)
    return Ask(
        subject_id=SubjectId(known.id),
        subject=known.key,
        provider=ProviderName("github"),
        display_name="GitHub",
        allowed=Scopes({"repo", "user"}),
        requested=None,
        on_wider_grant="refuse",
        refresh_margin=timedelta(seconds=60),
        login_hint=None,
        event=event,
    )


async def live_in(house: House, superuser: Database, backend: LocalBackend) -> LivedIn:
    """Let two people use the vault."""
    cookies = {name: await _use(house, name) for name in PEOPLE}
    memory = ReplayMemory(database=house.database, clock=house.clock)
    await memory.use("assertion", "agent", "once", until=house.clock() + timedelta(minutes=10))
    lived_in = LivedIn(house=house, superuser=superuser, backend=backend, cookies=cookies)
    await lived_in.save()
    return lived_in


async def _use(house: House, name: str) -> str:
    known = await house.subject(name)
    brought = replace(house.brought(), account_id=name, access_token=Secret(f"token of {name}"))
    await _narrow(house, await house.connect(known, brought))
    await _break(house, known, await house.connect(known, brought, "slack"))
    await _disconnect(house, known, await house.connect(known, brought, "gitlab"))
    switch = AwaySwitch(database=house.database, log=house.log, clock=house.clock)
    await switch.refuse(known.id, "nightly", draft=Draft(type=EventType.AWAY_REFUSED, subject=known.key))
    await _consents(house, known, name, brought)
    flows = Flows(database=house.database, data_keys=house.data_keys, keyring=house.keyring, clock=house.clock)
    flow = Flow(verifier=f"verifier of {name}", nonce="nonce", continue_to="/connections")
    await flows.begin(flow, state=f"state of {name}", browser=f"browser of {name}")
    sessions = Sessions(
        database=house.database, log=house.log, keyring=house.keyring, clock=house.clock, lifetime=LIFETIME
    )
    opened = Draft(type=EventType.SESSION_OPENED, subject=known.key)
    return await sessions.open(known.id, issuer="issuer", sid=f"sid of {name}", instead_of=None, draft=opened)


async def _narrow(house: House, connection_id: UUID) -> None:
    row = await house.row(connection_id)
    key = data_key_of(row, house.data_keys)
    opened = open_connection(key, row)
    until = house.clock() + timedelta(hours=1)
    place = narrowed.Place.of(row, opened.account_id, Scopes({"user"}), until)
    token = Secret(f"narrowed {opened.access_token.reveal()}")
    async with house.database.transaction() as connection:
        await narrowed.keep(connection, key, place, token, Scopes({"user"}), now=house.clock())


async def _break(house: House, known: KnownSubject, connection_id: UUID) -> None:
    row = await house.row(connection_id)
    key = data_key_of(row, house.data_keys)
    kept = seal_kept(key, row, open_connection(key, row), house.clock() + timedelta(days=7))
    async with house.log.transaction() as transaction:
        assert await store.break_connection(transaction.connection, row, fence=None, reason="invalid_grant", kept=kept)
        draft = Draft(
            type=EventType.CONNECTION_BROKEN,
            decision=Decision.ALLOWED,
            reason="invalid_grant",
            subject=known.key,
            connection=row.provider,
            connection_id=row.id,
            generation=row.generation,
            revision=row.revision,
        )
        await transaction.append(draft)


async def _disconnect(house: House, known: KnownSubject, connection_id: UUID) -> None:
    revoke = Revoke(
        database=house.database,
        log=house.log,
        secrets=Secrets(data_keys=house.data_keys, clock=house.clock),
        subjects=house.subjects,
        wake=lambda: None,
    )
    draft = Draft(type=EventType.CONNECTION_REVOKED)
    await revoke.disconnect(subject_id=known.id, connection_id=connection_id, draft=draft)


async def _consents(house: House, known: KnownSubject, name: str, brought: Brought) -> None:
    now = house.clock()
    common = {
        "subject_id": known.id,
        "client_id": "agent",
        "provider": "github",
        "redirect_uri": "https://app.example.com/connected",
    }
    sent = house.pending.hashed(state=f"state of {name}", browser=f"browser of {name}")
    session = house.pending.hashed(auth_session=f"auth session of {name}", ticket=f"ticket of {name}")
    at_the_door = {"kind": "door", "stage": "sent", **sent}
    by_an_app = {"kind": "api", "stage": "returned", "code_challenge": f"challenge of {name}", **session}
    async with house.database.transaction() as connection:
        begun = [
            await house.pending.begin(
                connection,
                columns={**common, **columns},
                private={"state": "app state"},
                now=now,
                expires_at=now + timedelta(minutes=10),
            )
            for columns in (at_the_door, by_an_app)
        ]
        waiting = await house.pending.find(connection, id=begun[1])
        assert waiting is not None
        kept = await house.pending.keep_grant(
            connection, waiting, grant=brought.to_json(), connect_code=f"connect code of {name}"
        )
        assert kept
