"""Where a line's account is: the settings of its connection, and the metadata that go with its tokens.

Both are what consent would have brought, and are checked against the provider's table as consent checks them.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from vaultd.errors import SettingsNeeded
from vaultd.providers.config import ProviderConfig
from vaultd.providers.registry import Provider
from vaultd.providers.words import identifier_text, label_text, plain_text
from vaultd.sizes import METADATA

_A_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,31}")
_MOST_PLACES = 100


@dataclass(frozen=True, slots=True)
class Place:
    """The settings and the metadata of a connection; `from_line` if the line says any."""

    settings: dict[str, str] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    from_line: bool = False


def read_place(provider: Provider, settings: object, metadata: object) -> tuple[Place, list[str]]:
    """Both, and what is wrong with them."""
    read_settings, mistakes = _settings(provider, settings)
    read_metadata, wrong = _metadata(provider.config, metadata)
    return Place(read_settings, read_metadata, from_line=bool(settings or metadata)), mistakes + wrong


def _settings(provider: Provider, given: object) -> tuple[dict[str, str], list[str]]:
    known = provider.config.connection_settings
    if given is not None and not _is_texts(given):
        return {}, [f"settings is no object of texts; {_like({name: known[name].example for name in known})}"]
    values: Mapping[str, str] = given if isinstance(given, dict) else {}
    unknown = _unknown("settings", values, known)
    if unknown:
        return {}, unknown
    lacking = [
        name
        for name, setting in known.items()
        if not values.get(name) and name not in provider.config.fixed_settings and setting.default is None
    ]
    if lacking:
        example = known[lacking[0]].example
        remedy = f'write "{lacking[0]}": "{example}" or what it is, or fixed_settings in the table of the provider'
        return {}, [f"settings lacks {', '.join(lacking)}, which each connection needs; {remedy}"]
    try:
        return provider.settings_from(values), []
    except SettingsNeeded as error:
        return {}, [f"settings are not accepted: {error.description}"]


def _metadata(config: ProviderConfig, given: object) -> tuple[dict[str, Any], list[str]]:
    lookup = config.lookup.metadata if config.lookup else None
    texts = {**config.callback_metadata, **config.userinfo_metadata, **config.metadata_fields}
    if given is not None and not isinstance(given, dict):
        return {}, [f"metadata is no object; {_like(dict.fromkeys(texts, '…'))}"]
    values: Mapping[str, Any] = {name: value for name, value in (given or {}).items() if value is not None}
    mistakes = _unknown("metadata", values, {*texts, *([lookup] if lookup else [])}, elsewhere=config)
    lacking = sorted(config.callback_metadata.keys() - values.keys())
    if lacking:
        mistakes.append(f"metadata lacks {', '.join(lacking)}, which the tokens are of no use without; write it")
    read: dict[str, Any] = {}
    for name, value in values.items():
        if name == lookup:
            read[name] = _places(value)
        elif name in texts:
            read[name] = identifier_text(value) if name in config.callback_metadata else plain_text(value)
        if name in read and read[name] is None:
            mistakes.append(f"metadata has a {name} that {_wanted(name, lookup, config)}")
    if not mistakes and len(json.dumps(read)) > METADATA:
        mistakes.append(f"metadata is longer than {METADATA} bytes; write less of it")
    return read, mistakes


def _wanted(name: str, lookup: str | None, config: ProviderConfig) -> str:
    if name == lookup:
        return 'is no list of places; write one like [{"id": "…", "name": "…"}]'
    if name in config.callback_metadata:
        return "is no identifier of letters, digits, _ and -; write it as the provider gave it"
    return "is no text of at most 255 characters; write it as the provider gave it"


def _places(value: object) -> list[dict[str, str]] | None:
    """The places that a lookup gives; each may be written by its id alone."""
    if not isinstance(value, list) or len(value) > _MOST_PLACES:
        return None
    places = []
    for each in value:
        place = each if isinstance(each, dict) else {"id": each}
        place_id = plain_text(place.get("id"))
        if place_id is None or not place.keys() <= {"id", "name"}:
            return None
        places.append({"id": place_id, "name": label_text(place.get("name")) or place_id})
    return places


def _unknown(
    where: str, values: Iterable[str], known: Collection[str], elsewhere: ProviderConfig | None = None
) -> list[str]:
    return [_not_known(where, name, known, elsewhere) for name in values if name not in known]


def _not_known(where: str, name: str, known: Collection[str], elsewhere: ProviderConfig | None) -> str:
    # A name is shown if it is a word; anything else may be a token that stands in the wrong place.
    shown = f'the key "{name}"' if _A_WORD.fullmatch(name) else "a key"
    if elsewhere is not None and name in elsewhere.connection_settings:
        return f"{where} has {shown}, which is one of settings; write it there"
    if not known:
        return f"{where} has {shown}, and this provider has none; leave it out"
    close = difflib.get_close_matches(name[:64], sorted(known), n=1, cutoff=0.7)
    remedy = f'did you mean "{close[0]}"?' if close else f"there are {', '.join(sorted(known))}"
    return f"{where} has {shown}, which this provider does not have; {remedy}"


def _like(known: Mapping[str, str]) -> str:
    """What to write instead, in this provider's own words."""
    example = next(iter(known.items()), None)
    if example is None:
        return "this provider has none, so leave it out"
    return f'write one like {{"{example[0]}": "{example[1]}"}}'


def _is_texts(given: object) -> bool:
    return isinstance(given, dict) and all(isinstance(value, str) for value in given.values())
