"""`docs/providers.md` is what the catalogue says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.unit.providers.test_catalogue import WHOLE
from vaultd.providers.catalogue import load_catalogue
from vaultd.providers.table import render

PAGE = Path(__file__).parents[3] / "docs" / "providers.md"


def rows_of(page: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line[:3] == "| ["]


def test_the_page_is_up_to_date() -> None:
    written = PAGE.read_text(encoding="utf-8")
    assert written == render(load_catalogue()), "run: python -m vaultd.providers.table > docs/providers.md"


def test_every_provider_has_its_row_and_its_part() -> None:
    """Issue 5 §1: at least 40 providers."""
    page = render(load_catalogue())
    names = [row[0].partition("`")[2].partition("`")[0] for row in rows_of(page)]
    assert names == sorted(load_catalogue())
    assert len(names) >= 40
    assert [line.removeprefix("## ") for line in page.splitlines() if line.startswith("## ")] == names


def test_what_is_told() -> None:
    entry: dict[str, Any] = WHOLE | {
        "display_name": "Acme | Co",
        "narrowing": "refresh",
        "callback_metadata": {"realm": "realmId"},
        "lookup": {"endpoint": "https://acme.example/sites", "metadata": "sites"},
        "resources": ["https://api.acme.example"],
        "notes": "Ask first.",
        "refresh_token_idle_limit": 90 * 86_400,
        "refresh_token_lifetime": 36 * 3600,
    }
    page = render({"acme": entry})
    (row,) = rows_of(page.replace("\\|", "/"))
    assert row == [
        "[`acme`](#acme)",
        "Acme / Co",
        "a member",
        "docs",
        "yes",
        "never",
        "yes",
        "none",
        "yes",
        "[docs](https://docs.acme.example/apps)",
    ]
    assert page.partition("## acme")[2].strip().splitlines() == [
        "Ask first.",
        "",
        "- Asks each user for `shop`, like `mine`: Your shop.",
        "- A grant is for a member, known by `setting:shop` with `sub`",
        "- Scopes unless told otherwise: `read` (Read everything)",
        "- `resource`: `https://api.acme.example`",
        "- `connection_metadata`: `realm`, `sites`, `shop`",
        "- A refresh token ends after 90 days without use.",
        "- A refresh token ends 36 hours after it was given.",
        "- Sources (2026-01-31): <https://docs.acme.example/oauth>",
    ]


def test_tokens_that_do_not_end_are_not_refreshed() -> None:
    (row,) = rows_of(render({"acme": WHOLE | {"expires": False, "rotation": "always"}}))
    assert row[4:6] == ["no", "—"]
