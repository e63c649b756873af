"""The one way in which a command writes: nothing that it shows steers the terminal it is read on.

What came from the database or from another server is `outside` first: on one line, and without what looks like a
secret. Everything is escaped, since names in a configuration file are not always the reader's own.
"""
# ruff: noqa: PLC0415 - imported when something is written, so that `vaultd --help` is quick

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

import typer


def say(text: str) -> None:
    """Write lines to standard output."""
    typer.echo(escaped(text))


def complain(text: str) -> None:
    """Write lines to standard error."""
    sys.stderr.write(f"{escaped(text)}\n")


def write_json(value: Mapping[str, Any] | list[Any]) -> None:
    """Write a result for a program; times and ids become text, and a secret its placeholder."""
    written = json.dumps(value, indent=2, default=str, ensure_ascii=False)
    # JSON itself escapes only some of the characters that a terminal obeys (RFC 8259 §7).
    typer.echo("".join(each if each.isprintable() or each == "\n" else json.dumps(each)[1:-1] for each in written))


def outside(text: str) -> str:
    """What somebody else wrote, fit to be shown within a line."""
    from vaultd.telemetry.redaction import redact_text

    return redact_text(text)


def escaped(text: str) -> str:
    """Lines as they may be shown."""
    from vaultd.telemetry.redaction import printable

    return "\n".join(printable(line) for line in text.split("\n"))
