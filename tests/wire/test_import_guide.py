"""What docs/import.md shows is what happens."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.conftest import DatabaseUrls
from tests.support.processes import Installation, install
from tests.wire.importing import run_import
from vaultd.db import Database
from vaultd.importing.line import KEYS
from vaultd.sandbox.world import World
from vaultd.terms import Secret

GUIDE = (Path(__file__).parents[2] / "docs" / "import.md").read_text(encoding="utf-8")
SANDBOX_NAME = '"issuer": "sandbox"'


def snippets(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def installed(world: World, database_urls: DatabaseUrls) -> Installation:
    return install(world, "guide", {world.settings.database_url.reveal(): database_urls.service})


def test_the_example_file_is_imported(installed: Installation) -> None:
    (example,) = snippets("json")
    lines = example.replace('"issuer": "app"', SANDBOX_NAME)
    done = run_import(installed, "-", stdin=lines.encode())
    assert (done.code, "Connections imported: 2." in done.out) == (0, True), done
    assert "Without an account's id: 1." in done.out


async def test_the_export_query_writes_lines_that_are_imported(
    installed: Installation, database_urls: DatabaseUrls
) -> None:
    table, query = snippets("sql")
    app = Database(Secret(database_urls.owner), pool_size=1)
    values = (
        "('1', 'google', 'refresh-1', NULL, NULL, 'openid email', '110169', 'ada@example.com'),"
        "('2', 'google', 'refresh-2', 'access-2', '2030-01-31 12:00+01', 'openid', NULL, NULL),"
        "('3', 'github', NULL, 'access-3', NULL, NULL, '7', NULL),"
        "('4', 'google', NULL, 'access-4', '2030-01-31 12:00+01', 'openid', NULL, NULL)"
    )
    try:
        async with app.transaction() as connection:
            await connection.execute(text(table))
            await connection.execute(text(f"INSERT INTO oauth_tokens VALUES {values}"))  # noqa: S608
            # As text, which is how psql shows it; the driver would take the JSON apart.
            as_text = f"SELECT line::text FROM ({query.strip().removesuffix(';')}) AS exported (line)"  # noqa: S608
            lines = "\n".join((await connection.execute(text(as_text))).scalars())
    finally:
        await app.aclose()
    done = run_import(installed, "-", stdin=re.sub(r'"issuer" ?: ?"app"', SANDBOX_NAME, lines).encode())
    assert (done.code, "Connections imported: 3." in done.out) == (0, True), done


def test_the_table_has_the_keys_that_are_known() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", GUIDE, re.MULTILINE)
    assert sorted(rows) == sorted(KEYS)


def test_the_options_are_those_of_the_command(installed: Installation) -> None:
    helped = run_import(installed, "--help").out
    for option in set(re.findall(r"--[a-z][a-z-]+", GUIDE)):
        assert option in helped
