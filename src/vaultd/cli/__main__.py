"""`python -m vaultd.cli`, for where the `vaultd` script is not on the path."""

from vaultd.cli import main

main()
