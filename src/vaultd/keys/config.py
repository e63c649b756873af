"""The `[keys]` table."""

from __future__ import annotations

from typing import Literal

from vaultd.config_types import ConfigPath, ConfigTable


class KeysConfig(ConfigTable):
    """Which backend holds the root key, and where. `path` is the keyring file of the local backend."""

    backend: Literal["local"] = "local"
    path: ConfigPath
