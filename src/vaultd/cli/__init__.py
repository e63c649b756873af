"""The command line. Every command imports what it needs when it runs, so that `vaultd --help` is quick."""

from __future__ import annotations

import gc
import sys

from vaultd.cli.commands import app

__all__ = ["app", "main"]


def main() -> None:
    """Run the command line. Exit codes: 0 done, 1 something found wrong, 2 used wrongly."""
    from vaultd.cli.output import complain, outside  # noqa: PLC0415 - see above
    from vaultd.errors import ConfigurationError, VaultdError  # noqa: PLC0415 - the same

    # Measured: a tenth of a command's start is a search for garbage among modules, where there is none.
    gc.set_threshold(50_000, 20, 100)
    try:
        app()
    except VaultdError as error:
        # What the operator must mend is a text for them, not a traceback: a report of their file with several lines, or
        # one sentence, which may quote what somebody wrote into the database.
        complain(error.description if type(error) is ConfigurationError else outside(error.description))
        sys.exit(1)
