"""DIVERGENCES.md speaks of every standard that vaultd follows, line by line with a section and a reason."""

from __future__ import annotations

import re
from pathlib import Path

FOLLOWED = (6749, 6750, 7009, 7523, 7662, 8414, 8693, 8707, 9068, 9449, 9700)
TEXT = (Path(__file__).parents[2] / "DIVERGENCES.md").read_text(encoding="utf-8")
# The one that is in no RFC says so itself.
AUTH0 = "- The grant `urn:auth0:"


def lines() -> list[str]:
    """Each point on one line, as it is meant."""
    return [line for line in re.sub(r"\n  ", " ", TEXT).splitlines() if line.startswith("- ")]


def test_every_standard_has_a_section() -> None:
    assert tuple(int(number) for number in re.findall(r"^## RFC (\d+),", TEXT, re.MULTILINE)) == FOLLOWED


def test_every_section_has_a_line() -> None:
    for section in TEXT.split("\n## ")[1:]:
        assert "\n- §" in section, section.partition("\n")[0]


def test_every_line_names_its_section_and_gives_a_reason() -> None:
    for line in lines():
        if not line.startswith(AUTH0):
            assert re.match(r"- §[\d.]+", line), line
            assert re.search(r"\*(narrower|apart)\*", line), line
        assert line.endswith("."), line
