"""What a documented session token is, for docs/guides/identity-providers.md.

Each was transcribed from the named pages on the named day. The times, the issuer and the user are filled in when a
token is made; what stands for the reader's own names (the app, the tenant) is as in the guide.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

VAULT = "https://vault.example.com"
APP = "https://app.example.com"
LOOKED_AT = "2026-11-25"

Claims = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Refused:
    """A token that must be refused: what is other in it, `...` for what is missing, and the reason in the event."""

    what: str
    claims: Claims
    reason: str
    header: Claims = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """One issuer's token. `jwk` are the members that its published keys have beside the key itself.

    `client` says by which claim a token names its app; where there is none, only a trusted client may present it.
    """

    pages: tuple[str, ...]
    header: Claims
    claims: Claims
    client: str | None
    refused: tuple[Refused, ...]
    jwk: Claims = field(default_factory=lambda: {"use": "sig"})
    life: int = 3600
    looked_at: str = LOOKED_AT
