"""Reading the configuration for a command."""

from __future__ import annotations

import os
from pathlib import Path

from vaultd.errors import ConfigurationError
from vaultd.settings import Settings, load


def load_settings(path: Path) -> Settings:
    """The checked settings. Raises `ConfigurationError`, whose description is the whole report."""
    if not path.exists():
        raise ConfigurationError(f"There is no configuration file {path}. Name one with --config or VAULTD_CONFIG.")
    return load(path, environ=os.environ)
