"""The configuration file of a sandbox: a vault that believes one issuer and knows three providers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from vaultd.providers.catalogue import load_catalogue
from vaultd.sandbox.apis import CALENDAR_SCOPE
from vaultd.sandbox.app_client import AppClient
from vaultd.terms import Secret

PROVIDER_SCOPES: dict[str, tuple[str, ...]] = {
    "github": ("repo", "read:user"),
    "google": (CALENDAR_SCOPE,),
    "slack": ("channels:history",),
}
"""The sandbox's connections, and what their API asks for."""

SCOPE_WORDS = {
    "repo": "Read and write your repositories, private ones too",
    "read:user": "See your profile",
    CALENDAR_SCOPE: "See your calendars",
    "channels:history": "Read messages in public channels",
    "openid": "Confirm who you are",
    "email": "See your email address",
}
"""What the scopes allow, for people."""

SAMPLE_AGENT = "sample-agent"
"""The client of tokens issued to it; it needs no secret, so the shortest request works."""
BRIEFING_AGENT = "briefing-agent"
"""The agent's backend, with a secret, which takes the same users' tokens."""
OPERATOR = "operator"
"""A program of the operators that reads the audit log."""
AS_REAL = (
    "authorization_params",
    "scope_separator",
    "identity_scopes",
    "renewal_scopes",
    "scope_aliases",
    "scope_implies",
    "error_codes",
    "refusals",
)
"""What holds for a provider of the sandbox as the catalogue has it for the real one."""
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
    app: str | None = None,
    client: AppClient | None = None,
) -> None:
    """Write the file, readable by its owner only, since its secrets are literal.

    `app` is the page of somebody's own app: links may lead back there, and its scripts may call the accounts API.
    `client` is an app that has a table of its own.
    """
    parts = [
        _top(places, secrets, database_url, keyring, app),
        _agents(places, secrets, app),
        *([_client(client)] if client else []),
        *(_provider(name, url, secrets.provider) for name, url in places.providers.items()),
    ]
    path.touch(mode=0o600)
    path.write_text("\n".join(parts), encoding="utf-8")


def _top(places: Places, secrets: DevSecrets, database_url: str, keyring: Path, app: str | None) -> str:
    origins = f"\nallowed_origins = {json.dumps([_origin_of(app)])}" if app else ""
    return f"""\
public_url = {_quoted(places.vault)}
database_url = {_quoted(database_url)}
default_client = {_quoted(SAMPLE_AGENT)}{origins}

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


def _agents(places: Places, secrets: DevSecrets, app: str | None) -> str:
    grants = _grants()
    connected = json.dumps([f"{places.agent}/connected", *([app] if app else [])])
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


def _client(client: AppClient) -> str:
    return f"""\
[clients.{client.name}]
auth = "client_secret_basic"
secret = {_quoted(client.vault_secret.reveal())}
redirect_uris = {json.dumps([client.connected])}
[clients.{client.name}.providers]
{_grants()}
"""


def _grants() -> str:
    return "\n".join(f"{name} = {json.dumps(scopes)}" for name, scopes in PROVIDER_SCOPES.items())


def _provider(name: str, url: str, secret: Secret) -> str:
    display_name = {"github": "GitHub", "google": "Google Calendar", "slack": "Slack"}[name]
    entry = load_catalogue()[name]
    asked = (*PROVIDER_SCOPES[name], *entry.get("identity_scopes", ()))
    words = {scope: SCOPE_WORDS[scope] for scope in asked}
    real = "\n".join(f"{key} = {_value(entry[key])}" for key in AS_REAL if key in entry)
    return f"""\
[providers.{name}]
display_name = {_quoted(display_name)}
client_id = {_quoted(VAULT_AT_PROVIDER)}
client_secret = {_quoted(secret.reveal())}
authorization_endpoint = {_quoted(url + "/authorize")}
token_endpoint = {_quoted(url + "/token")}
revocation_endpoint = {_quoted(url + "/revoke")}
# Each consent here has tokens of its own.
revocation_ends = "token"
userinfo_endpoint = {_quoted(url + "/userinfo")}
issuer = {_quoted(url)}
resources = [{_quoted(url)}]
scopes = {json.dumps(PROVIDER_SCOPES[name])}
allow_private_hosts = ["127.0.0.1"]
account_id_field = {_quoted("id" if name == "github" else "sub")}
scope_descriptions = {_value(words)}
{real}
"""


def _origin_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _value(value: object) -> str:
    """A value of a table, on one line."""
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{_quoted(key)} = {_value(each)}' for key, each in value.items())} }}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    return json.dumps(value)


def _quoted(text: str) -> str:
    # A basic string of TOML is written as one of JSON is, once nothing but ASCII is left.
    return json.dumps(text)
