"""What `vaultd check` warns of: clients that need no secret, and secrets that protect nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.settings.a_file import ACME, ISSUER, MINIMAL, load_text
from vaultd.cli.warnings import warnings

SECRET = 'auth = "client_secret_basic"\nsecret = "env:SECRET"'
ALLOWED = 'ip_allowlist = ["192.0.2.0/24"]'
BOUND = 'dpop = "required"\n'
WHOEVER = "whoever has a user's session token gets provider tokens"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "vaultd.toml"


def told(file: Path, *clients: str, issuer: str = ISSUER) -> list[tuple[str, str]]:
    tables = "\n".join(f"[clients.{client}" for client in clients)
    return list(warnings(load_text(file, f"{MINIMAL}{issuer}{tables}\n")))


def test_every_client_that_needs_no_secret(file: Path) -> None:
    assert told(file, 'pub]\nauth = "none"') == [("client pub", f'auth = "none" without ip_allowlist: {WHOEVER}')]
    assert told(file, 'pub]\nauth = "none"\nimplicit = true') == [
        ("client pub", f"implicit without ip_allowlist: {WHOEVER}")
    ]
    assert told(file, f'pub]\nauth = "none"\n{ALLOWED}') == []
    assert told(file, f"agent]\n{SECRET}") == []


def test_a_stolen_token_that_is_bound_is_of_no_use(file: Path) -> None:
    assert told(file, 'pub]\nauth = "none"', issuer=ISSUER + BOUND) == []
    other = ISSUER.replace("issuers.app", "issuers.other").replace("login.", "other.")
    assert len(told(file, 'pub]\nauth = "none"', issuer=ISSUER + BOUND + other)) == 1


@pytest.mark.parametrize(
    ("public", "proven"),
    [
        ('subject_azp = ["agent"]', ""),
        ("", 'subject_azp = ["pub"]'),
        ('subject_azp = ["x", "web-app"]', 'subject_azp = ["web-app", "y"]'),
    ],
)
def test_a_secret_that_is_worth_nothing(file: Path, public: str, proven: str) -> None:
    """One name, and one of the two clients that it stands for asks for nothing. An allowlist does not mend that."""
    found = told(file, f'pub]\nauth = "none"\n{ALLOWED}\n{public}', f"agent]\n{SECRET}\n{proven}")
    ((what, text),) = found
    assert what == "client pub"
    assert text.endswith("the secret of agent is worth nothing")


def test_names_of_their_own(file: Path) -> None:
    public = f'pub]\nauth = "none"\n{ALLOWED}\nsubject_azp = ["web-app"]'
    assert told(file, public, f"agent]\n{SECRET}", f'other]\nauth = "none"\n{ALLOWED}') == []


def test_a_trusted_client_without_a_secret(file: Path) -> None:
    issuer = f'{ISSUER}trusted_clients = ["pub", "agent", "nobody"]\n'
    found = told(file, f'pub]\nauth = "none"\n{ALLOWED}', f"agent]\n{SECRET}", issuer=issuer)
    assert [what for what, _ in found] == ["client pub"]
    assert "is among trusted_clients of issuer app, and has no secret" in found[0][1]


def lists(file: Path, acme: str = "", **entries: str) -> list[tuple[str, str]]:
    """What is told of clients that have these entries for one provider."""
    clients = [f"{name}]\n{SECRET}\nproviders = {{acme = {entry}}}" for name, entry in entries.items()]
    return told(file, *clients, issuer=f"{ISSUER}{ACME}{acme}\n")


def test_a_list_without_scopes_at_a_provider_that_has_some(file: Path) -> None:
    ((what, text),) = lists(file, agent="[]")
    assert what == "client agent"
    assert text.startswith("its list for acme is empty, and no grant lies within that; write the scopes that it needs")
    assert text.endswith('scopes_of_app = "always" in its table: until then every exchange is refused')
    assert lists(file, 'scopes_of_app = "always"', agent="[]") == []
    assert lists(file, 'scopes_of_app = "unless_asked"', agent="[]") == []
    assert lists(file, agent='{scopes = [], on_wider_grant = "allow"}') == []
    assert lists(file, agent='["read"]') == []


def test_a_list_with_scopes_at_a_provider_that_has_none(file: Path) -> None:
    ((_, text),) = lists(file, 'scopes_of_app = "always"', agent='["read"]')
    assert text == (
        "its list for acme has scopes, and tokens there have none; write acme = []:"
        " until then every exchange is refused"
    )
    assert lists(file, 'scopes_of_app = "always"\nscopes = ["read"]', agent='["read"]') == []


@pytest.mark.parametrize(
    ("acme", "other", "apart"),
    [
        ("", '["write"]', True),
        ("", '["read", "write"]', False),
        ("", '{scopes = ["write"], on_wider_grant = "allow"}', False),
        ('narrowing = "refresh"', '["write"]', False),
        ('scope_implies = {write = ["read"]}', '["write"]', False),
        ('scope_aliases = {read = ["long/read"]}', '["long/read"]', False),
        ('scopes_along = ["write"]', '["write"]', False),
    ],
)
def test_two_lists_of_which_no_grant_lies_within_both(file: Path, acme: str, other: str, *, apart: bool) -> None:
    found = lists(file, acme, agent='["read"]', other=other)
    assert bool(found) is apart
    if apart:
        ((what, text),) = found
        assert what == "client agent"
        assert text.startswith("neither its list for acme nor that of other includes the other")
        assert text.endswith('write one list for both, or on_wider_grant = "allow"')
