"""From the file to `Settings`, or to the report of everything that is wrong with it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from vaultd.errors import ConfigurationError
from vaultd.providers.catalogue import load_catalogue
from vaultd.settings.crossrefs import check_narrowing, check_references
from vaultd.settings.inheritance import ENDPOINTS, NOT_INHERITED, Inherited, complete_providers
from vaultd.settings.mistakes import Mistake, Place, as_written, from_validation, in_file_order
from vaultd.settings.model import Settings
from vaultd.settings.references import References
from vaultd.terms import Secret

OVERRIDES: Mapping[str, str] = MappingProxyType(
    {
        "database_url": "VAULTD_DATABASE_URL",
        "database.tls": "VAULTD_DATABASE_TLS",
        "public_url": "VAULTD_PUBLIC_URL",
    }
)
"""Keys of the file, and the environment variables that replace them when they are not empty."""

_SYNTAX = re.compile(r"(?P<what>.*) \(at (?P<where>.*)\)")


def load(path: Path, *, environ: Mapping[str, str], allow_literal_secrets: bool = False) -> Settings:
    """Read and check the file whole. `allow_literal_secrets` is for `vaultd dev`.

    Raises:
        ConfigurationError: its description is the report, one line for each mistake.
    """
    document = _read(path)
    overrides = {key: name for key, name in OVERRIDES.items() if environ.get(name)}
    references = References(environ=environ, folder=path.parent, allow_literals=allow_literal_secrets)
    for key, name in overrides.items():
        _override(document, key, environ[name])
    settings, mistakes = _check(document, references, path.parent)
    if settings is None or mistakes:
        lines = [_line(path, mistake, document, overrides) for mistake in in_file_order(mistakes, document)]
        raise ConfigurationError("\n".join(lines))
    return settings


def _override(document: dict[str, Any], key: str, value: str) -> None:
    table, _, name = key.rpartition(".")
    # What is no table at all stays as it is, for the type check to tell.
    holder = document.setdefault(table, {}) if table else document
    if isinstance(holder, dict):
        # A literal secret is what the environment is for; a reference is followed all the same.
        is_secret = key == "database_url" and not value.startswith(("env:", "file:"))
        holder[name] = Secret(value) if is_secret else value


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{path}: the file cannot be read ({error.strerror}); name the right one") from None
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        found = _SYNTAX.fullmatch(str(error))
        where, what = (found["where"], found["what"]) if found else ("the file", str(error))
        raise ConfigurationError(f"{path}: {where}: not TOML: {what}; mend the syntax there") from None
    except RecursionError:
        raise ConfigurationError(f"{path}: the file is nested too deeply; write it flat") from None


def _check(document: dict[str, Any], references: References, folder: Path) -> tuple[Settings | None, list[Mistake]]:
    catalogue = load_catalogue()
    providers = document.get("providers")
    written = providers if isinstance(providers, dict) else {}
    inherited = complete_providers(written, catalogue)
    # What is no table at all stays as it is, for the type check to tell.
    completed = {**document, "providers": inherited.tables} if written else document
    mistakes = [*inherited.mistakes, *check_references(document, catalogue)]
    try:
        settings = Settings.model_validate(completed, context={"resolve_secret": references.resolve, "folder": folder})
    except ValidationError as error:
        return None, mistakes + _own(from_validation(error), inherited, written)
    return settings, [*mistakes, *check_narrowing(settings)]


def _own(found: list[Mistake], inherited: Inherited, written: Mapping[str, Any]) -> list[Mistake]:
    """Without those that another line tells already: what an incomplete table lacks, and what a parent brought."""
    places = {mistake.place for mistake in found}
    return [mistake for mistake in found if not _told_elsewhere(mistake.place, places, inherited, written)]


def _told_elsewhere(place: Place, places: set[Place], inherited: Inherited, written: Mapping[str, Any]) -> bool:
    match place:
        case ("providers", str(name), str(key), *rest):
            pass
        case _:
            return False
    if key in NOT_INHERITED or key in written[name]:
        return False
    if name in inherited.incomplete:
        return key in ENDPOINTS
    return any(("providers", parent, key, *rest) in places for parent in inherited.parents.get(name, ()))


def _line(path: Path, mistake: Mistake, document: Mapping[str, Any], overrides: Mapping[str, str]) -> str:
    key = as_written(mistake.place, document)
    if key in overrides:
        return f"environment: {overrides[key]}: {mistake.text}"
    return f"{path}: {key}: {mistake.text}" if key else f"{path}: {mistake.text}"
