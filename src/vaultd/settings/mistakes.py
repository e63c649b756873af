"""One mistake in the file: where, what, and what to write; and how pydantic's findings become such sentences."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeAlias

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from vaultd.clients.config import ClientConfig, LimitsConfig, ProviderGrant
from vaultd.clients.config_narrow import NarrowConfig
from vaultd.config_types import ConfigTable
from vaultd.keys.config import KeysConfig
from vaultd.providers.config import ProviderConfig
from vaultd.providers.config_endpoints import ConnectionSetting, LookupConfig
from vaultd.refresh.config import RefreshConfig
from vaultd.sessions.config import LoginConfig
from vaultd.settings.model import Settings
from vaultd.subjects.config import IntrospectionConfig, IssuerConfig
from vaultd.telemetry.config import MetricsConfig
from vaultd.web.show.branding import BrandingConfig

Place: TypeAlias = tuple[str | int, ...]
"""The keys that lead to a value; a whole number counts list items from 0."""

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")

_EXAMPLES: Mapping[str, str] = MappingProxyType(
    {
        "auth": 'auth = "client_secret_basic"',
        "authorization_endpoint": 'authorization_endpoint = "https://…"',
        "burst": "burst = 100",
        "client_id": 'client_id = "…", as the other side gave it out',
        "client_secret": 'client_secret = "env:…"',
        "database_url": 'database_url = "env:DATABASE_URL"',
        "issuer": 'issuer = "https://login.example.com/"',
        "keys": 'a table [keys] with path = "/var/lib/vaultd/keyring.json"',
        "path": 'path = "/var/lib/vaultd/keyring.json"',
        "per_second": "per_second = 50",
        "public_url": 'public_url = "https://vault.example.com"',
        "scopes": 'scopes = ["…"]',
        "token_endpoint": 'token_endpoint = "https://…"',
    }
)
_WRONG_KIND: Mapping[str, str] = MappingProxyType(
    {
        "bool_type": "is not true or false; write one of them, without quotes",
        "dict_type": "is not a table; write it as one",
        "float_type": "is not a number; write digits, without quotes",
        "int_type": "is not a whole number; write digits, without quotes",
        "model_type": "is not a table; write it as one",
        "path_type": "is not a path; write one in quotes",
        "string_pattern_mismatch": "has a line break or another control character; write it on one line",
        "string_too_short": "is empty; write a value, or leave the key out",
        "string_too_long": "is too long; write one character",
        "string_type": "is not text; write it in quotes",
        "tuple_type": 'is not a list; write ["…"]',
    }
)
_TABLES: Mapping[tuple[str, ...], type[ConfigTable]] = MappingProxyType(
    {
        (): Settings,
        ("keys",): KeysConfig,
        ("refresh",): RefreshConfig,
        ("metrics",): MetricsConfig,
        ("issuers", "*"): IssuerConfig,
        ("issuers", "*", "introspection"): IntrospectionConfig,
        ("login",): LoginConfig,
        ("branding",): BrandingConfig,
        ("clients", "*"): ClientConfig,
        ("clients", "*", "limits"): LimitsConfig,
        ("clients", "*", "providers", "*"): ProviderGrant,
        ("clients", "*", "providers", "*", "narrow"): NarrowConfig,
        ("providers", "*"): ProviderConfig,
        ("providers", "*", "connection_settings", "*"): ConnectionSetting,
        ("providers", "*", "lookup"): LookupConfig,
    }
)


@dataclass(frozen=True, slots=True)
class Mistake:
    """`text` goes on where the key ends: it says what is wrong; then what to write."""

    place: Place
    text: str


def meant(wrong: str, known: Collection[str], *, otherwise: str | None = None) -> str:
    """The remedy for a name that does not exist: the one most like it, else all there are."""
    close = difflib.get_close_matches(wrong.lower(), sorted(known), n=1, cutoff=0.7)
    if close:
        return f'did you mean "{close[0]}"?'
    if otherwise is not None:
        return otherwise
    return f"write one of {', '.join(sorted(known))}" if known else "there are none yet; write its table first"


def from_validation(error: ValidationError) -> list[Mistake]:
    """What pydantic found, in our words. Its own quote values, which may be secret."""
    details = error.errors(include_url=False, include_input=False)
    # A default that depends on another key is not made while a key before it is mistaken: no mistake of its own.
    found = [detail for detail in details if detail["type"] != "default_factory_not_called"]
    return [Mistake(_place(detail), _sentence(detail)) for detail in found]


def _place(detail: ErrorDetails) -> Place:
    place = detail["loc"]
    return place[:-1] if place[-1:] == ("[key]",) else place


def _sentence(detail: ErrorDetails) -> str:
    kind, place, context = detail["type"], detail["loc"], detail.get("ctx", {})
    key = str(place[-1]) if place else ""
    if kind == "value_error":
        text = str(context["error"])
        # The one sentence without a subject: that of `terms.Secret`, for a value that is not text.
        return f"is not a reference; {text}" if text.startswith("write ") else text
    if kind == "missing":
        return f"is missing; write {_EXAMPLES.get(key, key + ' = …')}"
    if kind == "extra_forbidden":
        return f"is not a key of this table; {meant(key, _keys_of(place[:-1]))}"
    if kind == "literal_error":
        return f"has a value that is not known; write {context['expected']}"
    if kind in {"greater_than", "greater_than_equal", "less_than", "less_than_equal"}:
        return _out_of_range(kind, context)
    return _WRONG_KIND.get(kind, f"is not accepted ({kind}); see the README for what it takes")


def _out_of_range(kind: str, context: Mapping[str, Any]) -> str:
    bound = next(iter(context.values()))
    if kind.startswith("greater"):
        return f"is too small; write {'more than' if kind == 'greater_than' else 'at least'} {bound}"
    return f"is too large; write at most {bound}"


def _keys_of(place: Sequence[str | int]) -> Collection[str]:
    for pattern, table in _TABLES.items():
        if len(pattern) == len(place) and all(want in {"*", got} for want, got in zip(pattern, place, strict=True)):
            return table.model_fields.keys()
    return ()


def in_file_order(mistakes: Collection[Mistake], document: Mapping[str, Any]) -> list[Mistake]:
    """Sorted as the file is; what is missing comes where its table ends."""
    return sorted(mistakes, key=lambda mistake: _position(mistake.place, document))


def _position(place: Place, document: Any) -> list[int]:
    position = []
    node = document
    for part in place:
        if isinstance(node, dict):
            keys = list(node)
            position.append(keys.index(part) if part in node else len(keys))
            node = node.get(part)
        elif isinstance(node, list) and isinstance(part, int):
            position.append(part)
            node = node[part]
    return position


def as_written(place: Place, document: Any) -> str:
    """The key as the file has it, dotted and quoted as TOML does."""
    text = ""
    node = document
    for part in place:
        if isinstance(part, int):
            text += f"[{part}]"
            node = node[part] if isinstance(node, list) and part < len(node) else None
            continue
        if isinstance(node, list):
            continue  # a bare list stands for a table whose one key it is
        quoted = part if _BARE_KEY.fullmatch(part) else json.dumps(part)
        text += f".{quoted}" if text else quoted
        node = node.get(part) if isinstance(node, dict) else None
    return text
