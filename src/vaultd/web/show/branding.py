"""The `[branding]` table: how the pages look like the operator's own. The policy of the pages stays as strict (B7)."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeAlias

from pydantic import AfterValidator

from vaultd.config_types import ConfigPath, ConfigTable, ShownName
from vaultd.web.show.colours import DARK_GROUNDS, LIGHT_GROUNDS, Colour, readable, text_on

_TYPES = {
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".webp": "image/webp",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
}
_MOST = 256 * 1024
_COLOUR = re.compile(r"#[0-9A-Fa-f]{6}")


def _picture(path: Path) -> Path:
    if path.suffix.lower() not in _TYPES:
        raise ValueError("is no picture that is known here; write the path of an .svg, .png, .webp or .jpg file")
    try:
        size = path.stat().st_size if path.is_file() else -1
    except OSError:
        size = -1
    if size < 0:
        raise ValueError("names no file; write the path of a picture, relative to the configuration file")
    if not 0 < size <= _MOST:
        raise ValueError("is empty or larger than 256 KiB; make the picture smaller")
    return path


def _colour(text: str) -> str:
    if not _COLOUR.fullmatch(text):
        raise ValueError("is no colour; write one like #1f4fbf")
    return text.lower()


Picture: TypeAlias = Annotated[ConfigPath, AfterValidator(_picture)]


class BrandingConfig(ConfigTable):
    """`name` stands at the top of each page; `logo` beside it, `logo_dark` in its place in the dark colour scheme.

    `accent` is the colour of buttons and links. Any will do: what is written on it and in it is made readable.
    """

    name: ShownName = "vaultd"
    logo: Picture | None = None
    logo_dark: Picture | None = None
    accent: Annotated[str, AfterValidator(_colour)] = "#1f4fbf"


@dataclass(frozen=True, slots=True)
class Asset:
    """A file that the pages load; `version` changes with its content, so that a browser may keep it."""

    content: bytes
    media_type: str

    @property
    def version(self) -> str:
        """A part of its digest."""
        return hashlib.sha256(self.content).hexdigest()[:16]


class Brand:
    """What of the branding the pages need, read once."""

    def __init__(self, config: BrandingConfig) -> None:
        self.name = config.name
        self.stylesheet = Asset(_stylesheet(Colour.parse(config.accent)).encode(), "text/css")
        self.logo = _read(config.logo)
        self.logo_dark = _read(config.logo_dark)


def _read(path: Path | None) -> Asset | None:
    return None if path is None else Asset(path.read_bytes(), _TYPES[path.suffix.lower()])


def _stylesheet(accent: Colour) -> str:
    """A sheet of its own: a page whose policy allows no inline styles cannot carry it (B7)."""
    light, dark = (readable(accent, grounds) for grounds in (LIGHT_GROUNDS, DARK_GROUNDS))
    return (
        f":root {{ --fill: {accent}; --on-fill: {text_on(accent)}; --accent: {light}; }}\n"
        f"@media (prefers-color-scheme: dark) {{ :root {{ --accent: {dark}; }} }}\n"
    )
