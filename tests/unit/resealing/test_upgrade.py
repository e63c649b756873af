"""From a database that release 0.1 has used to one of today, by the command, as the role that migrates."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import time
from uuid import UUID

import httpx
import pytest
from joserfc.jwk import OctKey
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from tests.support.house import ISSUER
from tests.support.processes import Installation, serving
from tests.unit.loopback_issuer import sign
from tests.unit.resealing.conftest import ISSUER_SECRET, Aged, Installed
from vaultd.connections import narrowed, outbox, store
from vaultd.connections.narrowed import Narrowed
from vaultd.resealing.recipe import BATCH
from vaultd.sandbox.loopback import loopback_http
from vaultd.sandbox.postgres import RunningPostgres
from vaultd.serving_role import check_role
from vaultd.subjects.store import KnownSubject
from vaultd.terms import Scopes

USER = Scopes({"user"})
CROWD = BATCH + 20
GRANTED = "access token of hubot"
"""What the consent has brought that had only to be redeemed."""


def session_token(sub: str) -> str:
    now = int(time.time())
    claims = {
        "iss": ISSUER,
        "sub": sub,
        "aud": "https://vault.example.com",
        "azp": "agent",
        "iat": now,
        "exp": now + 300,
    }
    return sign(OctKey.import_key(ISSUER_SECRET), {"alg": "HS256", "typ": "JWT"}, claims).reveal()


async def delivered(http: httpx.AsyncClient, sub: str, provider: str = "github") -> httpx.Response:
    form = {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "subject_token": session_token(sub),
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "requested_token_type": "urn:ietf:params:oauth:token-type:access_token",
        "audience": provider,
        "client_id": "agent",
    }
    return await http.post("/oauth/token", data=form)


async def formats(aged: Aged) -> dict[int, int]:
    async with aged.older.superuser.transaction() as connection:
        rows = await connection.execute(text("SELECT format, count(*) AS n FROM connections GROUP BY format"))
        return {row.format: row.n for row in rows}


def served(installed: Installed) -> Installation:
    return Installation(installed.folder / "vaultd.toml", installed.environ)


async def fill(aged: Aged) -> tuple[KnownSubject, list[KnownSubject]]:
    """One user who has some of everything, and a crowd with an account each."""
    older, house = aged.older, aged.house
    alice = await house.subject()
    await older.narrowed(alice, await older.connected(alice))
    await older.connected(alice, "slack", found_by=False)
    await older.broken(alice, "gitlab")
    await older.broken(alice, "google", found_by=False)
    await older.revoked(alice, "box")
    await older.consents(alice)
    await older.browsers(alice)
    await older.switched_off(alice, "nightly")
    crowd = [await house.subject(f"user {number}") for number in range(CROWD)]
    await older.all_connected(crowd)
    await house.log.close()
    return alice, crowd


async def killed_in_the_middle(aged: Aged) -> None:
    """`vaultd migrate` waits for somebody's lock on the last row, and is stopped by a signal that it cannot hear."""
    # The schema first, which needs the table for itself: the keyring is not where the command looks for it.
    away = aged.installed.keyring.rename(aged.installed.folder / "elsewhere.json")
    assert aged.installed.run("migrate")[0] == 1
    away.rename(aged.installed.keyring)
    async with aged.older.superuser.engine.connect() as connection:
        last = text("SELECT id FROM connections ORDER BY id DESC LIMIT 1 FOR UPDATE")
        await connection.execute(last)
        process = await asyncio.create_subprocess_exec(
            *aged.installed.command("migrate"),
            env=aged.installed.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        async with asyncio.timeout(60):
            while not await waiting(aged):
                assert process.returncode is None, await process.communicate()
                await asyncio.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        await process.wait()
        await connection.rollback()


async def waiting(aged: Aged) -> bool:
    """Whether the command waits for the row, everything before it being done."""
    query = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        " AND application_name = 'vaultd-cli' AND query LIKE '%FROM connections%'"
    )
    async with aged.older.superuser.transaction() as connection:
        return bool((await connection.execute(query)).scalar_one())


