"""A subject whose row is not as it was written is refused, and not made a second time."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from tests.support.house import ISSUER, House
from vaultd.db import Database
from vaultd.errors import CannotOpen
from vaultd.keys.data_keys import DataKeys
from vaultd.subjects.store import SubjectStore
from vaultd.terms import Subject

ALICE = Subject(ISSUER, "alice")


def afresh(house: House) -> SubjectStore:
    """Another process, which remembers nobody."""
    data_keys = DataKeys(house.keyring)
    return SubjectStore(database=house.database, keyring=house.keyring, data_keys=data_keys, clock=house.clock)


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        ("DELETE FROM data_keys", "is not there"),
        ("UPDATE subjects SET id = gen_random_uuid()", "the tag does not match"),
        ("UPDATE subjects SET audit_ref = sha256('other')", "carries the audit reference of another"),
    ],
)
async def test_an_altered_subject_is_refused_at_every_way_in(
    house: House, superuser: Database, change: str, detail: str
) -> None:
    alice = await house.subject()
    async with superuser.transaction() as connection:
        await connection.execute(text("SET LOCAL session_replication_role = replica"))
        await connection.execute(text(change))
        found = (await connection.execute(text("SELECT id FROM subjects"))).scalar_one()
    subjects = afresh(house)
    for way_in in (subjects.find(ALICE), subjects.ensure(ALICE), subjects.current(ALICE), subjects.get(found)):
        with pytest.raises(CannotOpen, match=detail):
            await way_in
    async with house.database.transaction() as connection:
        for held in (subjects.hold(connection, found), subjects.ensure_many(connection, [ALICE])):
            with pytest.raises(CannotOpen, match=detail):
                await held
    assert await subjects.by_ids([found]) == {}
    assert await subjects.by_audit_refs([alice.key.subject_ref]) == {}


async def test_a_lookup_that_was_moved_names_nobody(house: House, superuser: Database) -> None:
    alice, mallory = await house.subject(), await house.subject("mallory")
    async with superuser.transaction() as connection:
        query = text("SELECT lookup FROM subjects WHERE id = :id")
        hers = (await connection.execute(query, {"id": alice.id})).scalar_one()
        await connection.execute(text("UPDATE subjects SET lookup = sha256(lookup) WHERE id = :id"), {"id": alice.id})
        moved = text("UPDATE subjects SET lookup = :lookup WHERE id = :id")
        await connection.execute(moved, {"lookup": hers, "id": mallory.id})
    with pytest.raises(CannotOpen, match="by the lookup of another"):
        await afresh(house).find(ALICE)
