"""A provider's mark: its initials on a tile of a colour that stays its own. No provider's logo is copied."""

from __future__ import annotations

import hashlib
import re

from markupsafe import Markup

PALETTE = (
    *("#b4232c", "#a14a00", "#7a5c00", "#4d6b00", "#1b7340", "#007070"),
    *("#00689b", "#1f4fbf", "#5b3fc4", "#8a2fb0", "#ac2283", "#5f5f6b"),
)
"""White letters read well on all of them (WCAG 2.2, 1.4.3)."""
# Presentation attributes: the policy of the pages lets no inline style through (B7).
_TILE = Markup(
    '<svg class="mark" viewBox="0 0 40 40" width="40" height="40" aria-hidden="true" focusable="false">'
    '<rect width="40" height="40" rx="10" fill="{colour}"/>'
    '<text x="20" y="26" text-anchor="middle" font-size="17" font-weight="600" fill="#ffffff">{initials}</text></svg>'
)


def mark(name: str, shown: str) -> Markup:
    """The mark of the provider called `name` in the configuration and `shown` to people."""
    colour = PALETTE[hashlib.sha256(name.encode()).digest()[0] % len(PALETTE)]
    return _TILE.format(colour=colour, initials=initials(shown))


def initials(shown: str) -> str:
    """At most two letters: of two words, of two capitals, or the first one."""
    words: list[str] = re.findall(r"\w+", shown)
    if len(words) > 1:
        return (words[0][0] + words[1][0]).upper()
    word = words[0] if words else "?"
    capitals = [letter for letter in word if letter.isupper()]
    return "".join(capitals[:2]) if len(capitals) > 1 else word[0].upper()
