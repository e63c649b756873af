"""Checking and storing against a real database: all or nothing, beside what is there (issue 5, item 8)."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from io import BytesIO
from uuid import UUID

import pytest
from sqlalchemy import text

from tests.unit.importing.conftest import Desk, many, quiet
from tests.unit.importing.lines import CANARY, line
from vaultd.connections import store
from vaultd.connections.imported import NO_ACCESS_TOKEN
from vaultd.connections.sealing import UNNAMED_ACCOUNT
from vaultd.errors import ConfigurationError
from vaultd.importing.recipe import Changed
from vaultd.notices import token_names
from vaultd.terms import Secret


async def test_every_line_becomes_a_sealed_connection_with_its_event_in_a_log_that_verifies(desk: Desk) -> None:
    ids = await desk.bring_in(*many(1203))
    assert len(set(ids)) == 1203
    opened = await desk.opened(ids[777])
    assert opened.refresh_token == Secret(f"refresh-777-{CANARY}")
    assert (opened.access_token, opened.account_id) == (NO_ACCESS_TOKEN, UNNAMED_ACCOUNT)
    assert (await desk.house.row(ids[777])).subject_id == (await desk.subject("user-777")).id
    assert await desk.counts() == {"subjects": 1203, "data_keys": 2406, "connections": 1203, "events": 1203}
    report = await desk.house.verify()
    assert (report.events, report.findings) == (1203, [])
    event = (await desk.events("connection.imported"))[0]
    assert (event["decision"], event["connection"], event["scopes"]) == ("allowed", "google", ["calendar.readonly"])
    assert (event["generation"], event["revision"]) == (1, 1)


async def test_a_subject_who_is_known_already_keeps_their_row(desk: Desk) -> None:
    known = await desk.subject()
    ids = await desk.bring_in(line(), line(provider="plain"))
    assert {(await desk.house.row(one)).subject_id for one in ids} == {known.id}
    assert (await desk.counts())["subjects"] == 1


async def test_checking_stores_nothing_and_names_every_bad_line(desk: Desk) -> None:
    before = await desk.counts()
    found = await desk.mistakes(line(), b"{", line(sub="user-2", scopes=None), line(sub="user-3", refresh_token="x"))
    assert [number for number, _ in found] == [2, 3]
    assert await desk.counts() == before


@pytest.mark.parametrize(
    ("second", "told"),
    [
        ({}, "refresh_token is that of line 1 too"),
        ({"sub": "user-2"}, "refresh_token is that of line 1 too; a token belongs to one user"),
        ({"refresh_token": "another"}, "the same user's same account as line 1"),
        ({"refresh_token": "another", "issuer": "app"}, "the same user's same account as line 1"),
        ({"refresh_token": "another", "account": {"id": "7"}}, "another account of line 1's user, or the same one"),
    ],
)
async def test_lines_that_stand_against_an_earlier_one_are_told(
    desk: Desk, second: dict[str, object], told: str
) -> None:
    found = await desk.mistakes(line(), line(**second))
    assert found[0][0] == 2
    assert told in found[0][1]


async def test_several_named_accounts_are_several_connections_but_not_where_one_is_allowed(desk: Desk) -> None:
    """Security B5."""
    pair = ({"account": {"id": "7"}}, {"account": {"id": "8"}, "refresh_token": "another"})
    assert len(await desk.bring_in(*(line(**one) for one in pair))) == 2
    found = await desk.mistakes(*(line(provider="solo", **one) for one in pair))
    assert [(number, 'accounts = "single"' in said) for number, said in found] == [(2, True)]


async def test_an_account_that_is_connected_already_is_told(desk: Desk) -> None:
    await desk.house.connect(await desk.subject(), desk.house.brought("7"), "google")
    for account, told in (("7", "connected here already"), (None, "nothing says whether it is the same account")):
        found = await desk.mistakes(line(account={"id": account} if account else None))
        assert told in found[0][1]
    assert await desk.mistakes(line(account={"id": "8"})) == []
    await desk.house.connect(await desk.subject(), desk.house.brought("7"), "solo")
    assert 'accounts = "single"' in (await desk.mistakes(line(account={"id": "8"}, provider="solo")))[0][1]


async def test_an_import_does_not_undo_what_the_user_disconnected_but_renews_what_ended(desk: Desk) -> None:
    """Security C7."""
    (first,) = await desk.bring_in(line(account={"id": "7"}))
    await desk.end(await desk.house.row(first), "reconnect_required")
    (again,) = await desk.bring_in(line(account={"id": "7"}, refresh_token="newer"))
    row = await desk.house.row(again)
    assert (again, row.generation, row.status) == (first, 2, "connected")
    assert (await desk.opened(again)).refresh_token == Secret("newer")
    assert [event["generation"] for event in await desk.events("connection.imported")] == [2, 1]
    await desk.end(row, "revoked")
    for account in ({"id": "7"}, None):
        found = await desk.mistakes(line(account=account))
        assert any(word in found[0][1] for word in ("disconnected", "nothing says"))


async def test_what_changed_after_the_check_stops_all_of_it(desk: Desk) -> None:
    checked = await desk.check(*many(700), line(sub="late", account={"id": "7"}, refresh_token="of late"))
    assert checked.mistakes == []
    await desk.house.connect(await desk.subject("late"), desk.house.brought("7"), "google")
    before = await desk.counts()
    with pytest.raises(Changed) as caught:
        await desk.importer.store(checked, tell=quiet)
    assert [mistake.line for mistake in caught.value.mistakes] == [701]
    assert await desk.counts() == before
    report = await desk.house.verify()
    assert (report.events, report.findings) == (1, [])


async def test_a_provider_s_notice_finds_what_was_imported(desk: Desk) -> None:
    """By the account where it has a name, and by the refresh token where the provider names those (issue 5, item 6)."""
    lookups = desk.house.lookups
    named, unnamed = await desk.bring_in(
        line(sub="named", account={"id": "7"}, refresh_token=f"1//0named-refresh-{CANARY}"),
        line(sub="unnamed", refresh_token=f"1//0other-refresh-{CANARY}"),
    )

    async def found(accounts: list[str], tokens: list[str]) -> list[UUID]:
        async with desk.house.database.transaction() as connection:
            rows = await store.named(
                connection,
                ["google"],
                accounts=[lookups.account("google", account) for account in accounts],
                tokens=[lookups.token("google", name) for name in tokens],
                connected_before=None,
            )
        return [connection_id for connection_id, _ in rows]

    assert await found(["7"], []) == [named]
    assert await found([UNNAMED_ACCOUNT, ""], []) == []
    for name in token_names(f"1//0other-refresh-{CANARY}"):
        assert await found([], [name]) == [unnamed]


async def test_two_imports_do_not_run_at_the_same_time(desk: Desk) -> None:
    checked = await desk.check(line())
    async with desk.house.database.transaction() as other:
        await other.execute(text("SELECT FROM locks WHERE name = 'import' FOR UPDATE"))
        with pytest.raises(ConfigurationError, match="Another import is under way"):
            await desk.importer.store(checked, tell=quiet)
    assert len(await desk.importer.store(checked, tell=quiet)) == 1


async def test_the_next_consent_names_an_account_that_was_imported_without_a_name(desk: Desk) -> None:
    """One person, one connection: and the imported refresh token is not mixed with the account agreed to."""
    (imported,) = await desk.bring_in(line())
    brought = replace(desk.house.brought("7"), refresh_token=None)
    connected = await desk.house.connect(await desk.subject(), brought, "google")
    assert connected == imported
    opened = await desk.opened(connected)
    assert (opened.account_id, opened.refresh_token, opened.access_token) == ("7", None, brought.access_token)
    # Named now: a consent with another account is another connection (B5), one with the same renews it.
    assert await desk.house.connect(await desk.subject(), desk.house.brought("8"), "google") != imported
    assert await desk.house.connect(await desk.subject(), desk.house.brought("7"), "google") == imported
    assert (await desk.house.row(imported)).generation == 3


async def test_a_consent_renews_the_named_account_that_was_imported(desk: Desk) -> None:
    (imported,) = await desk.bring_in(line(account={"id": "7"}))
    brought = replace(desk.house.brought("7"), refresh_token=None)
    assert await desk.house.connect(await desk.subject(), brought, "google") == imported
    # As everywhere: a provider that gives a refresh token once only has given it to the app.
    assert (await desk.opened(imported)).refresh_token == Secret(f"refresh-{CANARY}")


async def test_the_spool_holds_no_token_in_the_clear(desk: Desk) -> None:
    checked = await desk.check(*many(20))
    file = checked.spool._file  # noqa: SLF001 - what is on the disk is what matters
    file.seek(0)
    held = file.read()
    assert len(held) > 20 * 100
    assert CANARY.encode() not in held
    assert b"user-1" not in held


async def test_an_empty_file_is_no_mistake_and_no_import(desk: Desk) -> None:
    checked = await desk.importer.check(BytesIO(b""), stack=ExitStack(), tell=quiet)
    with checked.spool:
        assert (checked.lines, checked.mistakes) == (0, [])
        assert await desk.importer.store(checked, tell=quiet) == []


async def test_an_access_token_that_is_good_is_kept_as_it_is(desk: Desk) -> None:
    ends = desk.house.clock() + timedelta(hours=1)
    (imported,) = await desk.bring_in(line(access_token="still good", expires_at=ends.isoformat()))
    row = await desk.house.row(imported)
    assert row.expires_at == ends
    assert (await desk.opened(imported)).access_token == Secret("still good")
