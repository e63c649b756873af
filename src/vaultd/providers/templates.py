"""Addresses with a gap, such as `https://{shop}.myshopify.com/…`, and what may fill it (security C0).

A client secret is sent to the address that comes out, so nothing that fills a gap may choose the host: in a host a
gap stands to the left of a fixed suffix of two labels or more, and what fills it is made of DNS labels only.
Elsewhere a gap stands in the path, and is filled with characters that have no meaning there. Both hold whatever the
setting's own pattern allows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

CLIENT_ID = "client_id"
"""The one gap that is no setting's: it stands for the app's own id, and is filled where it is used."""
_GAP = re.compile(r"\{([a-z][a-z0-9_]{0,31})\}")
_DNS = re.compile(r"(?=.{1,190}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*")
_UNRESERVED = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._~-]{1,190}")  # RFC 3986 §2.3; not the dot segments of §3.3
_LEAST_FIXED_LABELS = 2
_LABEL = "x"


def gaps(template: str) -> frozenset[str]:
    """The names of the settings that this address needs."""
    return frozenset(_GAP.findall(template))


def check_template(template: str) -> str:
    """What the address looks like with its gaps filled, for the checks that every endpoint has to pass.

    Raises:
        ValueError: a gap would let its value choose the host, or stands where no value belongs.
    """
    filled = _GAP.sub(_LABEL, template)
    if "{" in filled or "}" in filled:
        raise ValueError("has a brace that is no gap; write {name}, in lower case")
    if filled == template:
        return template
    scheme, rest = template.partition("://")[::2]
    authority, _, path = rest.partition("/")
    if gaps(scheme) or "?" in authority or gaps(path.partition("?")[2]):
        raise ValueError("has a gap outside its host and path; write it in one of them")
    fixed = authority.rpartition("}")[2]
    if gaps(authority) and (not fixed.startswith(".") or len(_labels(fixed)) < _LEAST_FIXED_LABELS):
        raise ValueError(
            "has a gap that may choose the host; write at least two fixed labels after it, like {name}.example.com"
        )
    return filled


def fill(template: str, values: Mapping[str, str]) -> str:
    """The address with its settings' gaps filled.

    Raises:
        ValueError: a value is missing, or is not one that may stand in its place.
    """
    host = urlsplit(template).netloc

    def value(found: re.Match[str]) -> str:
        name = found[1]
        if name == CLIENT_ID:
            return found[0]
        allowed = _DNS if name in gaps(host) else _UNRESERVED
        given = values.get(name)
        if given is None or not allowed.fullmatch(given):
            raise ValueError(f"{name} is missing, or has characters that do not belong there, or too many")
        return given

    return _GAP.sub(value, template)


def _labels(host: str) -> list[str]:
    return [label for label in host.partition(":")[0].split(".") if label]
