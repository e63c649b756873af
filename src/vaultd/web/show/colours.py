"""An operator's accent colour, made fit to be read: the contrasts of WCAG 2.2, in both colour schemes."""

from __future__ import annotations

from typing import NamedTuple

TEXT_CONTRAST = 4.5
"""WCAG 2.2, 1.4.3, for text of ordinary size."""
LIGHT_GROUNDS = ("#ffffff", "#f5f6f8", "#eceef2")
"""What text in the accent colour stands on in the light scheme; `style.css` has the same."""
DARK_GROUNDS = ("#14171c", "#1d2128", "#2a2f38")
_STEPS = 100


class Colour(NamedTuple):
    """Red, green and blue, each from 0 to 255."""

    red: int
    green: int
    blue: int

    @classmethod
    def parse(cls, text: str) -> Colour:
        """From `#rrggbb`."""
        return cls(*(int(text[at : at + 2], 16) for at in (1, 3, 5)))

    def __str__(self) -> str:
        return f"#{self.red:02x}{self.green:02x}{self.blue:02x}"

    @property
    def luminance(self) -> float:
        """WCAG 2.2, relative luminance."""
        linear = [part / 255 / 12.92 if part <= 10 else ((part / 255 + 0.055) / 1.055) ** 2.4 for part in self]  # noqa: PLR2004 - the standard's own numbers
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    def toward(self, other: Colour, share: float) -> Colour:
        """A mixture with another colour."""
        return Colour(*(round(mine + (its - mine) * share) for mine, its in zip(self, other, strict=True)))


BLACK, WHITE = Colour(0, 0, 0), Colour(255, 255, 255)


def contrast(one: Colour, other: Colour) -> float:
    """WCAG 2.2, contrast ratio, from 1 to 21."""
    dark, light = sorted((one.luminance, other.luminance))
    return (light + 0.05) / (dark + 0.05)


def text_on(ground: Colour) -> Colour:
    """Black or white, whichever reads better: one of them always has more than `TEXT_CONTRAST`."""
    return max(WHITE, BLACK, key=lambda text: contrast(text, ground))


def readable(colour: Colour, grounds: tuple[str, ...]) -> Colour:
    """The colour itself where it reads well as text on all these grounds, otherwise the nearest to it that does."""
    parsed = [Colour.parse(ground) for ground in grounds]
    away = text_on(parsed[0])
    mixtures = (colour.toward(away, step / _STEPS) for step in range(_STEPS + 1))
    return next(found for found in mixtures if min(contrast(found, ground) for ground in parsed) >= TEXT_CONTRAST)
