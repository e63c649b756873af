"""`/docs` works offline and under the strict policy of every answer (security B7), and shows the whole document."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import pytest

from tests.wire.vault import Vault
from vaultd.web.reference import prose


class Seen(HTMLParser):
    """What a page loads, links to and carries inline."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.headings: list[int] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        given = dict(attrs)
        if given.get("id"):
            self.ids.append(str(given["id"]))
        if given.get("href"):
            self.links.append(str(given["href"]))
        if tag in {"h1", "h2", "h3", "h4"}:
            self.headings.append(int(tag[1]))


@pytest.fixture
async def page(vault: Vault) -> Seen:
    answer = await vault.http.get("/docs")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert "unsafe-inline" not in answer.headers["content-security-policy"]
    seen = Seen()
    seen.feed(answer.text)
    return seen


async def test_b7_it_loads_nothing_from_elsewhere_and_runs_nothing(page: Seen) -> None:
    assert not {"script", "style", "iframe", "object", "img", "form"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name == "style" or name.startswith("on") or name == "src"]
    assert all(link.startswith(("#", "/")) and not link.startswith("//") for link in page.links)


async def test_its_links_lead_somewhere(page: Seen, vault: Vault) -> None:
    assert len(page.ids) == len(set(page.ids))
    for link in page.links:
        if link.startswith("#"):
            assert link[1:] in page.ids
        else:
            assert (await vault.http.get(link)).status_code == 200, link


async def test_every_operation_is_on_it(page: Seen, vault: Vault) -> None:
    document: dict[str, Any] = (await vault.http.get("/openapi.json")).json()
    operations = {operation["operationId"] for methods in document["paths"].values() for operation in methods.values()}
    assert operations <= set(page.ids)
    answers = sum(len(o["responses"]) for methods in document["paths"].values() for o in methods.values())
    assert page.tags.count("details") == page.tags.count("summary") == answers


async def test_it_can_be_read_aloud(page: Seen) -> None:
    assert ("lang", "en") in page.attributes
    assert page.tags.count("main") == page.tags.count("h1") == 1
    assert page.tags.count("caption") == page.tags.count("table")
    # No level is skipped on the way down.
    assert all(after <= before + 1 for before, after in zip(page.headings, page.headings[1:], strict=False))


def test_a_description_cannot_become_markup() -> None:
    assert prose("a <b> & `<i>`\n\nend") == "<p>a &lt;b&gt; &amp; <code>&lt;i&gt;</code></p><p>end</p>"
