"""How long the tokens of a refresh live."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from vaultd.connections.refresh_end import next_end
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


def renewed_by(opened: Opened, grant: Grant, config: ProviderConfig, now: datetime) -> Opened:
    """What a connection holds after a refresh, its access token aside."""
    replaced = grant.refresh_token is not None and grant.refresh_token.reveal() != _revealed(opened)
    end = next_end(
        opened.refresh_end, grant.refresh_expires_in, replaced=replaced, rotates=config.rotation != "never", now=now
    )
    # RFC 6749 §6: without a new one the old one stays.
    return replace(opened, refresh_token=grant.refresh_token or opened.refresh_token, refresh_end=end)


def _revealed(opened: Opened) -> str | None:
    return None if opened.refresh_token is None else opened.refresh_token.reveal()
