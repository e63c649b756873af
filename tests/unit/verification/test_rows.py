"""Each thing that `vaultd audit verify` finds in rows, alone and in its own words."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from tests.support.house import House
from tests.support.lived_in import LIFETIME
from vaultd.app.verifying import verification_of
from vaultd.audit.events import Draft, EventType, encode
from vaultd.connections import store
from vaultd.connections.lookups import Lookups
from vaultd.connections.sealing import Opened
from vaultd.db import Database
from vaultd.sessions.store import Sessions
from vaultd.subjects.away import AwaySwitch
from vaultd.subjects.store import KnownSubject
from vaultd.terms import Scopes, Secret

ALTERED = "the tag does not match"


class Tamperer:
    """Somebody who may write everything and has no key, over a vault in which one user has connected."""

    def __init__(self, house: House, superuser: Database) -> None:
        self.house = house
        self._superuser = superuser

    async def __call__(self, *statements: str, **values: object) -> None:
        """Run these, foreign keys and triggers aside; each must change something."""
        async with self._superuser.transaction() as connection:
            await connection.execute(text("SET LOCAL session_replication_role = replica"))
            for statement in statements:
                used = {name: value for name, value in values.items() if f":{name}" in statement}
                assert (await connection.execute(text(statement), used)).rowcount > 0, statement

    async def found(self) -> list[str]:
        return (await verification_of(self.house.database, self.house.keyring)()).findings

    async def value(self, statement: str, **values: object) -> object:
        async with self._superuser.transaction() as connection:
            return (await connection.execute(text(statement), values)).scalar_one()


@pytest.fixture
def tamper(house: House, superuser: Database) -> Tamperer:
    return Tamperer(house, superuser)


async def connected(tamper: Tamperer, name: str = "alice") -> tuple[KnownSubject, UUID]:
    known = await tamper.house.subject(name)
    connection_id = await tamper.house.connect(known)
    assert await tamper.found() == []
    return known, connection_id


async def unused_key(tamper: Tamperer) -> UUID:
    async with tamper.house.database.transaction() as connection:
        key = await tamper.house.data_keys.create(connection, "connection")
    assert await tamper.found() == []
    return key.id


@pytest.mark.parametrize("change", ["purpose = 'pending'", "wrapped = wrapped || '\\x00'"])
async def test_a_data_key_that_was_altered(tamper: Tamperer, change: str) -> None:
    key_id = await unused_key(tamper)
    await tamper(f"UPDATE data_keys SET {change}")  # noqa: S608 - a constant
    purpose = await tamper.value("SELECT purpose FROM data_keys")
    (finding,) = await tamper.found()
    assert finding == f"data key {key_id}: it does not open as one for a {purpose} ({ALTERED})"


async def test_a_data_key_that_names_another_key_of_the_ring(tamper: Tamperer) -> None:
    key_id = await unused_key(tamper)
    was = await tamper.value("SELECT kek_id FROM data_keys")
    await tamper("UPDATE data_keys SET kek_id = (SELECT id FROM keyring WHERE purpose = 'chain')")
    names = await tamper.value("SELECT kek_id FROM data_keys")
    assert await tamper.found() == [f"data key {key_id}: its row names {names}, and {was} wrapped it"]


@pytest.mark.parametrize("change", ["expires_at = expires_at + interval '1 day'", "mac = sha256(mac)"])
async def test_a_session_that_was_changed(tamper: Tamperer, change: str) -> None:
    house = tamper.house
    known = await house.subject()
    sessions = Sessions(
        database=house.database, log=house.log, keyring=house.keyring, clock=house.clock, lifetime=LIFETIME
    )
    draft = Draft(type=EventType.SESSION_OPENED, subject=known.key)
    await sessions.open(known.id, issuer="issuer", sid=None, instead_of=None, draft=draft)
    assert await tamper.found() == []
    await tamper(f"UPDATE sessions SET {change}")  # noqa: S608 - a constant
    assert await tamper.found() == [f"a session of subject {known.id}: it is not as it was written"]


async def consent(tamper: Tamperer) -> UUID:
    house, now = tamper.house, tamper.house.clock()
    columns: Mapping[str, object] = {
        "kind": "api",
        "stage": "returned",
        "subject_id": (await house.subject()).id,
        "client_id": "agent",
        "provider": "github",
        "redirect_uri": "https://app.example.com/connected",
    }
    until = now + timedelta(minutes=10)
    async with house.database.transaction() as connection:
        pending_id = await house.pending.begin(connection, columns=columns, private={}, now=now, expires_at=until)
        waiting = await house.pending.find(connection, id=pending_id)
        assert waiting is not None
        grant = house.brought().to_json()
        assert await house.pending.keep_grant(connection, waiting, grant=grant, connect_code="code")
    assert await tamper.found() == []
    return pending_id


@pytest.mark.parametrize(
    "change", ["redirect_uri = 'https://evil.example/'", "sealed = granted", "granted = sealed", "granted = NULL"]
)
async def test_a_consent_that_was_changed(tamper: Tamperer, change: str) -> None:
    pending_id = await consent(tamper)
    await tamper(f"UPDATE pending_grants SET {change}")  # noqa: S608 - a constant
    assert await tamper.found() == [f"consent {pending_id}: it does not open ({ALTERED})"]


async def test_a_consent_whose_data_key_is_gone(tamper: Tamperer) -> None:
    pending_id = await consent(tamper)
    key_id = await tamper.value("SELECT data_key_id FROM pending_grants")
    await tamper("DELETE FROM data_keys WHERE purpose = 'pending'")
    assert await tamper.found() == [f"consent {pending_id}: it does not open (data key {key_id} is not there)"]


async def revocation(tamper: Tamperer) -> object:
    house = tamper.house
    async with house.log.transaction() as transaction:
        await house.grants.give_back(transaction.connection, "github", None, house.brought())
    assert await tamper.found() == []
    return await tamper.value("SELECT id FROM revocations")


async def test_a_revocation_that_was_changed(tamper: Tamperer) -> None:
    revocation_id = await revocation(tamper)
    await tamper("UPDATE revocations SET provider = 'slack'")
    assert await tamper.found() == [f"revocation {revocation_id}: it does not open"]


async def test_a_revocation_that_is_put_off(tamper: Tamperer) -> None:
    revocation_id = await revocation(tamper)
    await tamper("UPDATE revocations SET next_try_at = now() + interval '25 hours'")
    until = await tamper.value("SELECT next_try_at FROM revocations")
    assert await tamper.found() == [f"revocation {revocation_id}: its next try is put off to {until}"]


async def test_subjects_whose_lookups_were_exchanged(tamper: Tamperer) -> None:
    (alice, _), (mallory, _) = await connected(tamper), await connected(tamper, "mallory")
    await tamper(
        "UPDATE subjects s SET lookup = sha256(s.lookup)",
        "UPDATE subjects s SET lookup = o.value FROM (VALUES (cast(:alice AS uuid), cast(:hers AS bytea)),"
        " (cast(:mallory AS uuid), cast(:his AS bytea))) AS o (id, value) WHERE s.id = o.id",
        alice=alice.id,
        mallory=mallory.id,
        hers=await tamper.value("SELECT lookup FROM subjects WHERE id = :id", id=mallory.id),
        his=await tamper.value("SELECT lookup FROM subjects WHERE id = :id", id=alice.id),
    )
    expected = [f"subject row {one}: subject {one} is found by the lookup of another" for one in (alice.id, mallory.id)]
    assert sorted(await tamper.found()) == sorted(expected)


async def test_a_subject_with_a_data_key_of_another(tamper: Tamperer) -> None:
    (alice, _), (bob, _) = await connected(tamper), await connected(tamper, "bob")
    await tamper("UPDATE subjects SET data_key_id = :key WHERE id = :id", id=alice.id, key=bob.key.data_key_id)
    assert await tamper.found() == [f"subject row {alice.id}: sealed under another key"]


async def test_a_subject_whose_data_key_is_gone(tamper: Tamperer) -> None:
    alice, _ = await connected(tamper)
    await tamper("DELETE FROM data_keys WHERE id = :id", id=alice.key.data_key_id)
    assert await tamper.found() == [f"subject row {alice.id}: data key {alice.key.data_key_id} is not there"]


async def test_a_subject_that_is_gone_without_a_word(tamper: Tamperer) -> None:
    alice = await tamper.house.subject()
    await tamper.house.log.record(Draft(type=EventType.TOKEN_REFUSED, subject=alice.key))
    assert await tamper.found() == []
    await tamper("DELETE FROM subjects", "DELETE FROM data_keys")
    ref = encode(alice.key.subject_ref)
    said = "events name it, its row is gone, and no event says that it was erased"
    assert await tamper.found() == [f"subject_ref {ref}: {said}"]


async def test_a_subject_that_is_put_back(tamper: Tamperer) -> None:
    alice = await tamper.house.subject()
    await tamper("CREATE TABLE kept AS TABLE subjects", "CREATE TABLE kept_keys AS TABLE data_keys")
    await tamper.house.erase(alice)
    assert await tamper.found() == []
    await tamper("INSERT INTO data_keys TABLE kept_keys", "INSERT INTO subjects TABLE kept")
    assert await tamper.found() == [f"subject {alice.id}: it was erased, and its row is there again"]


async def test_a_connection_of_which_no_event_tells(tamper: Tamperer) -> None:
    house, alice = tamper.house, await tamper.house.subject()
    async with house.database.transaction() as connection:
        connection_id, _ = await store.connect(
            connection,
            house.data_keys,
            previous=None,
            subject_id=alice.id,
            provider="github",
            account_ref=b"ref",
            lookups=Lookups(None),
            granted_scopes=Scopes(),
            expires_at=None,
            opened=Opened(Secret("token"), None, "1001", "alice", {}),
            now=house.clock(),
        )
    assert await tamper.found() == [f"connection {connection_id}: no event tells of it"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("reason = 'other'", "its reason is other, and by the log it is None"),
        (
            "status = 'revoked', access_token = NULL, refresh_token = NULL, account = NULL, data_key_id = NULL",
            "its status is revoked, and by the log it is connected",
        ),
        (
            "status = 'reconnect_required', access_token = NULL, refresh_token = NULL",
            "its status is reconnect_required, and by the log it is connected",
        ),
    ],
)
async def test_a_connection_that_says_something_else_than_the_log(tamper: Tamperer, change: str, said: str) -> None:
    _, connection_id = await connected(tamper)
    await tamper(f"UPDATE connections SET {change}")  # noqa: S608 - a constant
    assert await tamper.found() == [f"connection {connection_id}: {said}"]


@pytest.mark.parametrize("column", ["generation", "revision"])
async def test_a_connection_that_is_ahead_of_the_log(tamper: Tamperer, column: str) -> None:
    _, connection_id = await connected(tamper)
    await tamper(f"UPDATE connections SET {column} = 2")  # noqa: S608 - a constant
    assert await tamper.found() == [
        f"connection {connection_id}: its {column} is 2, and by the log it is 1",
        f"connection {connection_id}: it does not open ({ALTERED})",
    ]


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        ("provider = 'slack'", ALTERED),
        ("refresh_token = NULL, metadata = NULL", ALTERED),
        ("refresh_token = NULL", ALTERED),
        ("metadata = NULL", ALTERED),
        ("connected_at = connected_at - interval '1 day'", ALTERED),
        ("account = NULL", "the field is empty"),
    ],
)
async def test_a_connection_that_does_not_open(tamper: Tamperer, change: str, detail: str) -> None:
    _, connection_id = await connected(tamper)
    await tamper(f"UPDATE connections SET {change}")  # noqa: S608 - a constant
    assert await tamper.found() == [f"connection {connection_id}: it does not open ({detail})"]


@pytest.mark.parametrize("change", ["data_key_id = NULL", "data_key_id = gen_random_uuid()"])
async def test_a_connection_without_a_data_key(tamper: Tamperer, change: str) -> None:
    _, connection_id = await connected(tamper)
    await tamper(f"UPDATE connections SET {change}")  # noqa: S608 - a constant
    said = f"it does not open (connection {connection_id} has no data key)"
    assert await tamper.found() == [f"connection {connection_id}: {said}"]


async def test_a_connection_that_is_gone(tamper: Tamperer) -> None:
    await connected(tamper)
    await tamper("DELETE FROM connections", "DELETE FROM data_keys WHERE purpose = 'connection'")
    said = "events tell of it, and its row is gone (generation 1, connected)"
    assert await tamper.found() == [f"a connection: {said}"]


async def test_a_connection_under_another_id(tamper: Tamperer) -> None:
    await connected(tamper)
    other = uuid4()
    await tamper("UPDATE connections SET id = :id", id=other)
    assert await tamper.found() == [
        f"connection {other}: no event tells of it",
        "a connection: events tell of it, and its row is gone (generation 1, connected)",
    ]


def switch_of(house: House) -> AwaySwitch:
    return AwaySwitch(database=house.database, log=house.log, clock=house.clock)


async def test_a_switch_that_was_taken_away(tamper: Tamperer) -> None:
    alice = await tamper.house.subject()
    draft = Draft(type=EventType.AWAY_REFUSED, subject=alice.key)
    await switch_of(tamper.house).refuse(alice.id, "nightly", draft=draft)
    assert await tamper.found() == []
    await tamper("DELETE FROM away_refusals")
    said = "by the log nightly is switched off while they are away, and the row says otherwise"
    assert await tamper.found() == [f"subject {alice.id}: {said}"]


async def test_a_switch_that_nobody_set(tamper: Tamperer) -> None:
    alice = await tamper.house.subject()
    await tamper("INSERT INTO away_refusals VALUES (:id, 'nightly', now())", id=alice.id)
    said = "by the log nightly is switched on while they are away, and the row says otherwise"
    assert await tamper.found() == [f"subject {alice.id}: {said}"]
