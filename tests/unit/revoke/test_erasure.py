"""E6: what arrives after a subject was erased finds nobody, loses nothing, and is written under no erased key."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from sqlalchemy import func, select

from tests.support.house import CONSENT, House
from tests.unit.revoke.conftest import Ends
from vaultd.audit import read
from vaultd.audit.events import Draft, EventType
from vaultd.connections import outbox
from vaultd.connections.labels import Labels
from vaultd.connections.narrowed import Narrowed
from vaultd.connections.sealing import PURPOSE
from vaultd.connections.table import connections_table, revocations_table
from vaultd.errors import NotFound, SubjectErased
from vaultd.keys.data_keys import data_keys_table
from vaultd.notices import Notice, token_names
from vaultd.release.decide import Judge
from vaultd.release.queue import Counter
from vaultd.release.statement import Statement
from vaultd.subjects.store import subjects_table
from vaultd.terms import Secret

BY_OPERATOR = Draft(type=EventType.SUBJECT_ERASED, client_id="operator")
NOTICED = Draft(type=EventType.CONNECTION_BROKEN)


async def count(house: House, *tables: object) -> list[int]:
    async with house.database.transaction() as connection:
        return [
            (await connection.execute(select(func.count()).select_from(table))).scalar_one()  # type: ignore[arg-type]
            for table in tables
        ]


async def test_offboarding_leaves_no_row_and_no_key_and_the_log_is_whole(ends: Ends) -> None:
    house = ends.house
    known = await house.subject()
    await house.connect(known)
    await house.connect(known, house.brought("second"))
    await ends.offboard(known.key.subject, draft=BY_OPERATOR)
    # The outbox has a key for each grant, and nothing says whose they were.
    assert await count(house, subjects_table, connections_table, revocations_table, data_keys_table) == [0, 0, 2, 2]
    async with house.database.transaction() as connection:
        owners = (await connection.execute(select(revocations_table.c.subject_id))).scalars().all()
    assert owners == [None, None]
    report = await house.verify()
    assert report.findings == []
    with pytest.raises(NotFound):
        await ends.offboard(known.key.subject, draft=BY_OPERATOR)


async def test_tokens_that_come_in_late_are_nobodys_and_are_revoked_all_the_same(ends: Ends) -> None:
    house = ends.house
    known = await house.subject()
    await ends.offboard(known.key.subject, draft=BY_OPERATOR)
    async with house.log.transaction() as transaction:
        await house.grants.give_back(transaction.connection, "github", known.id, house.brought())
    assert await count(house, revocations_table) == [1]
    assert await ends.give_back.drain() == 1
    assert await count(house, revocations_table) == [0]


async def test_the_counter_writes_nothing_under_an_erased_key(ends: Ends) -> None:
    house = ends.house
    known = await house.subject()
    await ends.offboard(known.key.subject, draft=BY_OPERATOR)
    labels = Labels(data_keys=house.data_keys)
    counter = Counter(
        statement=Statement(
            log=house.log,
            judge=Judge(labels.of, labels.matches, labels.deliver),
            narrowed=Narrowed(data_keys=house.data_keys),
            clock=house.clock,
        )
    )
    before = (await house.verify()).events
    refused = Draft(type=EventType.TOKEN_REFUSED, client_id="agent", reason="invalid_target", subject=known.key)
    with pytest.raises(SubjectErased):
        await counter.record(refused)
    assert (await house.verify()).events == before
    await counter.record(replace(refused, subject=None))
    assert (await house.verify()).events == before + 1


async def test_a_revocation_done_after_the_erasure_is_evented_without_a_subject(ends: Ends) -> None:
    house = ends.house
    known = await house.subject()
    async with house.log.transaction() as transaction:
        await outbox.put(
            transaction.connection,
            provider="github",
            subject_id=known.id,
            key=await house.data_keys.create(transaction.connection, PURPOSE),
            access_token=Secret("a token"),
            refresh_token=None,
            metadata={},
            account_id="octocat",
            now=house.clock(),
        )
    await ends.offboard(known.key.subject, draft=BY_OPERATOR)
    assert await ends.give_back.drain() == 1
    async with house.database.transaction() as connection:
        rows, _ = await read.page(connection, read.Query(type=EventType.PROVIDER_REVOKED))
    (event,) = [json.loads(row["bytes"]) for row in rows]
    assert not {"subject_ref", "private"} & set(event)


@pytest.mark.parametrize("place", [0, 1])
async def test_google_may_name_one_token(ends: Ends, place: int) -> None:
    house = ends.house
    known = await house.subject()
    ids = []
    for account in ("first", "second"):
        async with house.log.transaction() as transaction:
            stored = await house.grants.store(
                transaction,
                subject_id=known.id,
                subject=known.key,
                provider="google",
                single=False,
                brought=replace(house.brought(account), refresh_token=Secret(f"1//0{account}-refresh-token")),
                draft=CONSENT,
            )
        ids.append(stored)
    name = token_names("1//0first-refresh-token")[place]
    await ends.notice(Notice(tokens=(name,), once="jti"), provider="google", draft=NOTICED)
    rows = [await house.row(each) for each in ids if not isinstance(each, str)]
    assert [(row.status, row.reason) for row in rows] == [
        ("reconnect_required", "revoked_at_provider"),
        ("connected", None),
    ]
    assert (rows[0].access_token, rows[0].refresh_token) == (None, None)


async def test_one_account_of_several_users_ends_for_all_of_them(ends: Ends) -> None:
    house = ends.house
    ids = [await house.connect(await house.subject(name)) for name in ("alice", "bob")]
    await ends.notice(Notice(accounts=("octocat",)), provider="github", draft=NOTICED)
    assert {(await house.row(each)).status for each in ids} == {"reconnect_required"}
