"""Whether this vault wrote an event: in its place in a chain that nobody can write without the chain key."""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from vaultd.audit.lane import columns_of, link
from vaultd.errors import CannotOpen
from vaultd.keys.keyring import Keyring

# A row may hold anything that its writer chose: whatever is wrong with its bytes is the same finding.
_NO_EVENT = (ValueError, KeyError, TypeError, AttributeError, RecursionError)


def doubts_about(row: Mapping[str, Any], keyring: Keyring, previous: bytes) -> list[str]:
    """What speaks against an event that follows the mac `previous`; nothing for a genuine one. Never raises."""
    try:
        chain_key = keyring.get(UUID(json.loads(row["bytes"])["key"]), "chain")
        derived = columns_of(row["bytes"])
    except _NO_EVENT:
        return ["its bytes are no event"]
    except CannotOpen:
        return ["it names a chain key that is not in the keyring"]
    doubts = []
    if not hmac.compare_digest(link(chain_key, previous, row["bytes"]), row["mac"]):
        doubts.append("it was altered, or does not follow the event before it")
    doubts += [f"column {name} differs from its bytes" for name, value in derived.items() if row[name] != value]
    return doubts
