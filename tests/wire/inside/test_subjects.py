"""A subject's row is found by its lookup; what it holds says whose it is, and a swap gives nobody another's tokens."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.support.processes import install, serving
from tests.wire.beside import Log
from tests.wire.inside.within import Inside
from tests.wire.vault import App


@pytest.mark.parametrize(
    "columns",
    [
        ("lookup",),
        ("audit_ref",),
        ("lookup", "audit_ref"),
        ("data_key_id",),
        ("sealed",),
        ("lookup", "audit_ref", "data_key_id"),
        ("lookup", "audit_ref", "data_key_id", "sealed"),
        ("id",),
    ],
)
async def test_a_swap_gives_nobody_anothers_token(
    inside: Inside, log: Log, victim: App, attacker: App, columns: tuple[str, ...]
) -> None:
    theirs, own = await victim.connect(), await attacker.connect()
    secret = (await log.exchange(inside.token(victim))).json()["access_token"]
    before = await inside.findings()
    rows = [await inside.subject_of(account) for account in (theirs, own)]
    await swap(inside, columns, *rows)
    inside.forget()
    for app in (attacker, victim):
        answer = await log.exchange(inside.token(app))
        assert (answer.status_code, answer.json()) == (500, {"error": "server_error"})
        assert secret not in answer.text
        (event,) = await log.events_of(answer)
        assert (event["type"], event["reason"]) == ("token.refused", "cannot_open")
        assert victim.user not in str(event)
    found = await inside.findings() - before
    for row in rows:
        assert any(finding.startswith(f"subject row {row}: ") for finding in found), found
    if columns == ("lookup",):
        code, said = await inside.command("audit", "verify")
        assert (code, all(f"subject row {row}: " in said for row in rows)) == (1, True)
    await swap(inside, columns, *rows)
    inside.forget()
    answer = await log.exchange(inside.token(attacker))
    assert (answer.status_code, answer.json()["access_token"] == secret) == (200, False)


async def test_another_process_is_not_deceived_either(inside: Inside, log: Log, victim: App, attacker: App) -> None:
    theirs, own = await victim.connect(), await attacker.connect()
    rows = [await inside.subject_of(account) for account in (theirs, own)]
    with serving(install(inside.world, "another")) as another:
        await swap(inside, ("lookup",), *rows)
        now = int(time.time())
        fresh_token = inside.world.issuer.mint(attacker.user, azp="sample-agent", claims={"iat": now, "exp": now + 300})
        form, url = log.exchange_form(fresh_token), f"{another.url}/oauth/token"
        answer = await log.http.post(url, data=form, auth=log.agent)
        (event,) = await log.events_of(answer)
    await swap(inside, ("lookup",), *rows)
    assert (answer.status_code, answer.json()) == (500, {"error": "server_error"})
    assert (event["type"], event["reason"], event.get("subject")) == ("token.refused", "cannot_open", None)


async def test_a_connection_that_is_given_to_another_user(inside: Inside, log: Log, victim: App, attacker: App) -> None:
    account = await victim.connect()
    known = {row["id"] for row in await inside.rows("SELECT id FROM subjects")}
    assert (await log.exchange(inside.token(attacker))).status_code == 400
    (row,) = [row for row in await inside.rows("SELECT id FROM subjects") if row["id"] not in known]
    before = await inside.findings()
    await inside.serving("UPDATE connections SET subject_id = $2 WHERE id = $1", account["id"], row["id"])
    answer = await log.exchange(inside.token(attacker))
    assert (answer.status_code, answer.json()) == (500, {"error": "server_error"})
    (event,) = await log.events_of(answer)
    assert (event["reason"], event["subject"]["sub"]) == ("cannot_open", attacker.user)
    assert f"connection {account['id']}: no event tells of it" in await inside.findings() - before


@pytest.mark.parametrize("column", ["id", "lookup", "audit_ref", "data_key_id", "sealed", "created_at"])
async def test_the_serving_role_changes_no_subject(inside: Inside, victim: App, column: str) -> None:
    await victim.connect()
    assert "permission denied" in await inside.refused(f"UPDATE subjects SET {column} = {column}")  # noqa: S608


async def swap(inside: Inside, columns: tuple[str, ...], one: Any, two: Any) -> None:
    """Exchange these columns of two subjects' rows."""
    rows = {row["id"]: row for row in await inside.rows("SELECT * FROM subjects WHERE id IN ($1, $2)", one, two)}
    await inside.rows("DELETE FROM subjects WHERE id IN ($1, $2)", one, two)
    for this, other in ((one, two), (two, one)):
        row = rows[this] | {column: rows[other][column] for column in columns}
        names, places = ", ".join(row), ", ".join(f"${number}" for number in range(1, len(row) + 1))
        await inside.rows(f"INSERT INTO subjects ({names}) VALUES ({places})", *row.values())  # noqa: S608
