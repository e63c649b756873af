"""axe-core over a page: what in it somebody could not use."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from playwright.async_api import Page

from tests.support.node import FOLDER, NodeError

WCAG_22_AA = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")


@dataclass(frozen=True, slots=True)
class Violation:
    """One rule that a page breaks, and where."""

    rule: str
    help: str
    places: tuple[str, ...]


@cache
def _script() -> str:
    path = FOLDER / "node_modules" / "axe-core" / "axe.min.js"
    if not path.is_file():
        raise NodeError("axe-core is missing. Run `make test`, or scripts/setup-node.")
    return path.read_text(encoding="utf-8")


async def axe(page: Page, *, tags: tuple[str, ...] = WCAG_22_AA) -> list[Violation]:
    """What the page as it stands violates. The page's own scripts may be off; its CSP stays on."""
    # Evaluated by the debugger, which no CSP stops; a script tag would rightly be refused.
    await page.evaluate(_script())
    found: dict[str, Any] = await page.evaluate(
        "(tags) => axe.run(document, {runOnly: tags, resultTypes: ['violations']})", list(tags)
    )
    return [
        Violation(
            each["id"], each["help"], tuple(f"{node['target']}: {node['failureSummary']}" for node in each["nodes"])
        )
        for each in found["violations"]
    ]
