"""A configuration file to make mistakes in, and what is told about them."""

from __future__ import annotations

from pathlib import Path

import pytest

from vaultd.errors import ConfigurationError
from vaultd.settings import Settings, load

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


def load_text(file: Path, text: str, **environ: str) -> Settings:
    file.write_text(text, encoding="utf-8")
    return load(file, environ=ENVIRON | environ)


def report(file: Path, text: str, **environ: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        load_text(file, text, **environ)
    assert CANARY not in caught.value.description
    assert CANARY not in str(caught.value)
    assert caught.value.__context__ is None  # pydantic's own error quotes values
    return [line.replace(f"{file}: ", "") for line in caught.value.description.split("\n")]


def one_line(file: Path, text: str, **environ: str) -> str:
    lines = report(file, text, **environ)
    assert len(lines) == 1, lines
    return lines[0]
