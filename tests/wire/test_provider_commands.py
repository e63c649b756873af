"""`vaultd providers list|show|check` (api.md §7)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.unit.scripted_server import ScriptedServer, serve_scripted
from vaultd.providers.catalogue import load_catalogue
from vaultd.sandbox.servers import LoopbackServers

Run = Callable[..., tuple[int, str, str]]
CONFIGURATION = """
public_url = "https://vault.example.com"
database_url = "env:DB"
[keys]
path = "keyring.json"
[providers.github]
client_id = "ours"
client_secret = "env:SECRET"
[providers.acme]
client_id = "ours"
client_secret = "env:SECRET"
authorization_endpoint = "URL/{shop}/authorize?x=1"
token_endpoint = "URL/{shop}/token"
revocation = "github_grant"
revocation_endpoint = "URL/{shop}/{client_id}/grant"
connection_settings.shop = {pattern = "[a-z]{1,9}", example = "mine", description = "Your shop"}
allow_private_hosts = ["127.0.0.1"]
lookup = {endpoint = "URL/{shop}/places", metadata = "places"}
"""
SECRET = "s3cret-of-the-app-of-nobody"


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with LoopbackServers() as servers:
        yield serve_scripted(servers)


@pytest.fixture
def vaultd(tmp_path: Path) -> Run:
    """Run `vaultd providers`, from an empty folder; gives the exit code and what it said."""
    environ = os.environ | {"DB": "postgresql://localhost/vaultd", "SECRET": SECRET}

    def run(*words: str) -> tuple[int, str, str]:
        command = [sys.executable, "-m", "vaultd.cli", "providers", *words]
        done = subprocess.run(
            command, env=environ, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
        )
        assert "Traceback" not in done.stderr
        assert SECRET not in done.stdout + done.stderr
        return done.returncode, done.stdout, done.stderr

    return run


def configure(folder: Path, server: ScriptedServer) -> None:
    (folder / "vaultd.toml").write_text(CONFIGURATION.replace("URL", server.url), encoding="utf-8")


def test_looking_around_without_a_configuration(vaultd: Run) -> None:
    code, said, _ = vaultd("list", "--catalogue", "--json")
    assert (code, [one["name"] for one in json.loads(said)]) == (0, sorted(load_catalogue()))
    code, said, _ = vaultd("show", "shopify")
    assert code == 0
    assert said.startswith("# Not configured: write [providers.shopify] with your app's client_id and client_secret.")
    assert "connection_settings.shop.pattern [a-z0-9][a-z0-9-]{0,62}\n" in said
    code, said, _ = vaultd("show", "shopify", "--json")
    shown = json.loads(said)
    assert (shown["name"], shown["configured"]) == ("shopify", False)
    assert {key: shown[key] for key in ("scopes", "verified")} == {
        "scopes": ["read_products"],
        "verified": "docs",
    }
    assert not {"client_id", "client_secret", "extends"} & shown.keys()
    code, said, mistake = vaultd("show", "shopfy")
    assert (code, said) == (1, "")
    assert mistake.strip().endswith('in the catalogue; did you mean "shopify"?')
    assert vaultd("list")[0] == 1, "a configuration is needed for what is configured"
    assert vaultd("show", "github", "--config", "none.toml")[0] == 1, "one that was named must be there"


@pytest.mark.parametrize(
    ("name", "grant_for", "known_by"),
    [
        ("quickbooks", "company", "redirect:realmId"),
        ("slack", "workspace", "team.id|enterprise.id"),
        ("notion", "member", "workspace_id owner.user.id|bot_id"),
        ("google", "person", "sub"),
    ],
)
def test_what_a_grant_is_for_is_shown(name: str, grant_for: str, known_by: str, vaultd: Run) -> None:
    _, said, _ = vaultd("show", name)
    shown = dict(line.split(maxsplit=1) for line in said.splitlines() if " " in line.strip())
    assert (shown["grant_for"], shown["account_id_field"]) == (grant_for, known_by)


def test_what_is_configured_is_shown_as_it_is_used(vaultd: Run, tmp_path: Path, server: ScriptedServer) -> None:
    configure(tmp_path, server)
    assert [line.split()[0] for line in vaultd("list")[1].splitlines()] == ["github", "acme"]
    shown = json.loads(vaultd("show", "github", "--json")[1])
    assert (shown["configured"], shown["client_id"], shown["revocation"]) == (True, "ours", "github_grant")
    assert "client_secret" not in shown


def test_the_addresses_are_asked_and_nothing_secret_is_sent(
    vaultd: Run, tmp_path: Path, server: ScriptedServer
) -> None:
    configure(tmp_path, server)
    server.answers(b"", status=405)
    code, said, _ = vaultd("check", "acme", "--setting", "shop=mine", "--json")
    findings = json.loads(said)
    assert (code, {one["state"] for one in findings}) == (0, {"ok"})
    assert sorted((asked.method, asked.path) for asked in server.seen) == [
        ("GET", "/mine/authorize"),
        ("GET", "/mine/ours/grant"),
        ("GET", "/mine/places"),
        ("GET", "/mine/token"),
    ]
    for asked in server.seen:
        assert "authorization" not in asked.headers
        assert SECRET.encode() not in asked.body
    server.answers(b"", status=502)
    code, said, _ = vaultd("check", "acme", "--setting", "shop=mine")
    assert code == 1
    assert [line.split()[:2] for line in said.splitlines()] == [
        ["failed", "authorization_endpoint"],
        ["failed", "token_endpoint"],
        ["failed", "revocation_endpoint"],
        ["failed", "lookup"],
    ]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "shop is missing. It looks like this: mine."),
        (("--setting", "shop"), "shop is missing."),
        (("--setting", "shop=evil.com/"), "shop is not accepted."),
        (("--setting", "shp=mine"), 'shp is no setting of acme; did you mean "shop"?'),
    ],
)
def test_c0_a_setting_is_needed(
    vaultd: Run, tmp_path: Path, server: ScriptedServer, words: tuple[str, ...], told: str
) -> None:
    configure(tmp_path, server)
    code, said, mistake = vaultd("check", "acme", *words)
    assert (code, said, server.seen) == (2, "", [])
    assert told in mistake
