"""Colours that can be read, marks that stay, charts that add up."""

from __future__ import annotations

import re
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import vaultd.web
from vaultd.web.show.branding import Brand, BrandingConfig
from vaultd.web.show.chart import HEIGHT, chart_of
from vaultd.web.show.colours import (
    DARK_GROUNDS,
    LIGHT_GROUNDS,
    TEXT_CONTRAST,
    WHITE,
    Colour,
    contrast,
    readable,
    text_on,
)
from vaultd.web.show.marks import PALETTE, initials, mark

TODAY = date(2026, 11, 25)
colours = st.builds(Colour, *[st.integers(0, 255)] * 3)


def test_contrast_is_that_of_wcag() -> None:
    assert contrast(Colour(0, 0, 0), WHITE) == pytest.approx(21)
    assert contrast(Colour.parse("#767676"), WHITE) == pytest.approx(4.54, abs=0.01)
    assert contrast(WHITE, WHITE) == 1


@given(colours)
def test_any_accent_can_be_read(accent: Colour) -> None:
    """WCAG 2.2, 1.4.3: what stands on it, and what is written in it on every ground of both schemes."""
    assert contrast(text_on(accent), accent) >= TEXT_CONTRAST
    for grounds in (LIGHT_GROUNDS, DARK_GROUNDS):
        made = readable(accent, grounds)
        assert min(contrast(made, Colour.parse(ground)) for ground in grounds) >= TEXT_CONTRAST


def test_an_accent_that_reads_well_stays_as_it_is() -> None:
    assert str(readable(Colour.parse("#1f4fbf"), LIGHT_GROUNDS)) == "#1f4fbf"


def test_the_grounds_are_those_of_the_style() -> None:
    style = (Path(vaultd.web.__file__).parent / "static" / "style.css").read_text(encoding="utf-8")
    light, dark = (
        {found[1] for found in re.finditer(r"--(?:ground|surface|raised): (#[0-9a-f]{6})", part)}
        for part in style.split("@media (prefers-color-scheme: dark)")[:2]
    )
    assert (light, dark) == (set(LIGHT_GROUNDS), set(DARK_GROUNDS))


@pytest.mark.parametrize("accent", ["#ffcc00", "#000000", "#ffffff", "#1f4fbf"])
def test_the_sheet_of_a_brand_holds_nothing_but_colours(accent: str) -> None:
    sheet = Brand(BrandingConfig(accent=accent)).stylesheet.content.decode()
    assert re.fullmatch(r"(:root|@media|prefers-color-scheme: dark|--[a-z-]+: #[0-9a-f]{6};|[{}() \n])+", sheet)
    assert f"--fill: {accent};" in sheet


def test_white_reads_well_on_every_mark() -> None:
    assert min(contrast(WHITE, Colour.parse(colour)) for colour in PALETTE) >= TEXT_CONTRAST


@pytest.mark.parametrize(
    ("shown", "letters"),
    [("GitHub", "GH"), ("Google Calendar", "GC"), ("Slack", "S"), ("x", "X"), ("", "?"), ("…", "?"), ("Ärzte", "Ä")],
)
def test_initials(shown: str, letters: str) -> None:
    assert initials(shown) == letters


def test_a_mark_is_the_same_each_time_and_escaped() -> None:
    assert mark("github", "GitHub") == mark("github", "GitHub")
    assert "<<" not in mark("x", "<script> <b>")
    assert "style=" not in mark("github", "GitHub")


@given(st.dictionaries(st.integers(0, 60).map(lambda ago: TODAY - timedelta(days=ago)), st.integers(0, 10**6)))
def test_a_chart_adds_up(counts: dict[date, int]) -> None:
    chart = chart_of(counts, today=TODAY, days=30)
    assert len(chart.bars) == 30
    assert chart.bars[-1].day == TODAY
    assert chart.total == sum(count for day, count in counts.items() if day > TODAY - timedelta(days=30))
    assert all(0 < bar.height <= HEIGHT and bar.y + bar.height == HEIGHT for bar in chart.bars)
    assert {bar.day for bar in chart.used_days} == {bar.day for bar in chart.bars if bar.count}


def test_one_use_is_seen_and_is_no_peak() -> None:
    many = chart_of({TODAY: 10_000, TODAY - timedelta(days=1): 1}, today=TODAY, days=30)
    assert (many.bars[-1].height, many.bars[-2].height, many.bars[-3].height) == (HEIGHT, 3, 1)
    assert chart_of({TODAY: 1}, today=TODAY, days=30).bars[-1].height < HEIGHT / 2
