"""The documentation is whole: what it links to is there, its index names every page, its configurations load."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.guides import DOCS, GUIDES, ROOT, blocks
from tests.support.toml import laid_over, written
from vaultd.providers.catalogue import load_catalogue
from vaultd.settings import load

INDEX = DOCS / "README.md"
PAGES = sorted([ROOT / "README.md", *DOCS.rglob("*.md")])
WHOLE_FILES = ("from-your-own-table.md", "from-auth0-token-vault.md")
"""Guides whose one block is a whole file. Those of the other are laid over its first."""
ENVIRONMENT = {"DATABASE_URL": "postgresql://vaultd_serve:made-up@db.example.com/vaultd?sslmode=verify-full"}


def _links(page: Path) -> Iterator[tuple[str, str]]:
    """The file and the anchor of each link to a page of ours."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not target.startswith(("https://", "http://")):
            file, _, anchor = target.partition("#")
            yield file, anchor


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for file, anchor in _links(page):
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), file
        assert not anchor or anchor in _anchors(target), f"{file}#{anchor}"


def test_the_index_names_every_page() -> None:
    named = {(DOCS / file).resolve() for file, _ in _links(INDEX)}
    assert {page for page in PAGES if page.parent != ROOT and page != INDEX} <= named


def test_every_configuration_in_a_guide_loads(tmp_path: Path) -> None:
    documents = [tomllib.loads(block.text) for name in WHOLE_FILES for block in blocks(GUIDES / name, "toml")]
    base, *over = [tomllib.loads(block.text) for block in blocks(GUIDES / "identity-providers.md", "toml")]
    documents += [laid_over(base, each) for each in over]
    for document in documents:
        file = tmp_path / "vaultd.toml"
        file.write_text(written(document), encoding="utf-8")
        names = set(re.findall(r'"env:([A-Z_]+)"', file.read_text(encoding="utf-8")))
        settings = load(file, environ=dict.fromkeys(names, "0123456789abcdef0123456789abcdef") | ENVIRONMENT)
        assert list(settings.issuers) == list(document["issuers"])


def test_the_catalogue_is_as_large_as_the_pages_say() -> None:
    counted = re.compile(r"(\d+) (?:well-known |OAuth 2 |OAuth )?providers")
    told = {int(number) for page in PAGES for number in counted.findall(page.read_text(encoding="utf-8"))}
    assert told == {len(load_catalogue())}
