"""An import beside everything else that locks rows of the same users (F2, C7): nobody waits in a ring."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from tests.unit.importing.conftest import Desk, many, quiet
from tests.unit.importing.lines import CANARY, line
from vaultd.audit.events import Draft, EventType
from vaultd.connections import lease, store
from vaultd.connections.locked import lock_for_release
from vaultd.importing.recipe import CHUNK
from vaultd.subjects.store import KnownSubject
from vaultd.terms import ProviderName

GOOGLE = ProviderName("google")


def of(sub: str) -> bytes:
    return line(sub=sub, account={"id": "8"}, refresh_token=f"refresh-of-{sub}-{CANARY}")


async def with_a_connection(desk: Desk, sub: str) -> KnownSubject:
    known = await desk.subject(sub)
    await desk.house.connect(known, desk.house.brought("7"), GOOGLE)
    return known


@pytest.mark.parametrize("known_at_the_check", [True, False])
async def test_a_user_who_is_offboarded_meanwhile(
    desk: Desk,
    known_at_the_check: bool,  # noqa: FBT001 - a column of the table
) -> None:
    """Offboarding holds the subject, then what they have; were the import to begin with that, both would wait."""
    house = desk.house
    checked = None if known_at_the_check else await desk.check(of("leaving"))
    known = await with_a_connection(desk, "leaving")
    checked = checked or await desk.check(of("leaving"))
    async with house.log.transaction() as offboarding:
        held = await house.subjects.hold(offboarding.connection, known.id, alone=True)
        importing = asyncio.create_task(desk.importer.store(checked, tell=quiet))
        await desk.until_it_waits()
        async with asyncio.timeout(5):
            await store.lock_all_of(offboarding.connection, known.id)
        assert held is not None
        await offboarding.append(Draft(type=EventType.SUBJECT_ERASED, subject=held.key))
        await house.subjects.erase(offboarding.connection, held)
    ((_, connection_id),) = await importing
    house.subjects.forget(known.key.subject)
    # Who was erased is somebody new to the import, as to a sign-in.
    after = await desk.subject("leaving")
    assert after.id != known.id
    assert (await house.row(connection_id)).subject_id == after.id


async def test_several_connections_are_locked_in_the_order_of_notices(desk: Desk) -> None:
    """A notice locks those of several users one after the other; the file has its own order, chunk by chunk."""
    house = desk.house
    made = [((await with_a_connection(desk, sub)).id, sub) for sub in ("one", "two")]
    (first_id, first), (last_id, last) = sorted(made)
    checked = await desk.check(of(last), *many(CHUNK), of(first))
    assert checked.mistakes == []
    async with house.database.transaction() as noticing:
        assert await store.lock_all_of(noticing, first_id)
        importing = asyncio.create_task(desk.importer.store(checked, tell=quiet))
        await desk.until_it_waits()
        async with asyncio.timeout(5):
            assert await store.lock_all_of(noticing, last_id)
    assert len(await importing) == CHUNK + 2


async def test_what_a_user_has_is_given_out_and_renewed_while_more_is_imported(desk: Desk) -> None:
    house = desk.house
    known, other = await with_a_connection(desk, "busy"), await desk.subject("elsewhere")
    checked = await desk.check(of("busy"), *many(CHUNK), of("elsewhere"))
    async with house.database.transaction() as held_up:
        # A consent of somebody else in the file, so that the import stops with all that it holds.
        await house.subjects.hold(held_up, other.id, alone=True)
        importing = asyncio.create_task(desk.importer.store(checked, tell=quiet))
        await desk.until_it_waits()
        async with asyncio.timeout(5):
            async with house.database.direct() as driver, driver.transaction():
                pair = (known.id, GOOGLE)
                (row,) = (await lock_for_release(driver, [pair])).rows_of(pair) or []
            async with house.database.transaction() as refreshing:
                assert await lease.take(refreshing, row, owner=uuid4(), now=house.clock()) is not None
    assert len(await importing) == CHUNK + 2
