"""The catalogue: what vaultd knows about well-known providers, so that an operator's table need not say it.

How a table takes over an entry is told by `settings`.
"""

from __future__ import annotations

import tomllib
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

from vaultd.errors import ConfigurationError

_ENDING = ".toml"
_OPERATORS_OWN = frozenset({"client_id", "client_secret", "webhook_secret"})


def load_catalogue(folder: Traversable | None = None) -> dict[str, dict[str, Any]]:
    """Every entry by its file's name, as parsed. `folder` is the one in the package unless given.

    Raises:
        ConfigurationError: an entry is not TOML, or has what only an operator can know.
    """
    folder = folder or files("vaultd.providers") / "catalogue"
    entries = sorted(
        (entry for entry in folder.iterdir() if entry.name.endswith(_ENDING)), key=lambda entry: entry.name
    )
    return {entry.name.removesuffix(_ENDING): _read(entry) for entry in entries}


def _read(entry: Traversable) -> dict[str, Any]:
    try:
        parsed = tomllib.loads(entry.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigurationError(f"The catalogue's {entry.name} is not TOML: {error}.") from None
    foreign = sorted(_OPERATORS_OWN & parsed.keys())
    if foreign:
        raise ConfigurationError(f"The catalogue's {entry.name} has {', '.join(foreign)}, which is the operator's.")
    return parsed
