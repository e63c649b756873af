"""`vaultd import FILE` (api.md §7; issue 5, item 8): from an app's tokens to an exchange over HTTP."""

from __future__ import annotations

import asyncio
import os
import pty
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import DatabaseUrls
from tests.support.exchanging import events_of
from tests.support.processes import Installation, install
from tests.wire.importing import command, issued, line, peak_memory, run_import, start_import, write_lines
from tests.wire.vault import App, Vault
from vaultd.db import Database
from vaultd.sandbox.world import World
from vaultd.terms import Secret, system_clock


@pytest.fixture(scope="module")
def here(world: World) -> Installation:
    """The running vault's own configuration."""
    return install(world, "import")


@pytest.fixture
def elsewhere(world: World, database_urls: DatabaseUrls) -> Installation:
    """The same over a database of its own, which nothing serves."""
    serving = world.settings.database_url.reveal()
    return install(world, "import-elsewhere", {serving: database_urls.service})


@pytest.fixture(autouse=True)
def calls(world: World) -> Iterator[None]:
    world.providers["google"].calls.clear()
    yield
    world.providers["google"].faults.clear()


async def counts(owner: str) -> dict[str, int]:
    database = Database(Secret(owner), pool_size=1)
    tables = ("connections", "subjects", "data_keys", "events")
    try:
        async with database.transaction() as connection:
            return {
                table: (await connection.exec_driver_sql(f"SELECT count(*) FROM {table}")).scalar_one()  # noqa: S608
                for table in tables
            }
    finally:
        await database.aclose()


async def test_an_imported_refresh_token_is_renewed_and_exchanged(
    world: World, vault: Vault, app: App, here: Installation, tmp_path: Path
) -> None:
    """The whole way, and no token in what the command says."""
    google = world.providers["google"]
    grant = issued(world)
    file = write_lines(tmp_path / "tokens.ndjson", line(world, app.user, grant))
    done = run_import(here, file)
    assert (done.code, done.err) == (0, ""), done
    assert "Connections imported: 1." in done.out
    assert google.calls["refresh"] == 0
    answer = await vault.exchange(app.session_token, audience="google")
    assert answer.status_code == 200, answer.text
    token = answer.json()["access_token"]
    assert google.grants.access(token) is not None
    assert token not in {grant["access_token"], grant["refresh_token"]}
    assert google.calls["refresh"] == 1
    event = (await events_of(world, "connection.imported", "google"))[0]
    assert (event["decision"], event["scopes"]) == ("allowed", sorted(grant["scope"].split()))
    again = run_import(here, file)
    assert (again.code, "Nothing was stored" in again.out) == (1, True)
    assert "line 1: this account is connected here already" in again.out
    assert grant["refresh_token"] not in done.out + again.out + again.err


async def test_a_good_access_token_is_delivered_as_it_is(
    world: World, vault: Vault, app: App, here: Installation
) -> None:
    """From standard input, with an answer for programs; the account asked of the provider."""
    grant = issued(world)
    ends = system_clock().replace(microsecond=0).isoformat()
    ends = ends.replace(ends[:4], str(int(ends[:4]) + 1))
    text = line(world, app.user, grant, access_token=grant["access_token"], expires_at=ends)
    done = run_import(here, "-", "--ask-provider", "--json", stdin=text.encode())
    assert (done.code, done.err) == (0, ""), done
    assert done.document() == {
        "ok": True,
        "dry_run": False,
        "lines": 1,
        "imported": 1,
        "without_account_id": 0,
        "mistakes": [],
    }
    answer = await vault.exchange(app.session_token, audience="google")
    assert answer.json()["access_token"] == grant["access_token"]
    assert answer.json()["account"] == "alice@example.com"
    # The account is known by the provider's own id: consent renews this connection, and makes no second one.
    await app.connect("google")
    listed = (await app.http.get("accounts")).json()["accounts"]
    assert [account["connection"] for account in listed] == ["google"]


async def test_the_consent_of_an_unnamed_account_makes_no_second_one(
    world: World, vault: Vault, app: App, here: Installation
) -> None:
    done = run_import(here, "-", stdin=line(world, app.user, issued(world)).encode())
    assert "Without an account's id: 1." in done.out
    (before,) = (await app.http.get("accounts")).json()["accounts"]
    await app.connect("google")
    (after,) = (await app.http.get("accounts")).json()["accounts"]
    assert after["id"] == before["id"]
    assert (await vault.exchange(app.session_token, audience="google")).status_code == 200


async def test_the_event_tells_that_nobody_could_say_whose_it_was(
    world: World, vault: Vault, app: App, here: Installation
) -> None:
    assert run_import(here, "-", stdin=line(world, app.user, issued(world)).encode()).code == 0
    await app.connect("google")
    events = (await vault.audit(subject_issuer=world.places.issuer, subject=app.user))["events"]
    assert [(event["type"], event.get("reason")) for event in events] == [
        ("connection.reconnected", "unnamed_before"),
        ("connection.imported", None),
    ]


