"""Connection rows for the release counter: one statement over the driver's own connection, for a whole batch."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import asyncpg

from vaultd.connections.table import ConnectionRow
from vaultd.terms import ProviderName, SubjectId

Pair = tuple[SubjectId, ProviderName]

# A key share lock: storing refreshed tokens does not conflict with it, revocation does. In id order, so that two
# batches never wait for each other. A row that is being revoked or renewed is skipped, and the count tells.
_LOCK = """
SELECT c.id, c.subject_id, c.provider, c.account_ref, c.account_lookup, c.token_lookups, c.status, c.reason,
    c.generation, c.revision, c.granted_scopes, c.expires_at, c.data_key_id, k.wrapped AS wrapped_key, c.access_token,
    c.refresh_token, c.account, c.metadata AS provider_metadata, c.created_at, c.connected_at, c.refreshed_at,
    c.last_used_on, c.lease_fence, c.lease_until, c.intent_fence, c.format, c.kept, c.kept_until,
    (SELECT count(*) FROM connections t WHERE t.subject_id = c.subject_id AND t.provider = c.provider) AS siblings
FROM unnest($1::uuid[], $2::text[]) AS wanted (subject_id, provider)
JOIN connections c ON c.subject_id = wanted.subject_id AND c.provider = wanted.provider
LEFT JOIN data_keys k ON k.id = c.data_key_id
ORDER BY c.id
FOR KEY SHARE OF c SKIP LOCKED
"""
_EXIST = """
SELECT DISTINCT c.subject_id, c.provider
FROM unnest($1::uuid[], $2::text[]) AS wanted (subject_id, provider)
JOIN connections c ON c.subject_id = wanted.subject_id AND c.provider = wanted.provider
"""


class Locked:
    """The rows of a batch, held until its transaction ends."""

    def __init__(self, found: dict[Pair, list[ConnectionRow]], hidden: Collection[Pair]) -> None:
        self._found = found
        self._hidden = hidden

    def rows_of(self, pair: Pair) -> list[ConnectionRow] | None:
        """The rows of a subject at a provider; None where another holds one of them."""
        return None if pair in self._hidden else self._found.get(pair, [])


async def lock_for_release(driver: asyncpg.Connection, wanted: Collection[Pair]) -> Locked:
    """Lock the rows of these subjects at these providers, as far as nobody else holds them."""
    pairs = list(wanted)
    columns = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    records = await driver.fetch(_LOCK, *columns)
    if any(record["data_key_id"] is not None and record["wrapped_key"] is None for record in records):
        # A row that changed before we held it is shown as it is now, but what is joined to it as it was before: a data
        # key made meanwhile is missing. Now that the rows are held, they are read once more.
        records = await driver.fetch(_LOCK, *columns)
    found: dict[Pair, list[ConnectionRow]] = {}
    siblings: dict[Pair, int] = {}
    for record in records:
        row = _row(record)
        pair = row.subject_id, row.provider
        found.setdefault(pair, []).append(row)
        siblings[pair] = record["siblings"]
    hidden = {pair for pair, rows in found.items() if len(rows) != siblings[pair]}
    if len(found) < len(pairs):
        hidden |= await _exist(driver, [pair for pair in pairs if pair not in found])
    return Locked(found, hidden)


async def _exist(driver: asyncpg.Connection, pairs: list[Pair]) -> set[Pair]:
    records = await driver.fetch(_EXIST, [pair[0] for pair in pairs], [pair[1] for pair in pairs])
    return {(record["subject_id"], record["provider"]) for record in records}


def _row(record: Any) -> ConnectionRow:
    return ConnectionRow.from_mapping(record)