async def test_killed_in_the_middle_and_run_again(aged: Aged) -> None:
    installed = aged.installed
    alice, crowd = await fill(aged)
    code, said = installed.run("check", "--json")
    assert (code, "Run `vaultd migrate`" in said) == (1, True)

    await killed_in_the_middle(aged)
    between = await formats(aged)
    assert between == {2: BATCH, 1: CROWD + 5 - BATCH}
    # Before anything serves, which would call the provider.
    assert await to_be_revoked(aged) == {"going": alice.id, GRANTED: alice.id}
    checks = installed.checks()
    assert (checks["database formats"]["state"], checks["database schema"]["state"]) == ("failed", "ok")
    with serving(served(installed)) as running:
        async with loopback_http(base_url=running.url, timeout=30.0) as http:
            for known in (alice, *crowd):
                answer = await delivered(http, known.key.subject.sub)
                assert answer.status_code == 200, (known.key.subject.sub, answer.text)
                assert answer.json()["access_token"] == f"token of {known.key.subject.sub} at github"
            assert await formats(aged) == between, "nothing is sealed anew by being used"
            # 1. while this vault serves
            assert installed.told("migrate") == {"before": "0007", "after": "0007", "sealed_anew": CROWD + 5 - BATCH}
            # 2. the same process goes on
            for known in (alice, *crowd[:20]):
                assert (await delivered(http, known.key.subject.sub)).status_code == 200
            assert (await delivered(http, "alice", "slack")).json()["access_token"] == "token of alice at slack"
            assert (await delivered(http, "alice", "gitlab")).status_code == 400
    assert await formats(aged) == {2: CROWD + 5}
    code, said = installed.run("audit", "verify")
    assert code == 0, said
    await everything_goes_on(aged, alice)
    await as_a_new_one_is(aged)
    assert installed.told("migrate") == {"before": "0007", "after": "0007", "sealed_anew": 0}


async def everything_goes_on(aged: Aged, alice: KnownSubject) -> None:
    """What has an account is where it was; what was only under way has ended, and goes back to the provider."""
    house = aged.house
    async with house.database.transaction() as connection:
        rows = await store.rows_of(connection, alice.id)
    row = next(row for row in rows if row.provider == "github")
    assert row.account_lookup == house.lookups.account("github", "octocat")
    async with house.database.transaction() as connection:
        kept = await narrowed.find(connection, [(row.id, USER)], after=house.clock())
        _, token = Narrowed(data_keys=house.data_keys).open(row, kept[row.id, USER])
        assert token is not None
        assert token.token.reveal() == "narrowed"
    assert (await to_be_revoked(aged))["going"] == alice.id
    assert await left(aged) == {"sessions": 0, "sign_ins": 0, "pending_grants": 0}


async def to_be_revoked(aged: Aged) -> dict[str, UUID | None]:
    """Whose the access tokens are that wait for their provider."""
    async with aged.house.database.transaction() as connection:
        return {
            one.access_token.reveal(): one.subject_id
            async for one in outbox.everything(connection, aged.house.data_keys)
            if one.access_token is not None
        }


async def left(aged: Aged) -> dict[str, int]:
    """How many rows there are of what an upgrade ends."""
    async with aged.older.superuser.transaction() as connection:
        return {
            table: (await connection.execute(text(f"SELECT count(*) FROM {table}"))).scalar_one()  # noqa: S608
            for table in ("sessions", "sign_ins", "pending_grants")
        }


async def as_a_new_one_is(aged: Aged) -> None:
    """Formats, rights and constraints."""
    checks = aged.installed.checks()
    assert checks["database formats"]["text"] == "all is sealed in the newest format"
    assert checks["database role"]["state"] == "ok"
    assert (checks["database access"]["state"], checks["database access"]["text"]) == ("ok", "vaultd's roles only")
    async with aged.house.database.transaction() as connection:
        await check_role(connection)
    for statement in (
        "DELETE FROM subjects",
        "DELETE FROM data_keys",
        "DELETE FROM connections",
        "UPDATE keyring SET state = state",
        "UPDATE replay SET expires_at = now()",
        "UPDATE sessions SET subject_id = subject_id",
        "SELECT * FROM pg_authid",
    ):
        assert "permission denied" in await refused(aged, statement), statement
    for statement in (
        "UPDATE connections SET format = 1 WHERE status = 'connected'",
        "INSERT INTO connections SELECT (c).* FROM (SELECT c FROM connections c LIMIT 1) x",
    ):
        said = await refused(aged, statement)
        assert "connections_sealed_anew" in said or "duplicate key" in said, said


