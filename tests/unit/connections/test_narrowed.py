"""Narrowed tokens at rest: sealed in their own place, found while they are good, gone with their grant (A7, C7, D2)."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import update

from tests.support import vectors
from tests.support.house import House
from vaultd.connections import narrowed, store
from vaultd.connections.narrowed import AccessToken, Narrowed, NarrowedRow, Place, open_narrowed, seal_narrowed
from vaultd.connections.sealing import data_key_of, open_connection
from vaultd.connections.table import ConnectionRow
from vaultd.errors import CannotOpen
from vaultd.keys.envelope import Key
from vaultd.terms import ConnectionId, ProviderName, Scopes, Secret, SubjectId

USER = Scopes({"user"})
HOUR = timedelta(hours=1)


async def connected(house: House, name: str = "alice", account: str = "octocat") -> ConnectionRow:
    return await house.row(await house.connect(await house.subject(name), house.brought(account)))


async def keep(
    house: House, row: ConnectionRow, *, asked: Scopes = USER, token: str = "narrow", lasts: timedelta = HOUR
) -> None:
    key = data_key_of(row, house.data_keys)
    place = Place.of(row, open_connection(key, row).account_id, asked, house.clock() + lasts)
    async with house.database.transaction() as connection:
        await narrowed.keep(connection, key, place, Secret(token), asked, now=house.clock())


async def find(house: House, row: ConnectionRow, asked: Scopes = USER) -> NarrowedRow | None:
    async with house.database.transaction() as connection:
        return (await narrowed.find(connection, [(row.id, asked)], after=house.clock())).get((row.id, asked))


async def token_of(house: House, row: ConnectionRow, kept: NarrowedRow | None) -> AccessToken | None:
    return Narrowed(data_keys=house.data_keys).open(row, kept)[1]


async def kept_of(house: House, row: ConnectionRow) -> NarrowedRow:
    await keep(house, row)
    kept = await find(house, row)
    assert kept is not None
    return kept


@pytest.mark.parametrize("case", vectors.load("narrowed"), ids=lambda case: case["name"])
def test_d2_vectors(case: dict[str, Any]) -> None:
    """Bytes that databases hold."""
    key = Key(UUID(case["key_id"]), bytes.fromhex(case["key"]))
    place = Place(
        connection_id=UUID(case["connection_id"]),
        subject_id=UUID(case["subject_id"]),
        provider=case["provider"],
        account_id=case["account_id"],
        generation=case["generation"],
        scopes=Scopes(case["scopes"]),
        expires_at=datetime.fromisoformat(case["expires_at"]),
    )
    assert place.bound().hex() == case["bound"]
    token, carries = Secret(case["access_token"]), Scopes(case["carries"])
    blob = seal_narrowed(key, place, token, carries, random=lambda _: bytes.fromhex(case["nonce"]))
    assert blob.hex() == case["blob"]
    assert open_narrowed(key, place, blob) == AccessToken(token, carries, place.expires_at)


async def test_round_trip(house: House) -> None:
    row = await connected(house)
    kept = await kept_of(house, row)
    delivery, token = Narrowed(data_keys=house.data_keys).open(row, kept)
    assert delivery.account_label == "octocat@example.com"
    assert token == AccessToken(Secret("narrow"), USER, house.clock() + HOUR)
    assert b"narrow" not in kept.access_token
    assert "narrow" not in repr(token).replace("narrowed", "")


@pytest.mark.parametrize(
    "change",
    [
        {"scopes": Scopes({"repo"})},
        {"scopes": Scopes({"repo", "user"})},
        {"scopes": Scopes()},
        {"access_token": b"\1\1" + b"\0" * 60},
        {"access_token": b""},
    ],
    ids=str,
)
async def test_d2_an_edited_row_does_not_open(house: House, change: dict[str, Any]) -> None:
    row = await connected(house)
    kept = await kept_of(house, row)
    with pytest.raises(CannotOpen):
        await token_of(house, row, replace(kept, **change))


async def test_d2_an_end_that_was_moved_does_not_open(house: House) -> None:
    row = await connected(house)
    kept = await kept_of(house, row)
    for by in (1, -1):
        with pytest.raises(CannotOpen):
            await token_of(house, row, replace(kept, expires_at=kept.expires_at + timedelta(microseconds=by)))


@pytest.mark.parametrize(
    "change",
    [
        {"id": ConnectionId(uuid4())},
        {"subject_id": SubjectId(uuid4())},
        {"provider": ProviderName("gitlab")},
        {"granted_scopes": Scopes({"user"})},
    ],
    ids=lambda change: next(iter(change)),
)
async def test_d2_beside_an_edited_connection_it_does_not_open(house: House, change: dict[str, Any]) -> None:
    row = await connected(house)
    kept = await kept_of(house, row)
    with pytest.raises(CannotOpen):
        await token_of(house, replace(row, **change), kept)


async def test_d2_beside_another_connection_it_does_not_open(house: House) -> None:
    own, others = await connected(house), await connected(house, "bob", "hubot")
    kept = await kept_of(house, own)
    with pytest.raises(CannotOpen):
        await token_of(house, others, replace(kept, connection_id=others.id))


async def test_d2_beside_another_account_it_does_not_open(house: House) -> None:
    """The account's immutable id is part of the place, though it is in no column."""
    row = await connected(house)
    key, end = data_key_of(row, house.data_keys), house.clock() + HOUR
    blob = seal_narrowed(key, Place.of(row, "hubot", USER, end), Secret("narrow"), USER)
    with pytest.raises(CannotOpen):
        await token_of(house, row, NarrowedRow(row.id, USER, row.generation, end, blob))


