"""What a `[providers.X]` table says to people: to whom runs the vault, and to whose accounts they are."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, Field

from vaultd.config_types import ConfigTable, ScopeName, Text, WebUrl

Verified: TypeAlias = Literal["docs", "unverified"]


def day(text: str) -> str:
    """A day as TOML and RFC 3339 write it. Raises `ValueError`."""
    try:
        date.fromisoformat(text)
    except ValueError:
        raise ValueError("is not a day; write one like 2026-01-31") from None
    return text


class AboutConfig(ConfigTable):
    """`verified = "docs"`: every value was found in the provider's own documentation, at `sources`, on that day.

    `app_docs` tells how to make the app at the provider, `notes` what an operator should know before doing it.
    `scope_descriptions` say in words for people what a scope allows.
    """

    display_name: Text | None = None
    verified: Verified | None = None
    verified_on: Annotated[str, AfterValidator(day)] | None = None
    sources: tuple[WebUrl, ...] = ()
    app_docs: WebUrl | None = None
    notes: Text | None = None
    scope_descriptions: dict[ScopeName, Text] = Field(default_factory=dict)
