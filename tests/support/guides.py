"""The fenced blocks of the documentation, for tests that do what it shows."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
GUIDES = DOCS / "guides"

_FENCE = re.compile(r" *```(\w*)")


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block: its language, its text, the heading above it and the line that it begins in."""

    language: str
    text: str
    heading: str
    line: int


def blocks(document: Path, language: str) -> list[Block]:
    """The blocks of a language, in their order."""
    return [block for block in _all_blocks(document) if block.language == language]


def _all_blocks(document: Path) -> Iterator[Block]:
    heading, opened, language = "", 0, ""
    lines = document.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, start=1):
        fence = _FENCE.fullmatch(line)
        if fence and opened:
            text = textwrap.dedent("\n".join([*lines[opened : number - 1], ""]))
            yield Block(language, text, heading, opened)
            opened = 0
        elif fence:
            opened, language = number, fence[1]
        elif line.startswith("#") and not opened:
            heading = line.lstrip("# ")
