"""The keyring in the database: made once, opened whole, and refused when anything about it is foreign."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from sqlalchemy import insert, text

from vaultd.db import Database
from vaultd.errors import CannotOpen, KeyringError, TemporarilyUnavailable
from vaultd.keys.data_keys import DataKeys
from vaultd.keys.envelope import KEY_BYTES, Key
from vaultd.keys.keyring import (
    PURPOSES,
    Keyring,
    Purpose,
    check_value,
    keyring_table,
    make_keys_once,
    open_keyring,
    place,
)
from vaultd.keys.local import LocalBackend, generate_keyring_file, open_keyring_file
from vaultd.terms import system_clock


async def opened(database: Database, backend: LocalBackend) -> Keyring:
    async with database.transaction() as connection:
        return await open_keyring(connection, backend)


async def change(database: Database, statement: str, **values: object) -> None:
    async with database.transaction() as connection:
        result = await connection.execute(text(statement), values)
        assert result.rowcount > 0


async def test_no_keys_yet(database: Database, backend: LocalBackend) -> None:
    with pytest.raises(KeyringError, match="no keys yet"):
        await opened(database, backend)


async def test_one_active_key_for_each_purpose(database: Database, keyring: Keyring, backend: LocalBackend) -> None:
    again = await opened(database, backend)
    assert sorted(entry.purpose for entry in again.entries()) == sorted(PURPOSES)
    for purpose in PURPOSES:
        assert again.active(purpose) == keyring.active(purpose)
        assert again.get(keyring.active(purpose).id, purpose) == keyring.active(purpose)


async def test_processes_that_start_at_once_make_one_set(database: Database, backend: LocalBackend) -> None:
    async def start() -> None:
        async with database.transaction() as connection:
            await make_keys_once(connection, backend, now=system_clock())

    await asyncio.gather(*(start() for _ in range(6)))
    assert len((await opened(database, backend)).entries()) == len(PURPOSES)


async def add_key(superuser: Database, backend: LocalBackend, purpose: Purpose) -> UUID:
    """Add an active key, as nobody who serves can."""
    key = Key(uuid4(), os.urandom(KEY_BYTES))
    wrapped = await backend.wrap(key.material, bound=place(key.id, purpose))
    row = {
        "id": key.id,
        "purpose": purpose,
        "state": "active",
        "root": backend.name,
        "wrapped": wrapped.blob,
        "check": check_value(key, purpose),
        "created_at": system_clock(),
    }
    async with superuser.transaction() as connection:
        await connection.execute(insert(keyring_table).values(**row))
    return key.id


async def test_a_second_active_key_is_refused(superuser: Database, keyring: Keyring, backend: LocalBackend) -> None:
    with pytest.raises(TemporarilyUnavailable):
        await add_key(superuser, backend, "kek")


@pytest.mark.parametrize(
    "statement",
    [
        (
            "INSERT INTO keyring SELECT gen_random_uuid(), purpose, 'retired', root, wrapped, \"check\", now()"
            " FROM keyring"
        ),
        "UPDATE keyring SET state = 'retired'",
        "UPDATE keyring SET wrapped = ''",
        "DELETE FROM keyring",
    ],
)
async def test_the_serving_role_changes_no_key(database: Database, keyring: Keyring, statement: str) -> None:
    with pytest.raises(TemporarilyUnavailable) as caught:
        await change(database, statement)
    assert "permission denied" in str(caught.value.__cause__)


async def test_the_first_keys_are_made_once_and_never_beside_others(
    database: Database, keyring: Keyring, backend: LocalBackend
) -> None:
    call = text(
        "SELECT vaultd_make_first_keys(ARRAY[gen_random_uuid()], ARRAY['kek'], 'local:x', ARRAY['\\x00'::bytea],"
        " ARRAY['\\x00'::bytea], now())"
    )
    async with database.transaction() as connection:
        assert (await connection.execute(call)).scalar_one() is False
    assert len((await opened(database, backend)).entries()) == len(PURPOSES)


async def test_a_lock_that_any_login_can_hold_does_not_stop_a_start(
    database: Database, superuser: Database, backend: LocalBackend
) -> None:
    async with superuser.transaction() as stranger:
        for name in ("vaultd.keyring", "vaultd.partitions", "vaultd.migrate", "vaultd.import"):
            await stranger.execute(text("SELECT pg_advisory_xact_lock(hashtext(:name))"), {"name": name})
        async with asyncio.timeout(10), database.transaction() as connection:
            await make_keys_once(connection, backend, now=system_clock())
            await connection.execute(text("SELECT vaultd_ensure_partition((now() + interval '14 months')::date)"))


async def test_an_older_key_still_opens(superuser: Database, keyring: Keyring, backend: LocalBackend) -> None:
    old = keyring.active("kek")
    await change(superuser, "UPDATE keyring SET state = 'decrypt-only' WHERE id = :id", id=old.id)
    fresh = await add_key(superuser, backend, "kek")
    again = await opened(superuser, backend)
    assert again.active("kek").id == fresh
    assert again.get(old.id, "kek") == old


async def test_a_purpose_without_an_active_key(superuser: Database, keyring: Keyring, backend: LocalBackend) -> None:
    await change(superuser, "UPDATE keyring SET state = 'decrypt-only' WHERE purpose = 'chain'")
    with pytest.raises(KeyringError, match="no active key for: chain"):
        await opened(superuser, backend)


async def test_a_key_serves_its_own_purpose_only(keyring: Keyring) -> None:
    for key_id in (keyring.active("chain").id, uuid4()):
        with pytest.raises(CannotOpen):
            keyring.get(key_id, "kek")


async def test_a_foreign_database(database: Database, keyring: Keyring, tmp_path: Path) -> None:
    generate_keyring_file(tmp_path / "keyring.json", now=system_clock())
    with pytest.raises(KeyringError, match="belongs to another keyring"):
        await opened(database, open_keyring_file(tmp_path / "keyring.json"))


async def test_a_wrong_root_of_the_same_name(database: Database, keyring: Keyring, backend: LocalBackend) -> None:
    wrong = LocalBackend(Key(UUID(backend.name.removeprefix("local:")), b"w" * 32))
    with pytest.raises(KeyringError, match="does not open"):
        await opened(database, wrong)


async def test_a_wrong_check_value(superuser: Database, keyring: Keyring, backend: LocalBackend) -> None:
    await change(superuser, """UPDATE keyring SET "check" = decode(repeat('00', 16), 'hex') WHERE purpose = 'kek'""")
    with pytest.raises(KeyringError, match="check value"):
        await opened(superuser, backend)


async def test_wrapped_keys_that_changed_places(superuser: Database, keyring: Keyring, backend: LocalBackend) -> None:
    await change(
        superuser,
        "UPDATE keyring SET wrapped = other.wrapped FROM keyring other"
        " WHERE keyring.purpose = 'kek' AND other.purpose = 'lookup'",
    )
    with pytest.raises(KeyringError, match=r"\(kek\) does not open"):
        await opened(superuser, backend)


async def test_a_purpose_that_was_edited(superuser: Database, keyring: Keyring, backend: LocalBackend) -> None:
    await change(superuser, "UPDATE keyring SET purpose = 'signing', state = 'retired' WHERE purpose = 'kek'")
    with pytest.raises(KeyringError, match="does not open"):
        await opened(superuser, backend)


async def test_lookups_are_the_same_for_the_same_and_keyed(keyring: Keyring) -> None:
    assert keyring.lookup("subject", "a", "b") == keyring.lookup("subject", "a", "b")
    assert keyring.lookup("subject", "a", "b") != keyring.lookup("subject", "ab", "")
    assert keyring.lookup("subject", "a") != keyring.lookup("account", "a")


async def test_data_keys(database: Database, keyring: Keyring) -> None:
    keys = DataKeys(keyring)
    async with database.transaction() as connection:
        key = await keys.create(connection, "connection")
        assert await keys.load(connection, key.id, "connection") == key
        with pytest.raises(CannotOpen):
            await keys.load(connection, key.id, "subject")
        await keys.erase(connection, key.id)
        with pytest.raises(CannotOpen, match="not there"):
            await keys.load(connection, key.id, "connection")


async def test_a_data_key_put_in_anothers_row(superuser: Database, keyring: Keyring) -> None:
    keys = DataKeys(keyring)
    async with superuser.transaction() as connection:
        one, two = [await keys.create(connection, "connection") for _ in range(2)]
        await connection.execute(
            text("UPDATE data_keys SET wrapped = (SELECT wrapped FROM data_keys WHERE id = :one) WHERE id = :two"),
            {"one": one.id, "two": two.id},
        )
        with pytest.raises(CannotOpen):
            await keys.load(connection, two.id, "connection")
