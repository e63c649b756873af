"""The `[login]` table."""

from __future__ import annotations

from vaultd.config_types import ConfigTable, PlainSecret, Text


class LoginConfig(ConfigTable):
    """Sign-in at vaultd's own pages. `issuer` is the name of an `[issuers.X]` table, not its URL."""

    issuer: Text
    client_id: Text
    client_secret: PlainSecret | None = None
