"""An entry of the catalogue with its addresses at a double, nothing else of it changed.

`https://HOST/PATH` becomes `DOUBLE/NAME/HOST/PATH`: the path is kept, and the host stands before it, so that the double
sees which host was meant. Gaps such as `{shop}` are kept too, and filled by vaultd.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ENDPOINTS = {
    "authorization_endpoint": "authorization",
    "token_endpoint": "token",
    "refresh_endpoint": "token",
    "revocation_endpoint": "revocation",
    "token_revocation_endpoint": "revocation",
    "narrowing_endpoint": "narrowing",
    "userinfo_endpoint": "userinfo",
    "token_check_endpoint": "check",
}
"""The keys of an entry, and the step that is played at the address."""


def at_double(name: str, entry: Mapping[str, Any], double: str) -> dict[str, Any]:
    """The entry as a provider's table. What its connection settings ask for is decided: each has its example's value.

    `issuer`, `id_token_issuers` and `resources` are names, at which nobody is asked, and stay.
    """
    moved = dict(entry)
    for key in ENDPOINTS.keys() & entry.keys():
        moved[key] = _moved(entry[key], name, double)
    if "lookup" in entry:
        moved["lookup"] = {**entry["lookup"], "endpoint": _moved(entry["lookup"]["endpoint"], name, double)}
    if "connection_settings" in entry:
        moved["fixed_settings"] = settings_of(entry)
    return moved | {"allow_private_hosts": ["127.0.0.1"]}


def steps_of(entry: Mapping[str, Any], *, client_id: str) -> dict[str, str]:
    """Which step is played at which `HOST/PATH`."""
    values = settings_of(entry) | {"client_id": client_id}
    steps = {entry[key]: step for key, step in ENDPOINTS.items() if key in entry}
    if "lookup" in entry:
        steps[entry["lookup"]["endpoint"]] = "lookup"
    return {url.removeprefix("https://").format(**values): step for url, step in steps.items()}


def settings_of(entry: Mapping[str, Any]) -> dict[str, str]:
    """The examples of its connection settings."""
    return {name: setting["example"] for name, setting in entry.get("connection_settings", {}).items()}


def _moved(url: str, name: str, double: str) -> str:
    return f"{double}/{name}/{url.removeprefix('https://')}"
