"""`vaultd connections retry ID`: an operator undoes a wrong verdict, and is told where that cannot be done."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest

from tests.doubles.own_words import OwnWords, Words
from tests.wire.own import AGENT
from tests.wire.vault import App
from tests.wire.words import Town

DEAD = Words(400, {"error": "invalid_grant"})
CONFIGURATION = """
public_url = "https://vault.example.com"
database_url = "env:SERVICE_URL"
[keys]
path = "keyring.json"
[refresh]
keep_broken_days = 7
"""


@dataclass(frozen=True, slots=True)
class Operator:
    """Whoever types commands beside the running vault."""

    folder: Path
    database_url: str

    def retry(self, connection_id: str, *more: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "vaultd.cli", "connections", "retry", connection_id, *more]
        environ = os.environ | {"VAULTD_CONFIG": str(self.folder / "operator.toml"), "SERVICE_URL": self.database_url}
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=60)
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, done.stdout + done.stderr


@pytest.fixture
def operator(town: Town) -> Operator:
    (town.world.folder / "operator.toml").write_text(CONFIGURATION, encoding="utf-8")
    return Operator(town.world.folder, town.database_url)


@pytest.fixture
def own(town: Town) -> OwnWords:
    town.at["own"].reset()
    return town.at["own"]


async def broken(town: Town, app: App) -> str:
    """A connection that its provider called dead; gives its id."""
    granted = await town.connected(app, "own")
    granted.says = [DEAD]
    town.clock.forward(seconds=31)
    assert (await town.exchange(app, "own")).json()["reason"] == "reconnect_required"
    return str((await town.account(app))["id"])


async def test_a_wrong_verdict_is_undone(town: Town, own: OwnWords, operator: Operator) -> None:
    async with town.app() as app:
        connection_id = await broken(town, app)
        granted = own.latest()
        code, said = operator.retry(connection_id)
        assert (code, f"{connection_id} at own-here is connected again" in said) == (0, True), said
        assert (await town.account(app))["status"] == "connected"
        (event,) = await town.events(app, "connection.retried")
        assert (event["reason"], event["connection_id"]) == ("invalid_grant", connection_id)
        granted.says = []
        assert (await town.exchange(app, "own")).json()["access_token"] == granted.access[-1]
        assert granted.asked[-1]["refresh_token"] == granted.refresh[0]


async def test_a_right_verdict_stands_and_can_be_questioned_again(
    town: Town, own: OwnWords, operator: Operator
) -> None:
    async with town.app() as app:
        connection_id = await broken(town, app)
        for _ in range(2):
            code, said = operator.retry(connection_id, "--json")
            assert code == 0, said
            assert json.loads(said) == {"id": connection_id, "connection": "own-here", "status": "connected"}
            assert (await town.exchange(app, "own")).json()["reason"] == "reconnect_required"
        assert len(own.latest().asked) == 3


async def test_a_client_that_gets_fewer_scopes_is_served_again(town: Town, operator: Operator) -> None:
    """And no token that was given out before the verdict is given out after it."""
    town.at["narrowing"].reset()
    town.at["narrowing"].token = {"scope": "read write"}
    async with town.app() as app:
        granted = await town.connected(app, "narrowing")
        before = (await town.exchange(app, "narrowing")).json()
        granted.says = [DEAD]
        town.clock.forward(seconds=31)
        assert (await town.exchange(app, "narrowing")).json()["reason"] == "reconnect_required"
        account = str((await town.account(app))["id"])
        assert operator.retry(account)[0] == 0
        granted.says = []
        for _ in range(2):
            after = (await town.exchange(app, "narrowing")).json()
            assert (after["access_token"], after["scope"]) == (granted.access[-1], "read")
            assert after["access_token"] != before["access_token"]
        code, said = operator.retry(account)
        assert (code, "It is connected." in said) == (1, True), "it needed no second time"


async def test_one_that_is_connected_or_was_reconnected_is_left_as_it_is(
    town: Town, own: OwnWords, operator: Operator
) -> None:
    own.person = "regular"
    async with town.app() as app:
        connection_id = await broken(town, app)
        granted = await town.connected(app, "own")
        code, said = operator.retry(connection_id)
        assert (code, "cannot be tried again. It is connected." in said) == (1, True), said
        assert (await town.exchange(app, "own")).json()["access_token"] in granted.access
        assert await town.events(app, "connection.retried") == []


async def test_what_was_disconnected_is_gone(town: Town, own: OwnWords, operator: Operator) -> None:
    async with town.app() as app:
        connection_id = await broken(town, app)
        assert (await app.http.delete(f"accounts/{connection_id}")).status_code == 204
        code, said = operator.retry(connection_id)
        assert (code, "It was disconnected" in said) == (1, True), said
        assert own.latest().access


async def test_what_has_been_kept_for_long_enough_is_gone(town: Town, own: OwnWords, operator: Operator) -> None:
    """By the command's own clock: the vault's is set back a week here, so that what it keeps is over by now."""
    town.clock.forward(days=-8)
    try:
        async with town.app() as app:
            app.session_token = town.world.issuer.mint(app.user, azp=AGENT[0], scope="")
            connection_id = await broken(town, app)
            code, said = operator.retry(connection_id)
            assert (code, "were not kept, or no longer" in said) == (1, True), said
            assert own.latest().access
    finally:
        town.clock.forward(days=8)


def test_one_that_never_was(operator: Operator) -> None:
    unknown = str(uuid4())
    assert operator.retry(unknown) == (1, f"There is no connection {unknown}.\n")
    code, said = operator.retry("not-an-id")
    assert (code, "'ID'" in said) == (2, True), said
