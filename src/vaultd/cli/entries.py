"""Finding a provider by its name: in the configuration, else in the catalogue."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from vaultd.cli.files import load_settings
from vaultd.cli.options import DEFAULT_CONFIG
from vaultd.errors import ConfigurationError, InvalidTarget, SettingsNeeded
from vaultd.providers.catalogue import load_catalogue
from vaultd.providers.lint import entry_config
from vaultd.providers.registry import Provider, Providers
from vaultd.settings.mistakes import meant

_NOT_SHOWN = {"client_secret", "webhook_secret"}
_MADE_UP = {"client_id"}
"""What an entry has only so that it can be read as a table."""


@dataclass(frozen=True, slots=True)
class Found:
    """A provider; one that is not `configured` is the catalogue's."""

    provider: Provider
    configured: bool


def catalogued() -> Providers:
    """Every entry of the catalogue, as the table of an app that nobody has."""
    return Providers(configs={name: entry_config(table) for name, table in load_catalogue().items()})


def find(name: str, config: Path) -> Found:
    """The provider of this name.

    Raises:
        ConfigurationError: there is none, or the configuration file has a mistake.
    """
    # Somebody who looks around has no file yet; one that was named must be there.
    configs = load_settings(config).providers if config.exists() or config != DEFAULT_CONFIG else {}
    for known, configured in ((Providers(configs=configs), True), (catalogued(), False)):
        try:
            return Found(known.get(name), configured)
        except InvalidTarget:
            continue
    known_names = {*configs, *load_catalogue()}
    raise ConfigurationError(f"There is no provider {name}, configured or in the catalogue; {meant(name, known_names)}")


def shown(found: Found) -> dict[str, Any]:
    """A provider's table without its secrets: whole as the vault uses it, or as the catalogue has it."""
    config = found.provider.config
    if found.configured:
        return config.model_dump(exclude=_NOT_SHOWN, exclude_none=True)
    return config.model_dump(exclude=_NOT_SHOWN | _MADE_UP, exclude_unset=True)


def lines_of(table: Mapping[str, Any], within: str = "") -> Iterator[tuple[str, str]]:
    """A table's values by their dotted keys, as text."""
    for key, value in table.items():
        if isinstance(value, Mapping) and value:
            yield from lines_of(value, f"{within}{key}.")
        else:
            yield f"{within}{key}", _text(value)


def _text(value: object) -> str:
    if not isinstance(value, tuple | Mapping):
        return str(value)
    # In a list of paths one may be a list of those that stand in for each other.
    return " ".join("|".join(each) if isinstance(each, tuple) else str(each) for each in value)


def settings_of(provider: Provider, given: Iterable[str]) -> dict[str, str]:
    """A connection's settings from `name=value` pairs.

    Raises:
        BadParameter: one is missing, is not accepted, or is no such pair.
    """
    pairs = [pair.partition("=") for pair in given]
    unknown = [name for name, _, _ in pairs if name not in provider.config.connection_settings]
    if unknown:
        known = provider.config.connection_settings
        raise typer.BadParameter(f"{unknown[0]} is no setting of {provider.name}; {meant(unknown[0], known)}")
    try:
        return provider.settings_from({name: value for name, _, value in pairs})
    except SettingsNeeded as error:
        raise typer.BadParameter(f"{error.description} Give it as --setting NAME=VALUE.") from None
