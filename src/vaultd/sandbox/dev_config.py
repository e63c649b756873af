"""The configuration file of a sandbox: a vault that believes one issuer and knows three providers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from vaultd.sandbox.apis import CALENDAR_SCOPE
from vaultd.sandbox.own_app import OwnApp
from vaultd.terms import Secret

PROVIDER_SCOPES: dict[str, tuple[str, ...]] = {
    "github": ("repo", "read:user"),
    "google": (CALENDAR_SCOPE,),
    "slack": ("channels:history",),
}
"""The sandbox's connections, and what their API asks for."""

SAMPLE_AGENT = "sample-agent"
"""The client of tokens issued to it; it needs no secret, so the shortest request works."""
BRIEFING_AGENT = "briefing-agent"
"""The agent's backend, with a secret, which takes the same users' tokens."""
OPERATOR = "operator"
"""A program of the operators that reads the audit log."""
VAULT_AT_ISSUER = "vaultd"
VAULT_AT_PROVIDER = "vaultd-sandbox"


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """URLs of everything in the sandbox, without a slash at their ends."""

    vault: str
    issuer: str
    agent: str
    providers: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class DevSecrets:
    """The secrets of one sandbox, made when it starts."""

    login: Secret
    provider: Secret
    briefing_agent: Secret
    operator: Secret


def write_config(
    path: Path,
    *,
    places: Places,
    secrets: DevSecrets,
    database_url: str,
    keyring: Path,
    own_app: OwnApp | None = None,
) -> None:
    """Write the file, readable by its owner only, since its secrets are literal."""
    parts = [
        _top(places, secrets, database_url, keyring),
        _agents(places, secrets),
        *([_own_app(own_app)] if own_app else []),
        *(_provider(name, url, secrets.provider) for name, url in places.providers.items()),
    ]
    path.touch(mode=0o600)
    path.write_text("\n".join(parts), encoding="utf-8")


def _top(places: Places, secrets: DevSecrets, database_url: str, keyring: Path) -> str:
    return f"""\
public_url = {_quoted(places.vault)}
database_url = {_quoted(database_url)}
default_client = {_quoted(SAMPLE_AGENT)}

[keys]
backend = "local"
path = {_quoted(str(keyring))}

[refresh]
# Only when asked for: behind each call that a provider here counts there is somebody who waits.
ahead = 0

[issuers.sandbox]
issuer = {_quoted(places.issuer)}
audience = [{_quoted(places.vault)}]
algorithms = ["ES256"]
allow_private_hosts = ["127.0.0.1"]

[login]
issuer = "sandbox"
client_id = {_quoted(VAULT_AT_ISSUER)}
client_secret = {_quoted(secrets.login.reveal())}
"""


def _agents(places: Places, secrets: DevSecrets) -> str:
    grants = _grants()
    connected = json.dumps([f"{places.agent}/connected"])
    return f"""\
[clients.{SAMPLE_AGENT}]
auth = "none"
implicit = true
ip_allowlist = ["127.0.0.0/8"]
redirect_uris = {connected}
[clients.{SAMPLE_AGENT}.providers]
{grants}

[clients.{BRIEFING_AGENT}]
auth = "client_secret_basic"
secret = {_quoted(secrets.briefing_agent.reveal())}
subject_azp = [{_quoted(BRIEFING_AGENT)}, {_quoted(SAMPLE_AGENT)}]
redirect_uris = {connected}
[clients.{BRIEFING_AGENT}.providers]
{grants}

[clients.{OPERATOR}]
auth = "client_secret_basic"
secret = {_quoted(secrets.operator.reveal())}
operator_scopes = ["audit:read", "connections:read", "connections:revoke", "keys:read"]
"""


def _own_app(app: OwnApp) -> str:
    return f"""\
[clients.{app.name}]
auth = "client_secret_basic"
secret = {_quoted(app.vault_secret.reveal())}
redirect_uris = {json.dumps([app.connected])}
[clients.{app.name}.providers]
{_grants()}
"""


def _grants() -> str:
    return "\n".join(f"{name} = {json.dumps(scopes)}" for name, scopes in PROVIDER_SCOPES.items())


def _provider(name: str, url: str, secret: Secret) -> str:
    display_name = {"github": "GitHub", "google": "Google Calendar", "slack": "Slack"}[name]
    return f"""\
[providers.{name}]
display_name = {_quoted(display_name)}
client_id = {_quoted(VAULT_AT_PROVIDER)}
client_secret = {_quoted(secret.reveal())}
authorization_endpoint = {_quoted(url + "/authorize")}
token_endpoint = {_quoted(url + "/token")}
revocation_endpoint = {_quoted(url + "/revoke")}
userinfo_endpoint = {_quoted(url + "/userinfo")}
issuer = {_quoted(url)}
resources = [{_quoted(url)}]
scopes = {json.dumps(PROVIDER_SCOPES[name])}
allow_private_hosts = ["127.0.0.1"]
account_id_field = {_quoted("id" if name == "github" else "sub")}
"""


def _quoted(text: str) -> str:
    # A basic string of TOML is written as one of JSON is, once nothing but ASCII is left.
    return json.dumps(text)
