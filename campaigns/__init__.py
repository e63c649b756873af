"""Long reliability runs with figures: each a command that prints them, and ends with 1 when a bound is broken.

They run the sandbox, and vault processes as an operator starts them; nothing in `vaultd` knows of them. Small versions
of each are among the tests. docs/campaigns.md says what each one shows.
"""
