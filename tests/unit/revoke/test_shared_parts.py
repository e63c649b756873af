"""Which accounts of a provider may live on one grant, where an account is known by several values."""

from __future__ import annotations

from typing import Any

import pytest

from vaultd.connections.holders import Names
from vaultd.providers.config import ProviderConfig
from vaultd.revoke.sharing import shared_by

SITE = {"pattern": "[a-z]+", "example": "acme", "description": "Your site."}


def may_share(one: str, other: str, **keys: Any) -> bool:
    table: dict[str, Any] = {
        "client_id": "vaultd",
        "token_endpoint_auth_method": "none",
        "authorization_endpoint": "https://provider.example/authorize",
        "token_endpoint": "https://provider.example/token",
        "connection_settings": {"site": SITE},
        "account_id_field": ["team.id", "user.id"],
        **keys,
    }
    config = ProviderConfig.model_validate(table)
    return Names(frozenset({"acme"}), shared=shared_by(config)).may_share(one, other)


@pytest.mark.parametrize(
    ("ends", "one", "other", "expected"),
    [
        ("token", "t:u", "t:u", True),
        ("token", "t:u", "x:u", False),
        ("grant", "t:u", "x:u", True),
        ("grant", "t:u", "t:v", False),
        ("installation", "t:u", "t:v", True),
        ("installation", "t:u", "x:u", False),
        (None, "t:u", "x:u", True),
        (None, "t:u", "t:v", True),
        (None, "t:u", "x:v", False),
        # From before the account was known by both.
        ("grant", "t:u", "u", True),
        (None, "t:u", "v", False),
    ],
)
def test_what_a_revocation_ends_decides(
    ends: str | None,
    one: str,
    other: str,
    expected: bool,  # noqa: FBT001 - a column of the table
) -> None:
    keys = {} if ends is None else {"revocation_ends": ends}
    assert may_share(one, other, **keys) is may_share(other, one, **keys) is expected


@pytest.mark.parametrize(
    ("fields", "one", "other", "expected"),
    [
        ("user.id", "u", "v", False),
        ("user.id", "u", "u", True),
        (["setting:site", "user.id"], "acme:u", "beta:u", False),
        (["setting:site", "user.id"], "acme:u", "acme:u", True),
        (["setting:site", "team.id", "user.id"], "acme:t:u", "acme:x:u", True),
        (["setting:site", "team.id", "user.id"], "acme:t:u", "beta:t:u", False),
    ],
)
def test_servers_have_no_grants_in_common(
    fields: Any,
    one: str,
    other: str,
    expected: bool,  # noqa: FBT001 - a column of the table
) -> None:
    assert may_share(one, other, account_id_field=fields) is expected
