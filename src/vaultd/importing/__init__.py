"""Bringing in the tokens that an app has kept so far: all of them, or none.

1. Every line of the file is read and checked (`line`), against the lines before it (`claims`) and against what the
   vault holds. What is wrong is collected; a line that is right is sealed into a temporary file under a key that only
   this process has (`spool`). So what is stored is what was checked, standard input will do, and memory holds a few
   hundred lines at a time, beside a fingerprint for each.
2. If nothing was wrong, all lines are stored in one transaction with an event each (`recipe`). One, and not a staging
   table that is made visible at the end: every reader of connections would have to know of the staging, and its
   rows would be sealed tokens that belong to no connection, to be swept after a crash. PostgreSQL forgets an
   unfinished transaction by itself. Its price: a user who signs in for the very first time while their row is being
   imported waits for its end.
3. If asked for, each refresh token is tried afterwards (`trial`), not before: to try a rotating refresh token is to
   spend it, and the new one must have a place to be stored in before the provider hands it out. The trial is the
   ordinary refresh with its lease and its intent (`refresh`), so a crash in it loses no more than one in service does.
"""

from __future__ import annotations

from vaultd.importing.line import Mistake
from vaultd.importing.recipe import Checked, Importer, Stage
from vaultd.importing.trial import Trial, Verdict

__all__ = ["Checked", "Importer", "Mistake", "Stage", "Trial", "Verdict"]
