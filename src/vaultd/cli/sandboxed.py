"""Running a part of the sandbox in a terminal."""

from __future__ import annotations

import re
from collections.abc import Callable

from rich.console import Console

from vaultd.cli.output import escaped
from vaultd.errors import ConfigurationError
from vaultd.sandbox.person import StepFailed

HEADING = re.compile(r"^\n?\d+\. .*$|^\n?Every step.*$")


def tell(run: Callable[[Callable[[str], None]], None]) -> None:
    """Run it with a way to speak: headings are bold on a terminal, and only there.

    Raises:
        ConfigurationError: a part does not start, or a step is not as it should be.
    """
    console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)

    def say(text: str) -> None:
        console.print(escaped(text), style="bold" if HEADING.match(text) else None)
        console.file.flush()

    try:
        run(say)
    except StepFailed as failed:
        raise ConfigurationError(f"This is not as it should be: {failed}") from failed
