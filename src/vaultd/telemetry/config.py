"""The `[metrics]` table."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from vaultd.config_types import ConfigTable, Host

Port = Annotated[int, Field(strict=True, ge=1, le=65_535)]


class MetricsConfig(ConfigTable):
    """Where metrics are shown: each process takes the first free port from `port` on."""

    host: Host = "127.0.0.1"
    port: Port = 9464
