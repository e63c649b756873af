"""The configuration file: what is taken, and every mistake told in one report."""

from __future__ import annotations

from pathlib import Path

import pytest

from vaultd.errors import ConfigurationError
from vaultd.settings import Settings, load

ROOT = Path(__file__).parents[2]
LONG = "a secret of more than 32 characters"
CANARY = "canary-9f2b7c1e4d8a6b3f5e0c"
ENVIRON = {"DB": "postgresql://vaultd@/vaultd?host=/run/postgresql", "SECRET": LONG, "EMPTY": "", "SHORT": CANARY}
MINIMAL = """
public_url = "https://vault.example.com"
database_url = "env:DB"
[keys]
path = "keyring.json"
"""
ACME = """
[providers.acme]
client_id = "vaultd"
client_secret = "env:SECRET"
authorization_endpoint = "https://acme.example/authorize"
token_endpoint = "https://acme.example/token"
"""
ISSUER = """
[issuers.app]
issuer = "https://login.example.com/"
audience = ["https://vault.example.com"]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "vaultd.toml"


def _load(file: Path, text: str, **environ: str) -> Settings:
    file.write_text(text, encoding="utf-8")
    return load(file, environ=ENVIRON | environ)


def _report(file: Path, text: str, **environ: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        _load(file, text, **environ)
    assert CANARY not in caught.value.description
    assert CANARY not in str(caught.value)
    assert caught.value.__suppress_context__  # pydantic's own error quotes values
    return [line.replace(f"{file}: ", "") for line in caught.value.description.split("\n")]


def _one(file: Path, text: str, **environ: str) -> str:
    lines = _report(file, text, **environ)
    assert len(lines) == 1, lines
    return lines[0]


TWENTY = f"""
public_url = "http://vault.example.com"
database_url = "mysql://vaultd:{CANARY}@db/vaultd"
default_client = "briefing-agnet"
alowed_origins = []
allowed_return_urls = ["/settings"]

[keys]
backend = "aws"

[issuers.app]
issuer = "https://login.example.com/"
audience = ["https://vault.example.com"]
algorithms = ["RS256", "none"]
hs256_secrt = "{CANARY}"

[issuers.shared]
issuer = "https://shared.example.com"
audience = ["vault"]
hs256_secret = "env:SHORT"

[login]
issuer = "ap"
client_id = "vaultd"
client_secret = "{CANARY}"

[clients.briefing-agent]
auth = "client_secret_basic"
secret = "env:SHORT"
redirect_uris = ["https://app.example.com/connected", "https://app.example.com/done#now"]
ip_allowlist = ["192.0.2.1/24"]
limits = {{per_second = "many", burst = 1}}
[clients.briefing-agent.providers]
acme = ["read write"]
slack = ["channels:history"]

[clients.open]
auth = "none"
operator_scopes = ["audit:read"]

[providers.acme]
client_id = "vaultd"
client_secret = "env:NOT_SET"
authorization_endpoint = "https://acme.example/authorize"
token_endpoint = "http://acme.example/token"

[providers.second]
extends = "acne"
client_id = "vaultd"
client_secret = "file:not-there"
"""


def test_twenty_mistakes_are_twenty_lines(file: Path) -> None:
    text = TWENTY.replace('client_id = "vaultd"\nclient_secret = "file:not-there"', "")
    text += 'client_id = "vaultd"\nclient_secret = "env:SECRET"\n'
    acme, folder = 'did you mean "acme"?', file.parent
    del folder
    assert _report(file, text) == [
        "public_url: is not https; write https:// (plain http is for a loopback host only)",
        "database_url: is not a PostgreSQL URL; write postgresql://user@host:5432/database",
        'default_client: names no table [clients.briefing-agnet]; did you mean "briefing-agent"?',
        'alowed_origins: is not a key of this table; did you mean "allowed_origins"?',
        "allowed_return_urls[0]: is not an absolute URL; write one like https://app.example.com/path",
        f"providers.second.extends: names no provider; {acme}",
    ]