@pytest.mark.parametrize(("person", "count"), [("alice", 1), ("bob", 2)])
async def test_an_unnamed_account_is_kept_beside_another_one(  # noqa: PLR0917 - the columns of the table
    person: str, count: int, world: World, vault: Vault, app: App, here: Installation
) -> None:
    """The provider says whose the imported token is, so no other account takes its place."""
    grant = issued(world, person=person)
    text = line(world, app.user, grant, access_token=grant["access_token"])
    assert run_import(here, "-", stdin=text.encode()).code == 0
    (before,) = (await app.http.get("accounts")).json()["accounts"]
    await app.connect("google")
    after = (await app.http.get("accounts")).json()["accounts"]
    assert (len(after), before["id"] in {account["id"] for account in after}) == (count, True)
    assert all(account["status"] == "connected" for account in after)
    assert world.providers["google"].grants.access(grant["access_token"]) is not None
    (event,) = (await vault.audit(subject_issuer=world.places.issuer, subject=app.user, limit=1))["events"]
    kind = "connection.reconnected" if count == 1 else "connection.connected"
    assert (event["type"], event.get("reason")) == (kind, None)


async def test_an_access_token_that_the_provider_does_not_take_leaves_the_account_unnamed(
    world: World, app: App, here: Installation
) -> None:
    text = line(world, app.user, issued(world), access_token="never-issued")
    done = run_import(here, "-", "--ask-provider", "--dry-run", stdin=text.encode())
    assert (done.code, "Without an account's id: 1." in done.out) == (0, True), done
    assert world.providers["google"].calls["userinfo"] == 1


async def test_a_provider_that_does_not_answer_stops_all(world: World, app: App, here: Installation) -> None:
    google = world.providers["google"]
    google.faults.userinfo = "down"
    grant = issued(world)
    text = line(world, app.user, grant, access_token=grant["access_token"])
    done = run_import(here, "-", "--ask-provider", stdin=text.encode())
    assert (done.code, "line 1: the provider does not say whose token it is" in done.out) == (1, True), done
    assert grant["access_token"] not in done.out + done.err
    assert (await app.http.get("accounts")).json()["accounts"] == []


async def test_what_was_imported_can_be_disconnected_at_once(
    world: World, vault: Vault, app: App, here: Installation
) -> None:
    """Security C7: the refresh token is revoked at the provider, although no access token was ever known."""
    google = world.providers["google"]
    grant = issued(world)
    assert run_import(here, "-", stdin=line(world, app.user, grant).encode()).code == 0
    (account,) = (await app.http.get("accounts")).json()["accounts"]
    assert (await app.http.delete(f"accounts/{account['id']}")).status_code == 204
    async with asyncio.timeout(10):
        while google.grants.access(grant["access_token"]) is not None:
            await asyncio.sleep(0.05)
    again = run_import(here, "-", stdin=line(world, app.user, issued(world)).encode())
    assert (again.code, "the user disconnected this account here" in again.out) == (1, True)


async def test_one_bad_line_stops_all_and_each_is_named_without_its_token(
    world: World, vault: Vault, app: App, here: Installation, tmp_path: Path
) -> None:
    grant = issued(world)
    good = line(world, app.user, grant)
    bad = (
        good.replace('"google"', '"gogle"'),
        good.replace('"refresh_token"', '"refresh"'),
        "{" + grant["refresh_token"],
    )
    file = write_lines(tmp_path / "tokens.ndjson", good, "", *bad)
    for words in ((), ("--dry-run",)):
        done = run_import(here, file, *words)
        assert done.code == 1
        assert [said.partition(":")[0] for said in done.out.splitlines() if said.startswith("line ")][::1] == [
            "line 3",
            "line 4",
            "line 4",
            "line 5",
        ]
        assert "Lines: 4, with mistakes: 3. Nothing was stored." in done.out
        assert grant["refresh_token"] not in done.out + done.err
    document = run_import(here, file, "--json").document()
    assert (document["ok"], document["imported"], {one["line"] for one in document["mistakes"]}) == (
        False,
        0,
        {3, 4, 5},
    )
    refused = await vault.exchange(app.session_token, audience="google")
    assert refused.json()["reason"] == "not_connected"


async def test_a_dry_run_stores_nothing(world: World, vault: Vault, app: App, here: Installation) -> None:
    done = run_import(here, "-", "--dry-run", stdin=line(world, app.user, issued(world)).encode())
    assert (done.code, "all of them right. Nothing was stored" in done.out) == (0, True)
    assert (await vault.exchange(app.session_token, audience="google")).json()["reason"] == "not_connected"


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("nowhere.ndjson",),
        ("-", "--dry-run", "--test-refresh"),
        ("-", "--rate", "0"),
        ("-", "--rate", "51"),
    ],
)
def test_a_wrong_use_is_2(here: Installation, words: tuple[str, ...]) -> None:
    assert run_import(here, *words).code == 2


