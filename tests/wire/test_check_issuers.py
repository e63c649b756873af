"""`vaultd check` on issuers: whether one that introspects answers us, and whom a stolen session token would serve."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.introspection import TABLE, IntrospectingIssuer
from vaultd.cli.checks import Finding, check_all
from vaultd.sandbox.servers import LoopbackServers, listen
from vaultd.settings import load

IMPLICIT = '[clients.nobody]\nauth = "none"\nimplicit = true\n'
ALLOWED = 'ip_allowlist = ["192.0.2.0/24"]\n'


@pytest.fixture(scope="module")
def issuer() -> Iterator[IntrospectingIssuer]:
    listener = listen()
    served = IntrospectingIssuer(listener.url)
    with LoopbackServers() as servers:
        servers.serve(served.app, listener)
        yield served


async def _found(folder: Path, what: str, tables: str) -> list[Finding]:
    config = folder / "vaultd.toml"
    head = f"""
public_url = "http://127.0.0.1:8080"
database_url = "postgresql://nobody@/nothing?host={folder}"
[keys]
path = "keyring.json"
"""
    config.write_text(head + tables, encoding="utf-8")
    settings = load(config, environ={}, allow_literal_secrets=True)
    return [finding for finding in await check_all(settings) if finding.what == what]


def _asked(issuer: IntrospectingIssuer, table: str = TABLE) -> str:
    return f"""
[issuers.asked]
issuer = "{issuer.issuer}"
audience = ["vault"]
allow_private_hosts = ["127.0.0.1"]
[issuers.asked.introspection]
{table}
"""


async def test_an_issuer_that_introspects_is_asked(issuer: IntrospectingIssuer, tmp_path: Path) -> None:
    issuer.reset()
    assert await _found(tmp_path, "issuer asked", _asked(issuer)) == [
        Finding("issuer asked", "ok", "introspection answers")
    ]
    (question,) = issuer.asked
    assert question["token_type_hint"] == "access_token"


async def test_what_is_wrong_with_its_answer_is_told(issuer: IntrospectingIssuer, tmp_path: Path) -> None:
    wrong = TABLE.replace("a secret", "no secret")
    for fault, table, told in (
        (None, wrong, "does not accept our client_id and client_secret"),
        (500, TABLE, "status 500"),
        (b"<html>", TABLE, "no JSON object"),
        (b'{"active": true}', TABLE, "calls a token active that nobody issued"),
        (None, TABLE + f'\nintrospection_endpoint = "{issuer.issuer}/nowhere"', "status 404"),
    ):
        issuer.reset()
        issuer.fault = fault
        (finding,) = await _found(tmp_path, "issuer asked", _asked(issuer, table))
        assert finding.state == "failed"
        assert told in finding.text
        assert "secret: with" not in finding.text


def _issuer(name: str, dpop: str) -> str:
    return f'[issuers.{name}]\nissuer = "https://{name}.invalid"\naudience = ["vault"]\ndpop = "{dpop}"\n'


@pytest.mark.parametrize(
    ("tables", "warned"),
    [
        (IMPLICIT, True),
        (IMPLICIT + ALLOWED, False),
        (IMPLICIT + _issuer("one", "optional"), True),
        (IMPLICIT + _issuer("one", "required") + _issuer("two", "optional"), True),
        (IMPLICIT + _issuer("one", "required") + _issuer("two", "required"), False),
        # Not implicit, and yet whoever writes its name beside a stolen token needs nothing more.
        ('[clients.nobody]\nauth = "none"\n' + _issuer("one", "optional"), True),
        ('[clients.nobody]\nauth = "none"\n' + ALLOWED + _issuer("one", "optional"), False),
        ('[clients.nobody]\nauth = "none"\n' + _issuer("one", "required"), False),
    ],
)
async def test_a_client_without_a_secret_is_warned_of_unless_stolen_tokens_are_of_no_use(
    tmp_path: Path, tables: str, *, warned: bool
) -> None:
    """api.md §1.1: an ip_allowlist, or tokens that are bound to keys, at every issuer that could name the client."""
    found = await _found(tmp_path, "client nobody", tables)
    assert [finding.state for finding in found] == (["warning"] if warned else [])
