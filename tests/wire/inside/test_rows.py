"""Rows of connections, keys and what waits are emptied, put back and taken away."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.support.exchanging import make_healthy
from tests.wire.beside import Log
from tests.wire.inside.within import Inside
from tests.wire.vault import App, bearer


async def keep(inside: Inside, account: dict[str, Any]) -> None:
    """Copy a connection and its data key to where only the attacker looks."""
    await inside.rows("DROP TABLE IF EXISTS kept, kept_keys")
    await inside.rows("CREATE TABLE kept AS SELECT * FROM connections WHERE id = $1", account["id"])
    await inside.rows("CREATE TABLE kept_keys AS SELECT k.* FROM data_keys k JOIN kept c ON c.data_key_id = k.id")


async def put_back(inside: Inside, account: dict[str, Any]) -> None:
    await inside.change("DELETE FROM connections WHERE id = $1", account["id"])
    await inside.rows("INSERT INTO data_keys TABLE kept_keys ON CONFLICT DO NOTHING")
    await inside.change("INSERT INTO connections TABLE kept")


async def test_a_row_put_back_after_a_refresh_is_named(inside: Inside, log: Log, victim: App) -> None:
    github = inside.world.providers["github"]
    github.grants.ttl = timedelta(seconds=30)
    account = await victim.connect()
    make_healthy(github)
    await keep(inside, account)
    before = await inside.findings()
    assert (await log.exchange(inside.token(victim))).status_code == 200
    assert github.calls["refresh"] == 1
    assert await inside.findings() == before
    await put_back(inside, account)
    said = f"connection {account['id']}: its revision is 1, and by the log it is 2"
    assert await inside.findings() - before == {said}
    code, told = await inside.command("audit", "verify")
    assert (code, said in told) == (1, True)


async def test_a_row_put_back_after_a_disconnect_is_named(inside: Inside, victim: App) -> None:
    """Whole, and with its data key. That it opens again is known; the log knows better."""
    account = await victim.connect()
    await keep(inside, account)
    before = await inside.findings()
    assert (await victim.http.delete(f"accounts/{account['id']}")).status_code == 204
    assert await inside.findings() == before
    await put_back(inside, account)
    said = f"connection {account['id']}: its status is connected, and by the log it is revoked"
    assert await inside.findings() - before == {said}


async def test_a_row_put_back_after_a_reconnect_is_named(inside: Inside, victim: App) -> None:
    account = await victim.connect()
    await keep(inside, account)
    before = await inside.findings()
    assert (await victim.connect())["id"] == account["id"]
    await put_back(inside, account)
    said = f"connection {account['id']}: its generation is 1, and by the log it is 2"
    assert await inside.findings() - before == {said}


async def test_a_user_put_back_after_their_offboarding_is_named(inside: Inside, log: Log, victim: App) -> None:
    account = await victim.connect()
    row = await inside.subject_of(account)
    await inside.rows("DROP TABLE IF EXISTS kept_subjects, kept_keys")
    await inside.rows("CREATE TABLE kept_subjects AS SELECT * FROM subjects WHERE id = $1", row)
    await inside.rows(
        "CREATE TABLE kept_keys AS SELECT k.* FROM data_keys k JOIN kept_subjects s ON s.data_key_id = k.id"
    )
    before = await inside.findings()
    headers = bearer(await log.operator_token("connections:revoke"))
    params = {"issuer": inside.world.places.issuer, "subject": victim.user}
    assert (await log.http.delete("/v1/subjects", params=params, headers=headers)).status_code == 204
    assert await inside.findings() == before
    await inside.rows("INSERT INTO data_keys TABLE kept_keys")
    await inside.rows("INSERT INTO subjects TABLE kept_subjects")
    assert f"subject {row}: it was erased, and its row is there again" in await inside.findings() - before


@pytest.mark.parametrize(
    "change", ["refresh_token = NULL", "metadata = 'x'", "refresh_token = NULL, metadata = NULL, expires_at = NULL"]
)
async def test_what_was_taken_out_of_a_row_is_missed(inside: Inside, log: Log, victim: App, change: str) -> None:
    """Absence is bound: without a refresh token nothing would ever be renewed, or narrowed."""
    account = await victim.connect()
    before = await inside.findings()
    await inside.serving(f"UPDATE connections SET {change} WHERE id = $1", account["id"])  # noqa: S608
    answer = await log.exchange(inside.token(victim))
    assert (answer.status_code, answer.json()) == (500, {"error": "server_error"})
    (event,) = await log.events_of(answer)
    assert (event["type"], event["reason"]) == ("token.refused", "cannot_open")
    (finding,) = await inside.findings() - before
    assert finding.startswith(f"connection {account['id']}: it does not open")


async def test_a_connection_that_is_taken_away_is_missed(inside: Inside, log: Log, victim: App) -> None:
    account = await victim.connect()
    statement = "DELETE FROM connections WHERE id = $1"
    assert "permission denied" in await inside.refused(statement, account["id"])
    before = await inside.findings()
    await inside.change(statement, account["id"])
    said = "a connection: events tell of it, and its row is gone (generation 1, connected)"
    assert said in await inside.findings() - before
    assert (await log.exchange(inside.token(victim))).status_code == 400


async def test_a_data_key_that_is_taken_away_is_missed(inside: Inside, log: Log, victim: App) -> None:
    account = await victim.connect()
    statement = "DELETE FROM data_keys k USING connections c WHERE c.data_key_id = k.id AND c.id = $1"
    assert "permission denied" in await inside.refused(statement, account["id"])
    before = await inside.findings()
    await inside.change(statement, account["id"])
    answer = await log.exchange(inside.token(victim))
    assert (answer.status_code, answer.json()) == (500, {"error": "server_error"})
    (event,) = await log.events_of(answer)
    assert event["reason"] == "cannot_open"
    said = f"connection {account['id']}: it does not open (connection {account['id']} has no data key)"
    assert await inside.findings() - before == {said}


async def test_a_users_data_key_that_is_taken_away_is_missed(inside: Inside, log: Log, victim: App) -> None:
    account = await victim.connect()
    row = await inside.subject_of(account)
    before = await inside.findings()
    await inside.change("DELETE FROM data_keys k USING subjects s WHERE s.data_key_id = k.id AND s.id = $1", row)
    inside.forget()
    answer = await log.exchange(inside.token(victim))
    assert (answer.status_code, answer.json()) == (500, {"error": "server_error"})
    (event,) = await log.events_of(answer)
    assert (event["reason"], event.get("subject")) == ("cannot_open", None)
    (finding,) = await inside.findings() - before
    assert finding.startswith(f"subject row {row}: ")
    page = await log.audit(limit=300)
    assert page["events"], "and the log is read all the same"


async def test_a_user_who_is_taken_away_is_missed(inside: Inside, victim: App) -> None:
    """With their key, so that what the log says of them can be read no more: the events stay, and say of nobody."""
    account = await victim.connect()
    row = await inside.subject_of(account)
    for table in ("subjects", "data_keys"):
        assert "permission denied" in await inside.refused(f"DELETE FROM {table}")  # noqa: S608
    assert "without an event" in await inside.refused("SELECT vaultd_erase_subject($1)", row)
    before = await inside.findings()
    await inside.change(
        "WITH gone AS (DELETE FROM subjects WHERE id = $1 RETURNING data_key_id), connections AS"
        " (DELETE FROM connections WHERE subject_id = $1) DELETE FROM data_keys USING gone WHERE id = data_key_id",
        row,
    )
    (finding,) = await inside.findings() - before
    assert finding.endswith("events name it, its row is gone, and no event says that it was erased")


async def test_a_revocation_that_is_taken_away(inside: Inside, log: Log, victim: App) -> None:
    """Nothing names it: the log says that an account was disconnected, and for which tokens is not in it.

    The serving role must be able to: a revocation that is done is deleted. What is left behind is a token at the
    provider that nobody has.
    """
    github = inside.world.providers["github"]
    account = await victim.connect()
    github.faults.revoke = "down"
    assert (await victim.http.delete(f"accounts/{account['id']}")).status_code == 204
    before = await inside.findings()
    await inside.serving("DELETE FROM revocations")
    make_healthy(github)
    assert await inside.findings() == before
    assert (await log.exchange(inside.token(victim))).status_code == 400
