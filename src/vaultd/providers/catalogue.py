"""The catalogue: what vaultd knows about well-known providers, so that an operator's table need not say it."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

from vaultd.errors import ConfigurationError

_ENDING = ".toml"
_ENDPOINTS = frozenset({"authorization_endpoint", "token_endpoint"})
_OPERATORS_OWN = frozenset({"client_id", "client_secret"})


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


def merge_entry(name: str, table: Mapping[str, Any], catalogue: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """A `[providers.X]` table with the catalogue's entry under it: what the table says wins, key by key.

    The entry is that of the table's `extends`, else of its name. A table with endpoints of its own and no `extends`
    stands alone: nothing of it may go to the well-known provider that happens to have its name.

    Raises:
        ConfigurationError: `extends` names no entry.
    """
    extends = table.get("extends")
    if extends is None:
        entry = {} if _ENDPOINTS & table.keys() else catalogue.get(name, {})
    elif isinstance(extends, str) and extends in catalogue:
        entry = catalogue[extends]
    else:
        known = ", ".join(sorted(catalogue)) or "which has no entries yet"
        raise ConfigurationError(f"[providers.{name}] extends: {extends!r} is not in the catalogue ({known}).")
    return {**entry, **table}


def _read(entry: Traversable) -> dict[str, Any]:
    try:
        parsed = tomllib.loads(entry.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigurationError(f"The catalogue's {entry.name} is not TOML: {error}.") from None
    foreign = sorted(_OPERATORS_OWN & parsed.keys())
    if foreign:
        raise ConfigurationError(f"The catalogue's {entry.name} has {', '.join(foreign)}, which is the operator's.")
    return parsed
