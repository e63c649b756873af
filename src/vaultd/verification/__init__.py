"""What `vaultd audit verify` does: hold the log against its chain, and every row against its seal and against the log.

A row that was changed, put back or taken away is named; nothing is mended.
"""

from __future__ import annotations

from vaultd.verification.recipe import Report, Verification

__all__ = ["Report", "Verification"]
