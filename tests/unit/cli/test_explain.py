"""`vaultd clients explain`: the decision, what it rests on, and that it is the exchange's own (A5, A7)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer

from tests.unit.settings.a_file import ACME, ISSUER, MINIMAL, load_text
from vaultd.cli.explain import Explanation, as_json, as_text, explain, find, verdict
from vaultd.settings import Settings
from vaultd.terms import Scopes

PLAIN = ACME + ACME.replace("acme]", "narrowing]") + 'narrowing = "refresh"\n'
PARTNER = """
[issuers.partner]
issuer = "https://partner.example.com/"
audience = ["https://vault.example.com"]
trusted_clients = ["agent"]
"""
BARE = """
[issuers.bare]
issuer = "https://bare.example.com/"
required_claims = {role = "authenticated"}
"""
AGENT = """
[clients.agent]
auth = "client_secret_basic"
secret = "env:SECRET"
subject_azp = ["web-app", "phone-app"]
ip_allowlist = ["192.0.2.0/24"]
limits = {per_second = 500, burst = 1000}
[clients.agent.providers]
acme = ["read", "write"]
narrowing = ["read", "write"]
"""
OPEN = """
[clients.open]
auth = "none"
implicit = true
providers = {acme = {scopes = ["read"], on_wider_grant = "allow"}}
"""
EVERYTHING = MINIMAL + ISSUER + PARTNER + BARE + PLAIN + AGENT + OPEN


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_text(tmp_path / "vaultd.toml", EVERYTHING)


def told(settings: Settings, client: str, provider: str, scope: str = "") -> Explanation:
    return explain(settings, *find(settings, client, provider), Scopes.parse(scope) or None)


def outcomes(explanation: Explanation) -> dict[str, Any]:
    deliveries: list[dict[str, Any]] = as_json(explanation)["deliveries"]
    return {one["grant"]: one["reason"] or (one["outcome"], " ".join(one["scopes"])) for one in deliveries}


def test_what_would_leave_where_a_token_can_be_narrowed(settings: Settings) -> None:
    assert outcomes(told(settings, "agent", "narrowing")) == {
        "what is asked for": ("stored_token", "read write"),
        "more than the list": ("narrowed", "read write"),
        "more, without a refresh token": "wider_grant",
    }
    assert outcomes(told(settings, "agent", "narrowing", "read")) == {
        "what is asked for": ("stored_token", "read"),
        "the whole list": ("narrowed", "read"),
        "more than the list": ("narrowed", "read"),
        "more, without a refresh token": "wider_grant",
    }


def test_what_would_leave_where_it_cannot(settings: Settings) -> None:
    assert outcomes(told(settings, "agent", "acme", "read")) == {
        "what is asked for": ("stored_token", "read"),
        "the whole list": ("stored_token", "read write"),
        "more than the list": "wider_grant",
    }
    assert outcomes(told(settings, "open", "acme")) == {
        "what is asked for": ("stored_token", "read"),
        "more than the list": ("stored_token", "read …"),
    }


@pytest.mark.parametrize(
    ("client", "provider", "scope", "error", "reason", "said"),
    [
        ("open", "narrowing", "", "invalid_target", "forbidden_provider", "has no entry for narrowing"),
        ("open", "acme", "read write", "invalid_scope", "scope_not_allowed", "its list does not have write"),
        ("agent", "acme", "*", "invalid_scope", "scope_not_allowed", "its list does not have *"),
    ],
)
def test_refused_whatever_the_user_granted(
    settings: Settings, *, client: str, provider: str, scope: str, error: str, reason: str, said: str
) -> None:
    explanation = told(settings, client, provider, scope)
    shown = as_json(explanation)
    assert (shown["allowed"], shown["error"], shown["reason"], shown["deliveries"]) == (False, error, reason, [])
    assert said in verdict(explanation)
    assert "whatever the user granted" in verdict(explanation)


def test_a5_whose_tokens_it_may_present(settings: Settings) -> None:
    """As `check_presenter` has it; tokens that do not say they are for us are for trusted clients only."""
    assert as_json(told(settings, "agent", "acme"))["subject_tokens"] == [
        {"issuer": "app", "issued_to": ("web-app", "phone-app"), "any_client": False},
        {"issuer": "partner", "issued_to": ("web-app", "phone-app"), "any_client": True},
        {"issuer": "bare", "issued_to": (), "any_client": False},
    ]
    assert as_json(told(settings, "open", "acme"))["subject_tokens"][0]["issued_to"] == ("open",)


def test_a5_a_client_that_may_present_nobodys_tokens_is_refused(tmp_path: Path) -> None:
    for issuers in ("", BARE):
        settings = load_text(tmp_path / "vaultd.toml", MINIMAL + issuers + PLAIN + OPEN)
        explanation = told(settings, "open", "acme")
        assert as_json(explanation)["reason"] == "wrong_presenter"
        assert "trusted_clients" in verdict(explanation)


def test_how_it_authenticates_and_its_limits(settings: Settings) -> None:
    agent = as_json(told(settings, "agent", "acme"))
    assert agent["authentication"] == {
        "method": "client_secret_basic",
        "implicit": False,
        "ip_allowlist": ("192.0.2.0/24",),
    }
    assert agent["limits"] == {"per_second": 500, "burst": 1000}
    assert as_json(told(settings, "open", "acme"))["limits"] is None


def test_a_person_reads_the_same(settings: Settings) -> None:
    lines = list(as_text(told(settings, "agent", "narrowing", "read")))
    assert lines[0] == "agent at narrowing: allowed, once the user has granted it."
    said = {name.strip(): text.strip() for name, _, text in (line[2:].partition("  ") for line in lines[2:])}
    assert said == {
        "authenticates by": "client_secret_basic, from 192.0.2.0/24",
        "tokens of app": "issued to web-app, phone-app",
        "tokens of partner": "whomever they were issued to (trusted_clients)",
        "tokens of bare": "none",
        "users who are away": "not theirs",
        "limits": "500 a second, 1000 at once",
        "limits for one user": "none of its own",
        "its list": "read write",
        "requested": "read",
        "on a wider grant": "refuse",
        "narrowing here": "by a refresh, given a refresh token",
        "granted what is asked for": "the stored token: read",
        "granted the whole list": "a narrowed token: read",
        "granted more than the list": "a narrowed token: read",
        "granted more, without a refresh token": "refused with invalid_scope (wider_grant)",
    }


def test_no_secret_is_told(settings: Settings) -> None:
    assert settings.clients["agent"].secret is not None
    secret = settings.clients["agent"].secret.reveal()
    explanation = told(settings, "agent", "acme")
    assert secret not in json.dumps(as_json(explanation)) + "\n".join(as_text(explanation))


@pytest.mark.parametrize(
    ("client", "provider", "said"),
    [
        ("agnt", "acme", 'No client agnt is configured; did you mean "agent"?'),
        ("nobody", "acme", "No client nobody is configured; write one of agent, open"),
        ("agent", "acmee", 'No provider acmee is configured; did you mean "acme"?'),
    ],
)
def test_names_that_are_not_there(settings: Settings, client: str, provider: str, said: str) -> None:
    with pytest.raises(typer.BadParameter) as caught:
        find(settings, client, provider)
    assert caught.value.message == said


SCOPES = """
[providers.google]
client_id = "ours"
client_secret = "env:SECRET"
[providers.notion]
client_id = "ours"
client_secret = "env:SECRET"
[providers.github-app]
client_id = "ours"
client_secret = "env:SECRET"
[clients.scoped]
auth = "client_secret_basic"
secret = "env:SECRET"
[clients.scoped.providers]
acme = []
notion = []
github-app = ["contents:read"]
google = ["https://www.googleapis.com/auth/calendar.readonly"]
"""


@pytest.fixture
def scoped(tmp_path: Path) -> Settings:
    return load_text(tmp_path / "vaultd.toml", MINIMAL + ISSUER + ACME + SCOPES)


def test_a_list_that_cannot_work_is_refused_and_the_sentence_says_what_to_write(scoped: Settings) -> None:
    assert verdict(told(scoped, "scoped", "acme")) == (
        "scoped at acme: refused with invalid_scope, whatever the user granted: its list for acme is empty, and no"
        " grant lies within that; write the scopes that it needs, or, if acme has none,"
        ' scopes_of_app = "always" in its table.'
    )
    assert verdict(told(scoped, "scoped", "github-app")) == (
        "scoped at github-app: refused with invalid_scope, whatever the user granted: its list for github-app has"
        " scopes, and tokens there have none; write github-app = [], or narrow."
    )
    assert not as_json(told(scoped, "scoped", "acme"))["allowed"]


def test_an_empty_list_is_all_of_it_where_there_are_no_scopes(scoped: Settings) -> None:
    found = told(scoped, "scoped", "notion")
    assert found.refusal is None
    assert outcomes(found) == {"what is asked for": ("stored_token", ""), "more than the list": "wider_grant"}


def test_what_vaultd_asks_for_itself_is_told_and_does_not_count(scoped: Settings) -> None:
    found = told(scoped, "scoped", "google")
    assert found.refusal is None
    assert as_json(found)["own_scopes"] == ["email", "openid"]
    (row,) = [line for line in as_text(found) if line.startswith("  vaultd itself asks for ")]
    assert row.endswith("  email openid, which counts against no client's list")
    asked = told(scoped, "scoped", "google", "openid")
    assert verdict(asked).endswith("whatever the user granted: its list does not have openid.")
