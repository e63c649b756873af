"""The outbox is worked off for as long as the process serves, whatever happens to single revocations (C7, C8)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime

import pytest
from sqlalchemy import select, text

from tests.unit.revoke.conftest import Ends
from vaultd.audit.events import Draft, EventType
from vaultd.connections.table import revocations_table
from vaultd.db import Database
from vaultd.revoke import GiveBack
from vaultd.revoke.giving_back import CALL_LASTS, PLACES
from vaultd.sandbox.provider import SandboxProvider
from vaultd.terms import Secret

BY_USER = Draft(type=EventType.CONNECTION_REVOKED, client_id="agent")


async def disconnected(ends: Ends, provider: SandboxProvider, account: str) -> str:
    """Gives the access token, which lives on at the provider."""
    issued = provider.issue(user="alice", client_id="vaultd", scopes=["repo"])
    known = await ends.house.subject()
    brought = replace(
        ends.house.brought(account),
        access_token=Secret(issued["access_token"]),
        refresh_token=Secret(issued["refresh_token"]),
    )
    connection_id = await ends.house.connect(known, brought, provider.name)
    await ends.revoke.disconnect(subject_id=known.id, connection_id=connection_id, draft=BY_USER)
    return str(issued["access_token"])


@asynccontextmanager
async def running(give_back: GiveBack) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(give_back.run())
    try:
        yield task
        assert not task.done(), "the work has ended"
    finally:
        task.cancel()
        await asyncio.wait([task])


async def gone(provider: SandboxProvider, *tokens: str) -> None:
    async with asyncio.timeout(20):
        while any(provider.grants.access(token) is not None for token in tokens):
            await asyncio.sleep(0.01)


async def next_tries(ends: Ends, provider: str) -> list[datetime]:
    query = select(revocations_table.c.next_try_at).where(revocations_table.c.provider == provider)
    async with ends.house.database.transaction() as connection:
        return list((await connection.execute(query)).scalars())


class UnsteadyClock:
    """The house's, but for the calls at which it fails as nobody expects it to."""

    def __init__(self, ends: Ends, *failing: int) -> None:
        self._clock = ends.house.clock
        self._failing = failing
        self.calls = 0

    def __call__(self) -> datetime:
        self.calls += 1
        if self.calls in self._failing:
            raise RuntimeError("the clock has stopped")
        return self._clock()


async def test_c8_a_provider_that_hangs_holds_up_nobody_else(ends: Ends) -> None:
    ends.provider.faults.revoke = "hang"
    for number in range(PLACES + 5):
        await disconnected(ends, ends.provider, f"hanging-{number}")
    others = [await disconnected(ends, ends.other, f"well-{number}") for number in range(3)]
    async with running(ends.give_back):
        await gone(ends.other, *others)
        # No call to the one that hangs has ended, and only its places are taken.
        tries = await next_tries(ends, "github")
        assert len(tries) == PLACES + 5
        assert set(tries) == {ends.house.clock(), ends.house.clock() + CALL_LASTS}
        assert ends.provider.calls["revoke"] <= PLACES
        # One that is disconnected meanwhile is not held up either.
        await gone(ends.other, await disconnected(ends, ends.other, "late"))


async def test_places_that_become_free_are_taken_again(ends: Ends) -> None:
    tokens = [await disconnected(ends, ends.provider, f"account-{number}") for number in range(PLACES + 5)]
    async with running(ends.give_back):
        await gone(ends.provider, *tokens)


async def test_an_exception_that_nobody_expects_ends_nothing(ends: Ends) -> None:
    token = await disconnected(ends, ends.provider, "octocat")
    clock = UnsteadyClock(ends, 1, 2)
    async with running(ends.give_back_by(clock)):
        await gone(ends.provider, token)
    assert clock.calls >= 3


@pytest.mark.parametrize(("failing", "hidden_for"), [((2,), 2), ((2, 3), CALL_LASTS.total_seconds())])
async def test_a_revocation_that_goes_wrong_comes_again_and_the_others_go_on(
    ends: Ends, failing: tuple[int, ...], hidden_for: float
) -> None:
    """It goes wrong where it is to be put off, once or each time; what was claimed with it is done."""
    bad = await disconnected(ends, ends.provider, "octocat")
    ends.provider.faults.revoke = "down"
    good = await disconnected(ends, ends.other, "tanuki")
    assert await ends.give_back_by(UnsteadyClock(ends, *failing)).drain() == 2
    await gone(ends.other, good)
    (next_try,) = await next_tries(ends, "github")
    assert hidden_for / 2 <= (next_try - ends.house.clock()).total_seconds() <= hidden_for
    ends.provider.faults.clear()
    ends.house.clock.forward(seconds=hidden_for)
    assert await ends.give_back.drain() == 1
    await gone(ends.provider, bad)


async def test_whose_row_was_altered_has_the_tokens_revoked_once(ends: Ends, superuser: Database) -> None:
    """What became of them is an event without its subject, and the provider is not asked again and again."""
    token = await disconnected(ends, ends.provider, "octocat")
    async with superuser.transaction() as connection:
        await connection.execute(text("UPDATE subjects SET audit_ref = sha256('other')"))
    assert await ends.give_back.drain() == 1
    await gone(ends.provider, token)
    assert await next_tries(ends, "github") == []
    async with ends.house.database.transaction() as connection:
        newest = text("SELECT type, subject_ref FROM events ORDER BY at DESC, seq DESC LIMIT 1")
        event_type, subject_ref = (await connection.execute(newest)).one()
    assert (event_type, subject_ref) == ("provider.revoked", None)


async def test_rows_that_somebody_else_holds_are_left_to_them(ends: Ends) -> None:
    token = await disconnected(ends, ends.provider, "octocat")
    async with ends.house.database.transaction() as held:
        await held.execute(select(revocations_table).with_for_update())
        async with running(ends.give_back) as task:
            # The row is another's, so there is nothing to do.
            await asyncio.sleep(0.1)
            assert not task.done()
            assert ends.provider.grants.access(token) is not None
    async with running(ends.give_back):
        await gone(ends.provider, token)
