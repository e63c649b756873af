"""The answers of tests/fixtures/providers, as each provider's documentation shows them."""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

FOLDER = Path(__file__).parents[1] / "fixtures" / "providers"
FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer, the page that shows it, and the day on which it was seen there."""

    page: str
    seen: str
    status: int
    content_type: str
    body: str

    def members(self) -> dict[str, Any]:
        """What the body says; of a form, the texts."""
        if self.content_type == FORM:
            return _texts(self.body)
        parsed: dict[str, Any] = json.loads(self.body)
        return parsed

    def query(self) -> dict[str, str]:
        """The parameters with which a browser is sent back: of a whole address, or written alone."""
        return _texts(urlsplit(self.body).query if "://" in self.body.partition("?")[0] else self.body)


def load_documented() -> dict[str, dict[str, Answer]]:
    """By the provider's name, its answers by the step that they belong to."""
    return {
        path.stem: {step: Answer(**table) for step, table in tomllib.loads(path.read_text(encoding="utf-8")).items()}
        for path in sorted(FOLDER.glob("*.toml"))
    }


def _texts(query: str) -> dict[str, str]:
    return {name: values[-1] for name, values in parse_qs(query, keep_blank_values=True).items()}
