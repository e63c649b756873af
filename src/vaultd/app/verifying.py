"""`vaultd audit verify`, wired."""

from __future__ import annotations

from vaultd.db import Database
from vaultd.keys.data_keys import DataKeys
from vaultd.keys.keyring import Keyring
from vaultd.subjects.store import SubjectStore
from vaultd.terms import system_clock
from vaultd.verification import Verification


def verification_of(database: Database, keyring: Keyring) -> Verification:
    """The check of one database."""
    data_keys = DataKeys(keyring)
    subjects = SubjectStore(database=database, keyring=keyring, data_keys=data_keys, clock=system_clock)
    return Verification(database=database, keyring=keyring, data_keys=data_keys, subjects=subjects)
