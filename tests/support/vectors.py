"""Vectors: bytes that must stay as they are, because databases hold them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import UUID

FOLDER = Path(__file__).parent.parent / "vectors"


def load(name: str) -> list[dict[str, Any]]:
    """The cases of one file."""
    cases: list[dict[str, Any]] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))["cases"]
    return cases


def field(described: dict[str, str | int | None]) -> str | int | bytes | UUID | None:
    """A bound field from its description, `{"uuid": "…"}` for instance."""
    ((kind, value),) = described.items()
    if kind == "uuid":
        return UUID(str(value))
    if kind == "bytes":
        return bytes.fromhex(str(value))
    return value
