"""Which providers name single tokens in their notices."""

from __future__ import annotations

from vaultd.connections.lookups import TokenNames
from vaultd.notices import token_names
from vaultd.settings import Settings


def token_names_of(settings: Settings) -> dict[str, TokenNames]:
    """Google names single refresh tokens."""
    return {name: token_names for name, config in settings.providers.items() if config.notices == "google_risc"}
