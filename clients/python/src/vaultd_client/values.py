"""What the vault hands out, as values: a provider's token and the accounts a user has connected."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, NoReturn

Clock = Callable[[], datetime]
"""Gives the present moment with a UTC zone."""
Status = Literal["connected", "reconnect_required", "not_connected"]


def system_clock() -> datetime:
    """The machine's own clock."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessToken:
    """A provider's access token. It does not show in `repr`, and is not pickled: it stays in this process's memory.

    `scope` is what the token really carries, `account` the label of the account it belongs to, and
    `connection_metadata` what a call needs beside it, such as Salesforce's `instance_url`.
    """

    access_token: str = field(repr=False)
    expires_at: datetime
    scope: str
    connection: str
    account: str | None = None
    connection_metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def scopes(self) -> frozenset[str]:
        """`scope` as a set."""
        return frozenset(self.scope.split())

    def __reduce__(self) -> NoReturn:
        raise TypeError("an AccessToken is not pickled; ask the vault again where you need it")


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One account that a user has connected. `account` is its label, `connection` the provider's name."""

    id: str
    connection: str
    status: Status
    account: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
