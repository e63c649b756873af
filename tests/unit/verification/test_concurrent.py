"""`vaultd audit verify` runs beside processes that serve: what changes while it reads is no finding."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.support.house import House
from tests.support.lived_in import LIFETIME
from tests.unit.refresh.conftest import Room
from tests.unit.revoke.conftest import Ends
from vaultd.app.verifying import verification_of
from vaultd.audit.events import Draft, EventType
from vaultd.connections import store
from vaultd.sessions.flows import Flow, Flows
from vaultd.sessions.store import Sessions
from vaultd.subjects.away import AwaySwitch
from vaultd.subjects.store import KnownSubject
from vaultd.terms import Scopes

ROUNDS = 12
REVOKED = Draft(type=EventType.CONNECTION_REVOKED)
OFFBOARDED = Draft(type=EventType.SUBJECT_ERASED, client_id="operator")
FLOW = Flow(verifier="v", nonce="n", continue_to="/connections")


async def exchanging(house: House) -> None:
    known = await house.subject("exchanging")
    connection_id = await house.connect(known)
    row = await house.row(connection_id)
    for _ in range(ROUNDS * 4):
        draft = Draft(type=EventType.TOKEN_EXCHANGED, client_id="agent", subject=known.key, connection_id=connection_id)
        await house.log.record(draft)
        async with house.database.transaction() as connection:
            await store.touch(connection, [row.id], house.clock().date())


async def connecting_and_disconnecting(ends: Ends) -> None:
    house = ends.house
    known = await house.subject("coming and going")
    for _ in range(ROUNDS):
        connection_id = await house.connect(known)
        await ends.revoke.disconnect(subject_id=known.id, connection_id=connection_id, draft=REVOKED)
        await ends.give_back.drain()


async def being_offboarded(ends: Ends) -> None:
    house = ends.house
    for _ in range(ROUNDS):
        known = await house.subject("offboarded")
        await house.connect(known)
        await consenting(house, known)
        await ends.offboard(known.key.subject, draft=OFFBOARDED)
        house.subjects.forget(known.key.subject)


async def consenting(house: House, known: KnownSubject) -> None:
    columns = {
        "kind": "api",
        "stage": "returned",
        "subject_id": known.id,
        "client_id": "agent",
        "provider": "github",
        "redirect_uri": "https://app.example.com/connected",
    }
    now = house.clock()
    until = now + timedelta(minutes=10)
    async with house.database.transaction() as connection:
        pending_id = await house.pending.begin(connection, columns=columns, private={}, now=now, expires_at=until)
        waiting = await house.pending.find(connection, id=pending_id)
        assert waiting is not None
        grant = house.brought("hubot").to_json()
        assert await house.pending.keep_grant(connection, waiting, grant=grant, connect_code=str(pending_id))


async def completing(house: House) -> None:
    known = await house.subject("completing")
    for _ in range(ROUNDS):
        await consenting(house, known)
        async with house.database.transaction() as connection:
            for waiting in await house.pending.lock_of(connection, known.id):
                await house.pending.forget(connection, waiting)


async def signing_in_and_out(house: House) -> None:
    known = await house.subject("signing in")
    flows = Flows(database=house.database, data_keys=house.data_keys, keyring=house.keyring, clock=house.clock)
    sessions = Sessions(
        database=house.database, log=house.log, keyring=house.keyring, clock=house.clock, lifetime=LIFETIME
    )
    opened = Draft(type=EventType.SESSION_OPENED, subject=known.key)
    for _ in range(ROUNDS):
        await flows.begin(FLOW, state="state", browser="browser")
        assert await flows.take(unverified_state="state", browser="browser") == FLOW
        cookie = await sessions.open(known.id, issuer="issuer", sid="sid", instead_of=None, draft=opened)
        await sessions.end(cookie, draft=replace(opened, type=EventType.SESSION_ENDED))


async def switching(house: House) -> None:
    known = await house.subject("switching")
    switch = AwaySwitch(database=house.database, log=house.log, clock=house.clock)
    draft = Draft(type=EventType.AWAY_REFUSED, subject=known.key)
    for _ in range(ROUNDS):
        await switch.refuse(known.id, "nightly", draft=draft)
        await switch.allow(known.id, "nightly", draft=draft)


async def refreshing(room: Room) -> None:
    house = room.house
    connection_id = await house.connect(await house.subject("refreshing"))
    for number in range(ROUNDS):
        row = await house.row(connection_id)
        if number % 2:
            assert await room.first.refresher.refresh(row) is None
        else:
            assert await room.narrow(row, Scopes({"repo"} if number % 4 else {"user"})) is None


async def ending_lanes(house: House) -> None:
    for _ in range(ROUNDS):
        await house.log.close()
        await asyncio.sleep(0)


@pytest.mark.parametrize("lanes", ["that go on", "that end"])
async def test_nothing_is_found_that_is_not_there(ends: Ends, room: Room, lanes: str) -> None:
    house = ends.house
    room.answers(scope=None, expires_in=3600)
    lives: list[Awaitable[None]] = [
        exchanging(house),
        connecting_and_disconnecting(ends),
        being_offboarded(ends),
        completing(house),
        signing_in_and_out(house),
        switching(house),
        refreshing(room),
    ]
    if lanes == "that end":
        lives.append(ending_lanes(house))
    verify = verification_of(house.database, house.keyring)
    over, looks = asyncio.Event(), 0

    async def looking() -> None:
        nonlocal looks
        while not over.is_set():
            assert (await verify()).findings == []
            looks += 1

    async with asyncio.timeout(300), asyncio.TaskGroup() as group:
        watchers = [group.create_task(looking()) for _ in range(2)]
        await asyncio.gather(*lives)
        over.set()
        await asyncio.gather(*watchers)
    assert looks > 3
    report = await verify()
    assert (report.findings, report.connections) == ([], 3)
