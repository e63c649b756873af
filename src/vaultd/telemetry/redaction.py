"""What must not be seen, taken out of a log line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import PurePath
from typing import Any
from uuid import UUID

from structlog.typing import EventDict, WrappedLogger

from vaultd.terms import Scopes, Secret

HIDDEN = "…"
"""Stands where a secret stood."""
MAX_TEXT = 8_192
"""Characters of one value that are logged."""
MAX_DEPTH = 6
MAX_ITEMS = 100

_STRUCTLOG_OWN = frozenset({"_record", "_from_structlog"})
_SECRET_NAMES = frozenset(
    {
        "api_key",
        "auth_session",
        "body",
        "code",
        "connect_code",
        "form",
        "headers",
        "nonce",
        "params",
        "plaintext",
        "private_key",
        "query",
        "root_key",
        "session",
        "session_id",
        "state",
    }
)
_SECRET_ENDINGS = re.compile(
    r"(token|tokens|authorization|cookies?|ticket|assertion|verifier|credentials?|bearer|jwt)$"
    r"|secret|passw(or)?d|passphrase"
)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

_PARAMETERS = (
    r"(?:[a-z]+_)?token|client_secret|secret|password|passwd|sslpassword|(?:client_)?assertion|code_verifier"
    r"|connect_code|auth_session|session_id|api_key|private_key|root_key"
)
# Each takes time in proportion to the text's length, whoever wrote the text.
_SHAPES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*", re.DOTALL), HIDDEN),
    # RFC 7519: the header of a JWT starts with `{"`; one that was cut off is still one.
    (re.compile(r"eyJ[A-Za-z0-9_-]{6,}(?:\.[A-Za-z0-9_-]*)*"), HIDDEN),
    (re.compile(r"(?i)\b(bearer|basic|dpop)\s+[A-Za-z0-9._~+/=-]{6,}"), rf"\1 {HIDDEN}"),
    # Headers as libraries print them: pairs of bytes.
    (
        re.compile(
            r"(?i)(b?['\"](?:[a-z-]*authorization|(?:set-)?cookie|location)['\"]\s*[,:]\s*)b?(['\"]).*?(?:\2|$)",
            re.DOTALL,
        ),
        rf"\1{HIDDEN}",
    ),
    (re.compile(r"(?i)\b((?:set-)?cookie:\s*).*"), rf"\1{HIDDEN}"),
    (re.compile(r"(://)[^/\s@:]*:[^\s'\"]{1,256}@"), rf"\1{HIDDEN}@"),
    (re.compile(r"\?[^\s'\"?=]*=[^\s'\"]*"), f"?{HIDDEN}"),
    # JSON, also within JSON, and cut off.
    (
        re.compile(rf"(?i)\b((?:{_PARAMETERS}|code|state|ticket)\\*['\"]\s*:\s*)b?\\*(['\"]).*?(?:\2|$)", re.DOTALL),
        rf"\1{HIDDEN}",
    ),
    (re.compile(rf"(?i)\b({_PARAMETERS}|code|state|ticket)=(?:'[^']*'|\"[^\"]*\"|[^\s&,;)\]}}]+)"), rf"\1={HIDDEN}"),
    (re.compile(rf"(?i)\b({_PARAMETERS}):\s*[^\s,;]{{12,}}"), rf"\1: {HIDDEN}"),
    (re.compile(r"\b(?:gh[opusr]_|github_pat_|xox[a-z]-|ya29\.|sk-|glpat-|shp[a-z]{2}_)[A-Za-z0-9._~+/-]{8,}"), HIDDEN),
)


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """The processor: afterwards the event consists of plain values without a secret."""
    own = {key: value for key, value in event.items() if key in _STRUCTLOG_OWN}
    return {**_redact_mapping(event, MAX_DEPTH), **own}


def redact_text(text: str) -> str:
    """A text without anything that has the shape of a secret, on one line and without control characters."""
    shown = text[:MAX_TEXT]
    for shape, instead in _SHAPES:
        shown = shape.sub(instead, shown)
    shown = printable(shown)
    return shown if len(text) <= MAX_TEXT else f"{shown} ({len(text)} characters)"


def printable(text: str) -> str:
    """A text that starts no new line and sends nothing to a terminal: what cannot be seen is spelled out."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _redact_mapping(mapping: Mapping[Any, Any], depth: int) -> dict[str, Any]:
    shown = {}
    for key, value in list(mapping.items())[:MAX_ITEMS]:
        name = key if isinstance(key, str) else str(_redact_value(key, 0))
        if name in _STRUCTLOG_OWN:
            continue
        hidden = _is_secret_name(name) and value is not None and not isinstance(value, bool)
        shown[redact_text(name)] = HIDDEN if hidden else _redact_value(value, depth - 1)
    return shown


def _is_secret_name(name: str) -> bool:
    words = _CAMEL.sub("_", name).lower().replace("-", "_")
    return words in _SECRET_NAMES or _SECRET_ENDINGS.search(words) is not None


def _redact_value(value: object, depth: int) -> Any:
    shown: Any
    match value:
        case None | bool() | int() | float():
            shown = value
        case Secret():
            shown = HIDDEN
        case str() | date() | UUID() | PurePath() | Scopes():
            shown = redact_text(str(value))
        case bytes() | bytearray():
            shown = f"<{len(value)} bytes>"
        case Mapping() if depth > 0:
            shown = _redact_mapping(value, depth)
        case list() | tuple() | set() | frozenset() if depth > 0:
            shown = _redact_items(value, depth)
        case _:
            # Its `repr` may show any of its fields.
            shown = f"<{type(value).__qualname__}>"
    return shown


def _redact_items(items: Iterable[object], depth: int) -> list[Any]:
    return [_redact_value(item, depth - 1) for item in list(items)[:MAX_ITEMS]]
