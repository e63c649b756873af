"""Whether remembered subjects were erased meanwhile, asked before an event is written under their keys (E6)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import asyncpg

# Not waited for: who holds a subject alone may be waiting for rows that we hold.
_HOLD = "SELECT audit_ref FROM subjects WHERE audit_ref = ANY($1::bytea[]) FOR KEY SHARE SKIP LOCKED"
_EXIST = "SELECT audit_ref FROM subjects WHERE audit_ref = ANY($1::bytea[])"


@dataclass(frozen=True, slots=True)
class Presence:
    """The others are held until the transaction ends."""

    locked: frozenset[bytes]
    """Held alone by another transaction, which may be erasing them."""
    erased: frozenset[bytes]


NOBODY_ASKED = Presence(frozenset(), frozenset())


async def hold_present(driver: asyncpg.Connection, subject_refs: Collection[bytes]) -> Presence:
    """Keep these subjects from being erased, as far as they are there and nobody else holds them."""
    if not subject_refs:
        return NOBODY_ASKED
    wanted = frozenset(subject_refs)
    missing = wanted - {record["audit_ref"] for record in await driver.fetch(_HOLD, list(wanted))}
    if not missing:
        return NOBODY_ASKED
    locked = frozenset(record["audit_ref"] for record in await driver.fetch(_EXIST, list(missing)))
    return Presence(locked, missing - locked)