async def test_refresh_tokens_are_tried_after_they_are_stored(
    world: World, vault: Vault, app: App, other_app: App, here: Installation
) -> None:
    """A rotating token's successor is what is stored; a token that is no good ends its connection in the open."""
    google = world.providers["google"]
    good, bad = issued(world), issued(world) | {"refresh_token": "never-issued"}
    lines = (line(world, app.user, good), line(world, other_app.user, bad))
    done = run_import(here, "-", "--test-refresh", "--rate", "20", "--json", stdin="\n".join(lines).encode())
    assert (done.code, done.err) == (1, ""), done
    document = done.document()
    assert (document["ok"], document["imported"]) == (False, 2)
    tried = document["test_refresh"]
    assert (tried["renewed"], tried["ended"], [one["line"] for one in tried["findings"]]) == (1, 1, [2])
    assert google.calls["refresh"] == 2
    answer = await vault.exchange(app.session_token, audience="google")
    assert google.grants.access(answer.json()["access_token"]) is not None
    assert google.calls["refresh"] == 2
    assert not any(family.reuse_detected for family in google.grants.families)
    refused = await vault.exchange(other_app.session_token, audience="google")
    assert refused.json()["reason"] == "reconnect_required"
    broken = (await events_of(world, "connection.broken", "google"))[0]
    assert broken["reason"] == "invalid_grant"
    # The operator finds a better token: what ended may be brought in again.
    better = line(world, other_app.user, issued(world))
    assert run_import(here, "-", stdin=better.encode()).code == 0
    assert (await vault.exchange(other_app.session_token, audience="google")).status_code == 200


async def test_a_provider_that_refuses_everything_is_left_alone(world: World, elsewhere: Installation) -> None:
    """As with another app's tokens (RFC 6749 §10.4): what was not tried stays connected."""
    grant = issued(world)
    lines = [
        line(world, f"user-{number}", grant | {"refresh_token": f"of-another-app-{number}"}) for number in range(40)
    ]
    done = run_import(elsewhere, "-", "--test-refresh", "--rate", "10", "--json", stdin="\n".join(lines).encode())
    tried = done.document()["test_refresh"]
    assert (done.code, tried["ended"], tried["not_tried"]) == (1, 10, 30)
    assert world.providers["google"].calls["refresh"] == 10


def many(world: World, path: Path, count: int, *, size: int = 0) -> str:
    grant: dict[str, Any] = {"scope": "calendar"}
    with path.open("w", encoding="utf-8") as file:
        for number in range(count):
            token = f"refresh-{number}-" + "x" * size
            file.write(line(world, f"user-{number}", grant | {"refresh_token": token}) + "\n")
    return str(path)


async def test_a_kill_in_the_middle_leaves_nothing(
    world: World, elsewhere: Installation, database_urls: DatabaseUrls, tmp_path: Path
) -> None:
    """SIGKILL while thousands of rows are written already: no connection, subject, key or event is there."""
    assert run_import(elsewhere, "-").code == 0  # makes the keyring, so that what follows is the import alone
    before = await counts(database_urls.owner)
    file = many(world, tmp_path / "tokens.ndjson", 20_000)
    watching = Database(Secret(database_urls.owner), pool_size=1)
    process = start_import(elsewhere, file)
    try:
        written = 0
        deadline = time.monotonic() + 120
        while written < 1_000_000:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            async with watching.transaction() as connection:
                # Rows that are not committed take their place on the disk already.
                size = await connection.exec_driver_sql("SELECT pg_relation_size('connections')")
                written = size.scalar_one()
    finally:
        process.kill()
        process.communicate()
        await watching.aclose()
    assert await counts(database_urls.owner) == before
    # And nothing stands in the way of running it again.
    assert run_import(elsewhere, file, "--dry-run").code == 0


async def test_twenty_thousand_rows_take_no_more_memory_than_a_thousand(
    world: World, elsewhere: Installation, database_urls: DatabaseUrls, tmp_path: Path
) -> None:
    """The file is 60 MB; kept are fingerprints and ids."""
    few = peak_memory(elsewhere, many(world, tmp_path / "few.ndjson", 1_000, size=3_000), "--dry-run")
    file = many(world, tmp_path / "many.ndjson", 20_000, size=3_000)
    assert peak_memory(elsewhere, file) - few < 30_000_000
    assert (await counts(database_urls.owner))["connections"] == 20_000


def test_progress_is_shown_on_a_terminal_and_only_there(world: World, elsewhere: Installation, tmp_path: Path) -> None:
    file = many(world, tmp_path / "tokens.ndjson", 3)
    assert run_import(elsewhere, file, "--dry-run").err == ""
    ours, theirs = pty.openpty()
    environ = {**elsewhere.environ, "TERM": "xterm", "COLUMNS": "80"}
    done = subprocess.run(
        command(elsewhere, file, "--dry-run"),
        env=environ,
        stderr=theirs,
        stdout=subprocess.PIPE,
        check=True,
        timeout=60,
    )
    os.close(theirs)
    shown = b""
    with suppress(OSError):  # what a terminal says when its other end is gone
        while piece := os.read(ours, 65536):
            shown += piece
    os.close(ours)
    assert b"Reading" in shown
    assert b"3 lines" in shown
    assert b"Reading" not in done.stdout
