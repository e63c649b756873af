"""The tokens that an answer issued, whatever else is wrong with it: they must not stay alive at the provider."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vaultd.providers.answers import token_holder
from vaultd.providers.config import ProviderConfig
from vaultd.providers.received import sendable_token
from vaultd.terms import Secret


@dataclass(frozen=True, slots=True)
class Issued:
    """Tokens that nobody is to have."""

    access_token: Secret | None
    refresh_token: Secret | None


def issued_in(members: Mapping[str, Any], config: ProviderConfig, *, refreshed: bool = False) -> Issued | None:
    """The tokens of an answer that may be of no use otherwise; None where it has none."""
    holder = token_holder(members, config, refreshed=refreshed)
    # A table that does not say where they stand is a mistake, for which they must not stay alive.
    beside = [] if config.token_path else [each for each in members.values() if isinstance(each, dict)]
    found = (
        Issued(sendable_token(at, "access_token"), sendable_token(at, "refresh_token")) for at in (holder, *beside)
    )
    return next((tokens for tokens in found if tokens.access_token or tokens.refresh_token), None)
