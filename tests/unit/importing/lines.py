"""A file of lines, and a reader that knows one issuer and three providers."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

from vaultd.importing.line import LineReader
from vaultd.providers.config import ProviderConfig
from vaultd.providers.registry import Providers

ISSUER = "https://login.example.com/"
NOW = datetime(2030, 1, 1, tzinfo=UTC)
CANARY = "canary-6f1d2c"
"""Part of every token in these tests; no message may hold it."""


def providers() -> Providers:
    """`google` names accounts, `plain` has no userinfo, `solo` takes one account.

    Without userinfo, `slack` has accounts in the token's answer and `linkedin` in the ID token; with `shopify`, a
    setting is the account. `books` has the company beside the code, `notes` a person in a workspace, `tickets` a
    setting that nobody fixed and one that has a default, and `sites` a lookup.
    """
    table: dict[str, Any] = {
        "client_id": "vaultd",
        "token_endpoint_auth_method": "none",
        "authorization_endpoint": "https://provider.example/authorize",
        "token_endpoint": "https://provider.example/token",
    }
    userinfo = {"userinfo_endpoint": "https://provider.example/me"}
    tables = {"google": table | userinfo, "plain": table, "solo": table | userinfo | {"accounts": "single"}}
    tables["slack"] = table | {"account_source": "token", "account_id_field": "team.id"}
    tables["linkedin"] = table | {"account_source": "id_token", "id_token_issuers": ["https://provider.example"]}
    shop = {"pattern": "[a-z-]+", "description": "The shop's name", "example": "my-shop"}
    tables["shopify"] = table | {
        "authorization_endpoint": "https://{shop}.provider.example/authorize",
        "account_source": "token",
        "account_id_field": "shop",
        "connection_settings": {"shop": shop},
        "fixed_settings": {"shop": "my-shop"},
    }
    tables["books"] = (
        table
        | userinfo
        | {"account_id_field": "redirect:realmId", "callback_metadata": {"realm_id": "realmId"}}
        | {"userinfo_metadata": {"region": "data.region"}}
    )
    tables["notes"] = table | {
        "account_source": "token",
        "account_id_field": ["workspace.id", ["owner.id", "bot.id"]],
        "metadata_fields": {"workspace_id": "workspace.id", "owner_id": "owner.id", "bot_id": "bot.id"},
    }
    site = {"pattern": "[a-z-]+", "description": "The site's name", "example": "acme"}
    tables["tickets"] = (
        table
        | userinfo
        | {"authorization_endpoint": "https://{site}.provider.example/authorize"}
        | {"token_endpoint": "https://{site}.provider.example/{zone}/token"}
        | {"connection_settings": {"site": site, "zone": site | {"default": "main"}}}
    )
    tables["sites"] = table | userinfo | {"lookup": {"endpoint": "https://provider.example/sites", "metadata": "sites"}}
    return Providers(configs={name: ProviderConfig.model_validate(one) for name, one in tables.items()})


def reader() -> LineReader:
    return LineReader(issuers={"app": ISSUER}, providers=providers())


def members(**changes: Any) -> dict[str, Any]:
    """A line that is right; a change to None leaves a key out."""
    plain = {
        "issuer": ISSUER,
        "sub": "user-1",
        "provider": "google",
        "refresh_token": f"refresh-{CANARY}",
        "scopes": ["calendar.readonly"],
    }
    return {name: value for name, value in (plain | changes).items() if value is not None}


def line(**changes: Any) -> bytes:
    return json.dumps(members(**changes)).encode()


def file_of(*lines: bytes) -> BytesIO:
    return BytesIO(b"".join(one + b"\n" for one in lines))
