"""What the pages say, in the reader's language: one file for each language in `web/texts`, found by its name.

A text is plain: it is escaped before values are put in, and values are escaped as they are put in. Only what is markup
already, made by our own code, stays markup.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

from babel import Locale, dates, lists, numbers
from markupsafe import Markup, escape

Entry: TypeAlias = str | Mapping[str, str]
"""A text, or its plural forms."""
DEFAULT = "en"
_FOLDER = Path(__file__).parent.parent / "texts"
_LONGEST_HEADER = 400
_RANGE = re.compile(r"\s*([A-Za-z]{1,8})(?:-[A-Za-z0-9]{1,8})*\s*(?:;\s*q=([01](?:\.\d{0,3})?))?\s*")
_JUST_NOW, _RECENT = timedelta(minutes=1), timedelta(days=7)


class Texts:
    """One language. `code` is its name in RFC 5646's form."""

    def __init__(self, code: str, entries: Mapping[str, Entry]) -> None:
        self.code = code
        self._entries = entries
        self._locale = Locale.parse(code)

    def __call__(self, key: str, /, **values: object) -> Markup:
        """A text with its values."""
        entry = self._entries[key]
        if not isinstance(entry, str):
            raise TypeError(f"{key} has plural forms")
        return Markup(escape(entry)).format(**values)  # noqa: S704 - escaped in the same breath

    def count(self, key: str, count: int, /, **values: object) -> Markup:
        """A text in the plural form for this number, which it may show as `{count}`."""
        forms = self._entries[key]
        if isinstance(forms, str):
            raise TypeError(f"{key} has no plural forms")
        form = forms.get(self._locale.plural_form(count)) or forms["other"]
        return Markup(escape(form)).format(count=self.number(count), **values)  # noqa: S704 - escaped in the same breath

    def one_of(self, section: str, name: str | None, /, **values: object) -> Markup:
        """The text of this name in a section, or the section's `other`."""
        key = f"{section}.{name}"
        return self(key if key in self._entries else f"{section}.other", **values)

    def find(self, section: str, name: str | None, /) -> Markup | None:
        """The text of this name in a section, if it has one."""
        key = f"{section}.{name}"
        return self(key) if key in self._entries else None

    def number(self, number: int) -> str:
        """A whole number, grouped as the language does."""
        return numbers.format_decimal(number, locale=self._locale)

    def all_of(self, names: Sequence[object]) -> Markup:
        """A list within a sentence."""
        # Markup in, markup out: what babel puts between are words and commas.
        return Markup(lists.format_list([str(escape(name)) for name in names], locale=self._locale))  # noqa: S704

    def day(self, day: date) -> str:
        """A day, its month in words."""
        return dates.format_date(day, "long", locale=self._locale)

    def near_day(self, day: date, today: date) -> str:
        """The same, where it is today or yesterday by that name."""
        named = {0: "common.today", 1: "common.yesterday"}.get((today - day).days)
        return str(self(named)) if named else self.day(day)

    def time(self, at: datetime) -> Markup:
        """The time of day; the exact moment goes with it."""
        shown = dates.format_skeleton("Hm", at, UTC, locale=self._locale)
        return self._tagged(at, shown)

    def moment(self, at: datetime) -> str:
        """A day and a time."""
        parts = (dates.format_skeleton(skeleton, at, UTC, locale=self._locale) for skeleton in ("yMMMd", "Hm"))
        return ", ".join(parts)

    def when(self, at: datetime, now: datetime) -> Markup:
        """How long ago, for what is recent, otherwise the day; the exact moment goes with it."""
        ago = now - at
        if ago < _JUST_NOW:
            shown = str(self("common.now"))
        elif ago < _RECENT:
            shown = dates.format_timedelta(-ago, add_direction=True, locale=self._locale)
        else:
            shown = self.day(at.astimezone(UTC).date())
        return self._tagged(at, shown)

    def _tagged(self, at: datetime, shown: str) -> Markup:
        exact = at.astimezone(UTC).isoformat(timespec="seconds")
        return Markup('<time datetime="{}" title="{} UTC">{}</time>').format(exact, self.moment(at), shown)


class Languages:
    """All languages there are. Fixed after construction."""

    def __init__(self, texts: Mapping[str, Texts]) -> None:
        self.all = MappingProxyType(dict(texts))

    def named(self, code: str | None) -> Texts | None:
        """The language of this name."""
        return self.all.get(code or "")

    def preferred(self, accept_language: str) -> Texts:
        """The language that a reader likes best (RFC 9110 §12.5.4), English for one who likes none that there is."""
        wanted: list[tuple[float, str]] = []
        for part in accept_language[:_LONGEST_HEADER].split(","):
            found = _RANGE.fullmatch(part)
            if found is not None and float(found[2] or 1) > 0:
                wanted.append((float(found[2] or 1), found[1].lower()))
        for _, code in sorted(wanted, key=lambda each: -each[0]):
            if code in self.all:
                return self.all[code]
        return self.all[DEFAULT]


def load_languages(folder: Path = _FOLDER) -> Languages:
    """Every file of the folder."""
    return Languages({path.stem: Texts(path.stem, read_texts(path)) for path in sorted(folder.glob("*.toml"))})


def read_texts(path: Path) -> dict[str, Entry]:
    """The texts of a file by section and name, with a dot between."""
    document: dict[str, dict[str, Any]] = tomllib.loads(path.read_text(encoding="utf-8"))
    return {f"{section}.{name}": entry for section, table in document.items() for name, entry in table.items()}
