"""Documents as TOML, and one laid over another."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

Document = Mapping[str, Any]


def laid_over(below: Document, above: Document) -> dict[str, Any]:
    """Tables are merged, everything else is replaced; what stands in one of the two alone is kept."""
    merged = dict(below)
    for name, value in above.items():
        under = merged.get(name)
        if isinstance(value, Mapping) and isinstance(under, Mapping):
            merged[name] = laid_over(under, value)
        else:
            merged[name] = value
    return merged


def written(document: Document) -> str:
    """The document as a file: its own values first, then a table for each mapping in it."""
    lines = [f"{json.dumps(name)} = {_value(value)}" for name, value in document.items() if not _is_table(value)]
    for name, value in document.items():
        if _is_table(value):
            lines += ["", *_table(json.dumps(name), value)]
    return "\n".join([*lines, ""])


def _table(path: str, table: Document) -> list[str]:
    lines = [f"[{path}]"]
    lines += [f"{json.dumps(name)} = {_value(value)}" for name, value in table.items() if not _is_table(value)]
    for name, value in table.items():
        if _is_table(value):
            lines += _table(f"{path}.{json.dumps(name)}", value)
    return lines


def _is_table(value: object) -> bool:
    return isinstance(value, Mapping)


def _value(value: object) -> str:
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(each) for each in value) + "]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(name)} = {_value(each)}" for name, each in value.items()) + "}"
    # A basic string, a number and a boolean of TOML are written as those of JSON are, once all is ASCII.
    return json.dumps(value)
