"""The `[refresh]` table: renewing tokens before anybody has to wait for it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from vaultd.config_types import ConfigTable, Seconds


class RefreshConfig(ConfigTable):
    """`ahead` is how many seconds before its end a token is renewed in the background, 0 for not at all.

    Only of connections that were used within `active_days`. `per_second` bounds the refreshes that one process begins
    at one provider. The tokens of a connection that its provider refused are kept for `keep_broken_days`, so that an
    operator can undo that; 0 erases them at once.
    """

    ahead: Annotated[Seconds, Field(le=86_400)] = 600
    active_days: Annotated[int, Field(strict=True, ge=1, le=3650)] = 14
    per_second: Annotated[int, Field(strict=True, ge=1, le=1000)] = 5
    keep_broken_days: Annotated[int, Field(strict=True, ge=0, le=365)] = 7
