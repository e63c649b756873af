"""The operators' commands, in the order in which README has a newcomer type them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import DatabaseUrls

CONFIGURATION = """
public_url = "https://vault.example.com"
database_url = "env:SERVICE_URL"
migration_database_url = "env:OWNER_URL"
[keys]
path = "keyring.json"
[clients.nobody]
auth = "none"
implicit = true
"""


EXPLAINED = """
[issuers.app]
issuer = "https://login.example.com/"
audience = ["https://vault.example.com"]
[clients.agent]
auth = "none"
[clients.agent.providers]
acme = ["read"]
[providers.acme]
client_id = "vaultd"
token_endpoint_auth_method = "none"
authorization_endpoint = "https://acme.example/authorize"
token_endpoint = "https://acme.example/token"
"""


def test_explain_a_client_by_its_exit_code(tmp_path: Path) -> None:
    """api.md §7: 0 would be allowed, 1 would be refused whatever the user granted, 2 used wrongly."""
    (tmp_path / "vaultd.toml").write_text(CONFIGURATION + EXPLAINED, encoding="utf-8")
    environ = os.environ | dict.fromkeys(("SERVICE_URL", "OWNER_URL"), "postgresql://db/vaultd?sslmode=verify-full")

    def explain(*words: str) -> tuple[int, str, str]:
        command = [sys.executable, "-m", "vaultd.cli", "clients", "explain", *words]
        done = subprocess.run(
            command, env=environ, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
        )
        assert "Traceback" not in done.stderr
        return done.returncode, done.stdout, done.stderr

    code, said, _ = explain("agent", "acme", "--scope", "read")
    assert (code, said.splitlines()[0]) == (0, "agent at acme: allowed, once the user has granted it.")
    code, said, _ = explain("agent", "acme", "--scope", "read write", "--scope", "admin")
    assert code == 1
    assert "refused with invalid_scope, whatever the user granted: its list does not have admin write" in said
    code, said, _ = explain("nobody", "acme", "--json")
    assert (code, json.loads(said)["error"]) == (1, "invalid_target")
    code, said, _ = explain("agent", "acme", "--json")
    assert (code, json.loads(said)["scopes"]) == (0, ["read"])
    for words, near in ((("agnt", "acme"), '"agent"'), (("agent", "acm"), '"acme"')):
        code, said, mistake = explain(*words)
        assert (code, said) == (2, "")
        assert f"did you mean {near}?" in mistake
    assert explain("agent")[0] == 2


def test_from_an_empty_folder_to_a_checked_vault(tmp_path: Path, database_urls: DatabaseUrls) -> None:
    (tmp_path / "vaultd.toml").write_text(CONFIGURATION, encoding="utf-8")
    environ = os.environ | {
        "VAULTD_CONFIG": str(tmp_path / "vaultd.toml"),
        "SERVICE_URL": database_urls.service,
        "OWNER_URL": database_urls.owner,
    }

    def vaultd(*words: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "vaultd.cli", *words]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=60)
        assert "Traceback" not in done.stderr
        return done.returncode, done.stdout + done.stderr

    code, said = vaultd("check")
    assert code == 1
    assert "vaultd keys generate" in said
    assert vaultd("keys", "generate")[0] == 0
    assert (tmp_path / "keyring.json").stat().st_mode & 0o777 == 0o600
    code, said = vaultd("keys", "generate")
    assert (code, "never written over" in said) == (1, True)
    assert vaultd("migrate")[0] == 0
    code, said = vaultd("check")
    assert code == 0, said
    assert "the first start makes them" in said
    assert "implicit without ip_allowlist" in said
    code, said = vaultd("audit", "verify")
    assert (code, "no keys yet" in said) == (1, True)
    assert vaultd("providers", "list") == (0, "")
    code, said = vaultd("clients", "new-secret", "nobody")
    assert (code, "sha256:" in said) == (0, True)
    assert vaultd("bogus")[0] == 2
    environ["SERVICE_URL"] = environ["OWNER_URL"]
    code, said = vaultd("serve", "--port", "0")
    assert (code, "owns the tables" in said) == (1, True)
    code, said = vaultd("check", "--json")
    assert (code, bool(json.loads(said))) == (1, True)
