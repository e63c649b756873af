"""Who watches the log is told of what is committed, and of nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import pytest

from tests.support.house import House
from vaultd.audit.events import Draft, EventType
from vaultd.audit.log import AuditLog

EXCHANGED = Draft(type=EventType.TOKEN_EXCHANGED, client_id="agent", connection="github")
REFUSED = Draft(type=EventType.TOKEN_REFUSED, client_id="agent")


class Broken(Exception):
    """What goes wrong in a block."""


@pytest.fixture
def told() -> list[Sequence[Draft]]:
    return []


@pytest.fixture
def log(house: House, told: list[Sequence[Draft]]) -> AuditLog:
    return AuditLog(database=house.database, keyring=house.keyring, clock=house.clock, watch=told.append)


async def test_of_transactions_and_of_batches(log: AuditLog, told: list[Sequence[Draft]]) -> None:
    async with log.transaction() as transaction:
        await transaction.append(EXCHANGED)
        await transaction.append(REFUSED)
        assert told == []
    async with log.batch() as batch:
        await batch.append([EXCHANGED, EXCHANGED])
        assert len(told) == 1
    assert told == [[EXCHANGED, REFUSED], [EXCHANGED, EXCHANGED]]


async def test_not_of_what_was_rolled_back_or_empty(log: AuditLog, told: list[Sequence[Draft]]) -> None:
    with suppress(Broken):
        async with log.transaction() as transaction:
            await transaction.append(EXCHANGED)
            raise Broken
    with suppress(Broken):
        async with log.batch() as batch:
            await batch.append([EXCHANGED])
            raise Broken
    async with log.transaction():
        pass
    async with log.batch() as batch:
        await batch.append([])
    assert told == []
