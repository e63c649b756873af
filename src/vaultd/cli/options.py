"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

ConfigOption: TypeAlias = Annotated[
    Path, typer.Option("--config", "-c", envvar="VAULTD_CONFIG", help="The configuration file.", show_default=True)
]
JsonOption: TypeAlias = Annotated[bool, typer.Option("--json", help="Write JSON, for a program to read.")]
DEFAULT_CONFIG = Path("vaultd.toml")


def group(help_text: str) -> typer.Typer:
    """A group of commands that shows its help when it is called without one."""
    return typer.Typer(
        help=help_text,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
