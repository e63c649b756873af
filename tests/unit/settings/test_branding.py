"""`[branding]`, and what clients say to people: refused with words where it would spoil a page."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.settings.a_file import MINIMAL, load_text, one_line

BRANDING = MINIMAL + "[branding]\n"


def test_without_it_the_pages_are_vaultd_s(file: Path) -> None:
    branding = load_text(file, MINIMAL).branding
    assert (branding.name, branding.logo, branding.logo_dark, branding.accent) == ("vaultd", None, None, "#1f4fbf")


def test_a_picture_stands_beside_the_file(file: Path) -> None:
    (file.parent / "logo.svg").write_text("<svg/>", encoding="utf-8")
    branding = load_text(file, BRANDING + 'name = "Example"\nlogo = "logo.svg"\naccent = "#FFCC00"\n').branding
    assert (branding.name, branding.logo, branding.accent) == ("Example", file.parent / "logo.svg", "#ffcc00")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('accent = "red"', "accent: is no colour; write one like #1f4fbf"),
        ('accent = "#12345"', "accent: is no colour"),
        ('accent = "#123456; } body { color: red"', "accent: is no colour"),
        ('logo = "none.svg"', "logo: names no file"),
        ('logo = "."', "logo: is no picture"),
        ('logo = "logo.html"', "logo: is no picture that is known here"),
        ('logo = "empty.png"', "logo: is empty or larger than 256 KiB"),
        ('logo_dark = "large.png"', "logo_dark: is empty or larger than 256 KiB"),
        (f'name = "{"x" * 61}"', "name: is longer than 60 characters"),
        ('name = ""', "name: is empty"),
        ('colour = "#123456"', "colour: is not a key of this table"),
    ],
)
def test_mistakes_are_told(file: Path, line: str, words: str) -> None:
    (file.parent / "empty.png").write_bytes(b"")
    (file.parent / "large.png").write_bytes(b"x" * (256 * 1024 + 1))
    assert words in one_line(file, f"{BRANDING}{line}\n")


def test_a_client_has_a_name_for_people_and_asks_them_by_default(file: Path) -> None:
    client = '[clients.a]\nauth = "none"\n'
    plain = load_text(file, MINIMAL + client).clients["a"]
    assert (plain.display_name, plain.confirm_connect) == (None, True)
    named = load_text(file, f'{MINIMAL}{client}display_name = "The app"\nconfirm_connect = false\n').clients["a"]
    assert (named.display_name, named.confirm_connect) == ("The app", False)
    assert "confirm_connect: is not true or false" in one_line(file, f'{MINIMAL}{client}confirm_connect = "no"\n')
