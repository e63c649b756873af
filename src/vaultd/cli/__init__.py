"""The command line. Every command imports what it needs when it runs, so that `vaultd --help` is quick."""

from __future__ import annotations

import sys

from vaultd.cli.commands import app

__all__ = ["app", "main"]


def main() -> None:
    """Run the command line. Exit codes: 0 done, 1 something found wrong, 2 used wrongly."""
    from vaultd.errors import VaultdError  # noqa: PLC0415 - see above

    try:
        app()
    except VaultdError as error:
        # What the operator must mend is a text for them, not a traceback.
        sys.stderr.write(f"{error.description}\n")
        sys.exit(1)