async def refused(aged: Aged, statement: str) -> str:
    try:
        async with aged.house.database.engine.begin() as connection:
            await connection.execute(text(statement))
    except DBAPIError as error:
        return str(error.orig)
    raise AssertionError(f"{statement} was done")


async def test_without_the_keyring_it_says_what_to_do(aged: Aged) -> None:
    installed = aged.installed
    alice = await aged.house.subject()
    await aged.older.connected(alice)
    await aged.older.browsers(alice)
    away = installed.keyring.rename(installed.folder / "elsewhere.json")
    for _ in range(2):
        code, said = installed.run("migrate")
        assert code == 1
        assert "The schema is migrated." in said
        assert "Run `vaultd migrate` again where it can." in said
        assert "keyring.json" in said
        assert await formats(aged) == {1: 1}
    away.rename(installed.keyring)
    code, said = installed.run("migrate")
    assert (code, "Connections sealed anew: 1." in said) == (0, True), said
    assert await formats(aged) == {2: 1}
    assert installed.run("audit", "verify")[0] == 0


async def test_with_the_keyring_of_another_database_nothing_is_sealed(aged: Aged) -> None:
    installed = aged.installed
    await aged.older.connected(await aged.house.subject())
    away = installed.keyring.rename(installed.folder / "right.json")
    assert installed.run("keys", "generate")[0] == 0
    code, said = installed.run("migrate")
    assert (code, "belongs to another keyring" in said) == (1, True), said
    assert await formats(aged) == {1: 1}
    away.replace(installed.keyring)
    assert installed.run("migrate")[0] == 0
    assert installed.run("audit", "verify")[0] == 0


async def test_one_that_nobody_has_used(aged: Aged) -> None:
    """There are keys and nothing else: nothing is to be sealed anew, and no keyring needed."""
    aged.installed.keyring.unlink()
    assert aged.installed.told("migrate") == {"before": "0005", "after": "0007", "sealed_anew": 0}


@pytest.mark.parametrize("table", ["sessions", "pending_grants", "sign_ins"])
async def test_one_that_holds_only_what_passes(aged: Aged, table: str) -> None:
    known = await aged.house.subject()
    if table == "pending_grants":
        await aged.older.consents(known)
    else:
        await aged.older.browsers(known)
    assert aged.installed.run("migrate")[0] == 0
    code, said = aged.installed.run("audit", "verify")
    assert code == 0, said
    checks = aged.installed.checks()
    assert checks["database formats"]["state"] == "ok"


def test_the_roles_of_the_file_are_enough_from_the_beginning(installed: Installed) -> None:
    """A new installation: one role makes the tables, the other serves, and neither is a superuser."""
    assert installed.run("keys", "generate")[0] == 0
    code, said = installed.run("migrate")
    assert (code, "0007 now (before: none)" in said) == (0, True), said
    with serving(served(installed)):
        code, said = installed.run("keys", "status")
        assert (code, said.count("active")) == (0, 4)
    code, said = installed.run("audit", "verify")
    assert code == 0, said
    checks = installed.checks()
    assert {one["state"] for what, one in checks.items() if what.startswith(("database", "keyring"))} == {"ok"}


def test_neither_role_of_the_file_is_more_than_it_should_be(server: RunningPostgres) -> None:
    rights = "rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls"
    strong = server.run(f"SELECT rolname FROM pg_roles WHERE rolname LIKE 'vaultd%' AND ({rights})")  # noqa: S608
    assert strong == ""
    logins = server.run("SELECT rolname FROM pg_roles WHERE rolname LIKE 'vaultd%' AND rolcanlogin ORDER BY 1")
    assert logins.split() == ["vaultd_migrate", "vaultd_serve"]
    assert server.run("SELECT pg_has_role('vaultd_serve', 'vaultd_owner', 'MEMBER')").strip() == "f"
