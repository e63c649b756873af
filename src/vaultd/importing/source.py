"""From bytes to numbered lines, at most one of them in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from vaultd.errors import ConfigurationError
from vaultd.importing.line import LineRefused

LONGEST_LINE = 64 * 1024
MOST_LINES = 1_000_000
"""A fingerprint of each line is kept until the end; this bounds them."""
_UTF8_MARK = b"\xef\xbb\xbf"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


def numbered_lines(file: BinaryIO) -> Iterator[tuple[int, bytes | LineRefused]]:
    """The lines that are not blank, each without its end, numbered as an editor does; or why one cannot be read.

    Raises:
        ConfigurationError: the whole file is of another kind, or too long.
    """
    number = 0
    while raw := file.readline(LONGEST_LINE + 2):
        number += 1
        if number > MOST_LINES:
            raise ConfigurationError(f"The file has more than {MOST_LINES} lines; split it, and import the parts.")
        if number == 1:
            raw = _without_mark(raw)
        text = raw.rstrip(b"\r\n")
        if len(text) > LONGEST_LINE:
            _skip_rest(file, raw)
            yield number, LineRefused([f"is longer than {LONGEST_LINE} bytes; write one object a line"])
        elif text.strip():
            yield number, text


def _without_mark(raw: bytes) -> bytes:
    if raw.startswith(_UTF16_MARKS):
        raise ConfigurationError("The file is UTF-16; save it as UTF-8.")
    return raw.removeprefix(_UTF8_MARK)


def _skip_rest(file: BinaryIO, raw: bytes) -> None:
    while raw and not raw.endswith(b"\n"):
        raw = file.readline(LONGEST_LINE)
