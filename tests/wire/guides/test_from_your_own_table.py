"""docs/guides/from-your-own-table.md, done from its first block to its last (issue 7, item 5)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import text

from tests.conftest import DatabaseUrls
from tests.support.guides import DOCS, GUIDES, blocks
from tests.support.processes import Installation
from tests.support.toml import laid_over
from tests.wire.guides.vaults import Ground, config_path, guided_vault
from tests.wire.importing import issued, run_import
from vaultd.db import Database
from vaultd.providers.catalogue import load_catalogue
from vaultd.sandbox.browser import Browser
from vaultd.sandbox.dev_config import VAULT_AT_ISSUER
from vaultd.sandbox.issuer import SandboxIssuer
from vaultd.sandbox.servers import listen
from vaultd.sandbox.world import World
from vaultd.terms import Secret

GUIDE = GUIDES / "from-your-own-table.md"
VAULT, APP = "https://vault.example.com", "https://app.example.com"


@dataclass(frozen=True, slots=True)
class Afternoon:
    """The vault of the guide, and the issuer that signs the app's users in."""

    world: World
    issuer: SandboxIssuer
    installed: Installation

    def session_token(self, user: str) -> str:
        return self.issuer.mint(user, azp="web-app")


@pytest.fixture(scope="module")
def afternoon(ground: Ground) -> Iterator[Afternoon]:
    (block,) = blocks(GUIDE, "toml")
    issuer_at, vault_at = listen(), listen()
    issuer = SandboxIssuer(
        issuer=f"{issuer_at.url}/",
        clients={VAULT_AT_ISSUER: ground.world.secrets.login},
        audience=VAULT,
        redirect_uris=[f"{vault_at.url}/auth/login/callback"],
    )
    table = {"issuer": issuer.issuer, "allow_private_hosts": ["127.0.0.1"]}
    document = laid_over(tomllib.loads(block.text), {"issuers": {"app": table}})
    environ = {**os.environ, **ground.environ, "DATABASE_URL": ground.database_url}
    with guided_vault(ground, document, issuer=issuer.app, issuer_at=issuer_at, vault_at=vault_at) as world:
        yield Afternoon(world, issuer, Installation(config_path(ground.folder, document), environ))


@pytest_asyncio.fixture
async def table(database_urls: DatabaseUrls) -> AsyncIterator[Database]:
    """The app's own database."""
    app = Database(Secret(database_urls.owner), pool_size=1)
    yield app
    await app.aclose()


def _shell(afternoon: Afternoon, script: str) -> str:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environ = {**afternoon.installed.environ, "PATH": path, "VAULTD_CONFIG": str(afternoon.installed.config)}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script.replace(VAULT, afternoon.world.places.vault)],
        env=environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_step_2_the_commands_find_nothing_wrong(afternoon: Afternoon) -> None:
    said = _shell(afternoon, blocks(GUIDE, "sh")[0].text)
    assert "failed" not in said
    assert "web-app" in said
    # A table with endpoints of its own, as the sandbox needs, has no part of the catalogue; see the next test.
    assert "authorization_endpoint" in said


def test_the_way_back_is_told_as_the_catalogue_has_it() -> None:
    catalogue = load_catalogue()
    assert catalogue["google"]["rotation"] == "never"
    assert catalogue["github"]["expires"] is False
    assert {catalogue[name]["rotation"] for name in ("slack", "atlassian", "microsoft")} <= {"always", "sometimes"}


async def test_steps_3_to_7_move_the_tokens_and_nobody_notices(
    afternoon: Afternoon, table: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    google = afternoon.world.providers["google"]
    grant = issued(afternoon.world)
    await _fill(table, grant)
    functions = _functions(afternoon, monkeypatch, {("alice", "google"): grant["access_token"]})

    def token_for(user: str) -> str:
        token: str = functions.provider_token(user, afternoon.session_token(user), "google")
        return token

    with closing(functions.vault):
        assert token_for("alice") == grant["access_token"]
        await _import(afternoon, table)
        functions.MOVED.add("google")
        token = token_for("alice")
        assert token != grant["access_token"]
        assert google.grants.access(token) is not None
        # The way back.
        functions.MOVED.clear()
        assert token_for("alice") == grant["access_token"]
        # Bob never had Google.
        functions.MOVED.add("google")
        with pytest.raises(functions.MustConnect, match="is not connected") as refused:
            token_for("bob")
    assert refused.value.link.startswith(f"{afternoon.world.places.vault}/auth/connect/google?")
    (drop,) = blocks(GUIDE, "sql")
    async with table.transaction() as connection:
        await connection.execute(text(drop.text))
        kept = (await connection.execute(text("SELECT * FROM oauth_tokens"))).all()
    assert kept
    assert not [secret for secret in (grant["access_token"], grant["refresh_token"]) if secret in str(kept)]


async def test_step_5_the_link_connects_and_comes_back(afternoon: Afternoon) -> None:
    (link,) = blocks(GUIDE, "")
    back = f"{APP}/settings"
    async with Browser(stop_at=(back,)) as browser:
        page = await browser.open(link.text.strip().replace(VAULT, afternoon.world.places.vault))
        assert page.url.startswith(afternoon.issuer.issuer)
        await browser.click("Carol")
        await browser.click("Continue to Google")
        await browser.click("Carol")
        page = await browser.click("Allow")
    assert page.url == f"{back}?connection=google&status=connected"


def test_step_6_the_questions_are_answered(afternoon: Afternoon) -> None:
    said = _shell(afternoon, blocks(GUIDE, "sh")[1].text)
    connections, end = json.JSONDecoder().raw_decode(said)
    events = json.loads(said[end:])
    assert "connections" in connections
    assert "events" in events


async def _fill(app: Database, grant: dict[str, Any]) -> None:
    table, _ = blocks(DOCS / "import.md", "sql")
    row = text(
        "INSERT INTO oauth_tokens VALUES ('alice', 'google', :refresh, :access, now() + interval '1 hour', :scope,"
        " NULL, NULL)"
    )
    async with app.transaction() as connection:
        await connection.execute(text(table.text))
        await connection.execute(
            row, {"refresh": grant["refresh_token"], "access": grant["access_token"], "scope": grant["scope"]}
        )


async def _import(afternoon: Afternoon, app: Database) -> None:
    """Step 4: the export of docs/import.md, without access tokens, so that the vault has to refresh."""
    _, query = blocks(DOCS / "import.md", "sql")
    export = query.text.strip().removesuffix(";").replace("'access_token', access_token,", "")
    async with app.transaction() as connection:
        lines = (await connection.execute(text(f"SELECT line::text FROM ({export}) AS exported (line)"))).scalars()  # noqa: S608
        exported = "\n".join(lines).encode()
    for words, outcome in ((["-", "--dry-run"], "Nothing was stored"), (["-"], "Connections imported: 1.")):
        done = run_import(afternoon.installed, *words, stdin=exported)
        assert (done.code, outcome in done.out) == (0, True), done


def _functions(
    afternoon: Afternoon, monkeypatch: pytest.MonkeyPatch, table: dict[tuple[str, str], str]
) -> SimpleNamespace:
    """The module of step 3, in an app whose table has these tokens."""
    (block,) = blocks(GUIDE, "python")
    monkeypatch.setenv("WEB_APP_SECRET", afternoon.installed.environ["WEB_APP_SECRET"])
    for proxy in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(proxy, raising=False)
    names: dict[str, Any] = {"token_from_our_table": lambda user, provider: table[user, provider]}
    exec(block.text.replace(VAULT, afternoon.world.places.vault), names)  # noqa: S102
    return SimpleNamespace(**names)
