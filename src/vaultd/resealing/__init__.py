"""Sealing the rows of an older release anew, so that nothing clear decides whose, where or until when.

`vaultd migrate` does it behind the migrations: in batches, each a transaction of its own, so that it can be stopped and
started again. Processes of the older release are stopped before. While it runs, this release reads connections in both
formats. When the last one is sealed anew, a constraint says
so, and from then on the database takes no row of the old format.
"""

from __future__ import annotations

from vaultd.resealing.recipe import Resealing, Tell

__all__ = ["Resealing", "Tell"]
