"""How long a token that was renewed lives."""

from __future__ import annotations

from vaultd.connections.sealing import Opened
from vaultd.connections.table import ConnectionRow
from vaultd.providers.answers import Grant
from vaultd.providers.config import ProviderConfig


def life_of(grant: Grant, opened: Opened, row: ConnectionRow, config: ProviderConfig) -> int | None:
    """Seconds, None where it does not end.

    RFC 6749 §5.1 leaves the life out of an answer where it is known otherwise: many providers name it at the first
    answer only. So what was said earlier holds, and a token that once had an end never becomes one without.
    """
    if grant.expires_in is not None and not grant.assumed_life:
        return grant.expires_in
    if opened.life is not None:
        return opened.life
    return config.assumed_ttl if row.expires_at is not None or grant.assumed_life else None
