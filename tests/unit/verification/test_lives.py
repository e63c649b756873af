"""Whatever may rightly become of a connection, `vaultd audit verify` finds nothing."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from tests.support.house import House
from tests.unit.refresh.conftest import Room
from tests.unit.revoke.conftest import Ends
from vaultd.app.verifying import verification_of
from vaultd.audit.events import Decision, Draft, EventType
from vaultd.audit.log import AuditLog
from vaultd.audit.refusals import Refusals
from vaultd.connections import lease, store
from vaultd.connections.imported import Imported, ImportedGrants, Owned
from vaultd.connections.sealing import UNNAMED_ACCOUNT
from vaultd.connections.table import ConnectionRow
from vaultd.notices import Notice
from vaultd.subjects.away import AwaySwitch
from vaultd.subjects.store import KnownSubject
from vaultd.terms import Scopes, Secret

REVOKED = Draft(type=EventType.CONNECTION_REVOKED)
TOLD = Draft(type=EventType.CONNECTION_BROKEN)
OFFBOARDED = Draft(type=EventType.SUBJECT_ERASED, client_id="operator")


async def found(house: House) -> list[str]:
    return (await verification_of(house.database, house.keyring)()).findings


async def bring_in(house: House, known: KnownSubject, account_id: str) -> UUID:
    grants = ImportedGrants(keyring=house.keyring, data_keys=house.data_keys, lookups=house.lookups, clock=house.clock)
    imported = Imported(
        provider="github",
        single=False,
        access_token=Secret("imported"),
        refresh_token=Secret("imported refresh token"),
        expires_at=None,
        scopes=Scopes({"repo"}),
        account_id=account_id,
        account_label="" if account_id == UNNAMED_ACCOUNT else account_id,
    )
    async with house.log.transaction() as transaction:
        made = await grants.bring_in(transaction, [Owned(known.id, known.key, imported)])
    assert isinstance(made, list), made
    return made[0]


@pytest.mark.parametrize("account_id", ["octocat", UNNAMED_ACCOUNT])
async def test_imported_then_connected_again(house: House, account_id: str) -> None:
    known = await house.subject()
    brought_in = await bring_in(house, known, account_id)
    assert await found(house) == []
    assert await house.connect(known) == brought_in
    assert await found(house) == []


async def test_imported_again_where_its_grant_had_ended(ends: Ends) -> None:
    house = ends.house
    known = await house.subject()
    await house.connect(known)
    await ends.notice(Notice(accounts=("octocat",)), provider="github", draft=TOLD)
    assert await found(house) == []
    await bring_in(house, known, "octocat")
    assert await found(house) == []


async def test_two_accounts_at_one_provider(house: House) -> None:
    known = await house.subject()
    await house.connect(known)
    await house.connect(known, house.brought("hubot"))
    assert await found(house) == []
    await house.connect(known)
    assert await found(house) == []


async def test_told_by_a_notice_then_connected_again(ends: Ends) -> None:
    house = ends.house
    known = await house.subject()
    await house.connect(known)
    for _ in range(2):
        await ends.notice(Notice(accounts=("octocat",)), provider="github", draft=TOLD)
        assert await found(house) == []
    await house.connect(known)
    assert await found(house) == []


async def test_told_by_a_notice_then_disconnected_then_connected_again(ends: Ends) -> None:
    house = ends.house
    known = await house.subject()
    connection_id = await house.connect(known)
    await ends.notice(Notice(accounts=("octocat",)), provider="github", draft=TOLD)
    for _ in range(2):
        await ends.revoke.disconnect(subject_id=known.id, connection_id=connection_id, draft=REVOKED)
        assert await found(house) == []
    await house.connect(known)
    assert await found(house) == []


async def test_disconnected_and_connected_again_and_again(ends: Ends) -> None:
    house = ends.house
    known = await house.subject()
    for _ in range(3):
        connection_id = await house.connect(known)
        assert await found(house) == []
        await ends.revoke.disconnect_any(connection_id, draft=REVOKED)
        assert await found(house) == []
        await ends.give_back.drain()
        assert await found(house) == []


async def test_offboarded_and_the_same_user_again(ends: Ends) -> None:
    house = ends.house
    known = await house.subject()
    connection_id = await house.connect(known)
    await house.connect(known, house.brought("hubot"))
    await ends.revoke.disconnect(subject_id=known.id, connection_id=connection_id, draft=REVOKED)
    await ends.offboard(known.key.subject, draft=OFFBOARDED)
    assert await found(house) == []
    await house.connect(await house.subject())
    assert await found(house) == []
    await ends.give_back.drain()
    assert await found(house) == []


async def stale(room: Room) -> ConnectionRow:
    house = room.house
    known = await house.subject()
    brought = replace(house.brought(), expires_at=house.clock() + timedelta(seconds=1))
    return await house.row(await house.connect(known, brought))


async def test_narrowed_and_refreshed(room: Room) -> None:
    row = await stale(room)
    room.answers(scope="user")
    assert await room.narrow(row) is None
    assert await found(room.house) == []
    row = await room.house.row(row.id)
    room.answers(scope="repo user")
    assert await room.first.refresher.refresh(row) is None
    assert await found(room.house) == []
    row = await room.house.row(row.id)
    room.answers(scope="user")
    assert await room.narrow(row, Scopes({"repo"})) is None
    assert (await room.house.row(row.id)).revision == 4
    assert await found(room.house) == []


@pytest.mark.parametrize("interrupted", [False, True])
async def test_ended_by_a_refresh_then_connected_again(room: Room, *, interrupted: bool) -> None:
    house, row = room.house, await stale(room)
    if interrupted:
        async with house.database.transaction() as connection:
            fence = await lease.take(connection, row, owner=uuid4(), now=house.clock())
            assert fence is not None
            row = await house.row(row.id)
            await lease.give_back(connection, row, fence=fence, keep_intent=True)
        row = await house.row(row.id)
    room.refuses("invalid_grant")
    assert await room.first.refresher.refresh(row) is None
    ended = await house.row(row.id)
    assert (ended.status, ended.reason) == (
        "reconnect_required",
        "rotation_lost" if interrupted else "invalid_grant",
    )
    assert await found(house) == []
    await house.connect(await house.subject())
    assert await found(house) == []


async def test_a_lease_that_was_left_and_lost(room: Room) -> None:
    row = await stale(room)
    room.server.answers_json({"error": "server_error"}, status=500)
    assert await room.first.refresher.refresh(row) is not None
    assert await found(room.house) == []


async def test_ended_without_a_refresh_token(room: Room) -> None:
    house = room.house
    known = await house.subject()
    row = await house.row(await house.connect(known, replace(house.brought(), refresh_token=None)))
    assert await room.first.refresher.refresh(row) is None
    assert (await house.row(row.id)).reason == "no_refresh_token"
    assert await found(house) == []


async def test_refusals_that_were_counted(house: House) -> None:
    known = await house.subject()
    await house.connect(known)
    refusals = Refusals(log=house.log, clock=house.clock)
    draft = Draft(type=EventType.TOKEN_REFUSED, decision=Decision.REFUSED, reason="invalid_client")
    for _ in range(5):
        await refusals.record(draft, address_prefix="192.0.2.0/24")
    house.clock.forward(minutes=2)
    await refusals.flush()
    assert await found(house) == []


async def test_lanes_that_ended(house: House) -> None:
    known = await house.subject()
    await house.connect(known)
    await house.log.close()
    await house.connect(known)
    assert await found(house) == []


async def test_switches_of_two_processes_whose_clocks_differ(house: House) -> None:
    """Each event has the time of its process; what was switched last is not what has the latest time."""
    known = await house.subject()
    behind = AuditLog(
        database=house.database, keyring=house.keyring, clock=lambda: house.clock() - timedelta(seconds=5)
    )
    draft = Draft(type=EventType.AWAY_REFUSED, subject=known.key)
    ahead, late = (AwaySwitch(database=house.database, log=log, clock=house.clock) for log in (house.log, behind))
    await ahead.refuse(known.id, "nightly", draft=draft)
    assert await found(house) == []
    await late.allow(known.id, "nightly", draft=draft)
    assert await found(house) == []
    await late.refuse(known.id, "nightly", draft=draft)
    assert await found(house) == []


async def test_a_switch_that_many_press_at_once(house: House) -> None:
    known = await house.subject()
    switch = AwaySwitch(database=house.database, log=house.log, clock=house.clock)
    draft = Draft(type=EventType.AWAY_REFUSED, subject=known.key)
    for _ in range(3):
        await asyncio.gather(*(switch.refuse(known.id, "nightly", draft=draft) for _ in range(5)))
        await asyncio.gather(*(switch.allow(known.id, "nightly", draft=draft) for _ in range(5)))
        await asyncio.gather(*(switch.refuse(known.id, name, draft=draft) for name in ("nightly", "daily")))
        assert await found(house) == []
        await asyncio.gather(*(switch.allow(known.id, name, draft=draft) for name in ("nightly", "daily")))
        assert await found(house) == []


async def test_a_consent_that_comes_while_the_refresh_is_under_way(room: Room) -> None:
    house, row = room.house, await stale(room)
    async with house.database.transaction() as connection:
        assert await lease.take(connection, row, owner=uuid4(), now=house.clock()) is not None
        assert await store.get(connection, row.id) is not None
    await house.connect(await house.subject())
    assert await found(house) == []
