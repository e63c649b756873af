"""Options that several commands share, and the two ways of writing a result."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

ConfigOption: TypeAlias = Annotated[
    Path, typer.Option("--config", "-c", envvar="VAULTD_CONFIG", help="The configuration file.", show_default=True)
]
JsonOption: TypeAlias = Annotated[bool, typer.Option("--json", help="Write JSON, for a program to read.")]
DEFAULT_CONFIG = Path("vaultd.toml")


def write_json(value: Mapping[str, Any] | list[Any]) -> None:
    """Write a result for a program; times and ids become text, and a secret its placeholder."""
    typer.echo(json.dumps(value, indent=2, default=str, ensure_ascii=False))


def group(help_text: str) -> typer.Typer:
    """A group of commands that shows its help when it is called without one."""
    return typer.Typer(
        help=help_text,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