async def test_a_token_of_another_generation_is_none(house: House) -> None:
    row = await connected(house)
    kept = await kept_of(house, row)
    assert await token_of(house, row, replace(kept, generation=2)) is None
    again = await connected(house)
    assert (again.id, again.generation) == (row.id, 2)
    assert await token_of(house, again, kept) is None
    with pytest.raises(CannotOpen):
        await token_of(house, again, replace(kept, generation=2))


async def test_it_is_found_until_it_ends_and_by_its_scopes_only(house: House) -> None:
    row = await connected(house)
    await keep(house, row)
    assert await find(house, row, Scopes({"repo"})) is None
    house.clock.forward(hours=1, microseconds=-1)
    assert await find(house, row) is not None
    house.clock.forward(microseconds=1)
    assert await find(house, row) is None


async def test_another_takes_its_place_and_ended_ones_are_forgotten(house: House) -> None:
    row, other = await connected(house), await connected(house, "bob", "hubot")
    await keep(house, row, asked=Scopes({"repo"}), lasts=timedelta(minutes=1))
    await keep(house, other, lasts=timedelta(minutes=1))
    await keep(house, row)
    await keep(house, row, token="newer")
    token = await token_of(house, row, await find(house, row))
    assert token is not None
    assert token.token == Secret("newer")
    house.clock.forward(minutes=1)
    await keep(house, row)
    assert await _scopes_kept(house) == {(row.id, "user"), (other.id, "user")}


async def test_they_go_with_their_grant_in_the_same_transaction(house: House) -> None:
    """A7: on revocation, on a new generation, and when the grant breaks; other grants keep theirs."""
    rows = [await connected(house, name, name) for name in ("alice", "bob", "carol", "dave")]
    for row in rows:
        await keep(house, row)
    revoked, renewed, broken, stays = rows
    async with house.database.transaction() as connection:
        await store.revoke(connection, revoked, reason="disconnected")
        assert not await store.break_connection(connection, replace(stays, revision=9), fence=None, reason="x")
        assert await store.break_connection(connection, broken, fence=None, reason="invalid_grant")
    await house.connect(await house.subject("bob"), house.brought("bob"))
    assert await _scopes_kept(house) == {(stays.id, "user")}
    assert (await house.row(renewed.id)).generation == 2


async def test_c7_taken_are_those_that_are_good_and_open(house: House) -> None:
    """An altered one must not keep the user from disconnecting."""
    row = await connected(house)
    await keep(house, row, token="good")
    await keep(house, row, asked=Scopes({"repo"}), token="ends", lasts=timedelta(minutes=1))
    await keep(house, row, asked=Scopes({"repo", "user"}), token="altered")
    house.clock.forward(minutes=1)
    table = narrowed.narrowed_table
    async with house.database.transaction() as connection:
        await connection.execute(
            update(table).where(table.c.scopes == "repo user").values(access_token=b"\1\1" + b"\0" * 60)
        )
    async with house.database.transaction() as connection:
        taken = await narrowed.take(connection, data_key_of(row, house.data_keys), row, "octocat", now=house.clock())
    assert taken == [Secret("good")]
    assert await _scopes_kept(house) == {(row.id, "repo")}


async def _scopes_kept(house: House) -> set[tuple[UUID, str]]:
    table = narrowed.narrowed_table
    async with house.database.transaction() as connection:
        return {(row.connection_id, row.scopes) for row in await connection.execute(table.select())}
