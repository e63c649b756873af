"""The outbox of tokens still to be revoked at their provider; a row is erased when that is done or impossible (C7)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import delete, func, insert, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from vaultd.connections.sealing import PURPOSE
from vaultd.connections.table import revocations_table
from vaultd.errors import CannotOpen
from vaultd.keys.data_keys import DataKeys
from vaultd.keys.envelope import Key, Sealed, bind, open_sealed, seal
from vaultd.terms import Secret

MOST_COUNTED = 10_000
LONGEST_WAIT = timedelta(hours=24)
"""No row waits longer for its next try: a later one was put there by somebody else, and is due at once."""
_MOST_ATTEMPTS = 1_000
"""Where counting them ends, so that no number that was put there makes the next one impossible."""

_r = revocations_table.c
_HELD = text("SELECT id FROM subjects WHERE id = :subject_id FOR KEY SHARE")


@dataclass(frozen=True, slots=True)
class Revocation:
    """Tokens to be revoked, in the clear for the time of the call. Without an access token they do not open."""

    id: UUID
    provider: str
    subject_id: UUID | None
    data_key_id: UUID
    attempts: int
    created_at: datetime
    access_token: Secret | None
    refresh_token: Secret | None
    metadata: Mapping[str, Any]
    account_id: str | None = None


async def put(
    connection: AsyncConnection,
    *,
    provider: str,
    subject_id: UUID | None,
    key: Key,
    access_token: Secret,
    refresh_token: Secret | None,
    metadata: Mapping[str, Any],
    account_id: str | None,
    now: datetime,
) -> UUID:
    """Keep tokens, sealed, until they are revoked at the provider. The row owns `key` from now on.

    `metadata` is their connection's: it may be needed to know where the provider is. `account_id` is whose tokens they
    are there, None where nobody knows: by it others are found who live on the grant.
    """
    revocation_id = uuid4()
    if subject_id is not None:
        # Tokens that come in after their subject was erased are revoked all the same, and are nobody's then (E6).
        subject_id = (await connection.execute(_HELD, {"subject_id": subject_id})).scalar_one_or_none()
    # Whose they were and since when they wait is sealed: the columns of those names are not believed.
    tokens: dict[str, Any] = {
        "access_token": access_token.reveal(),
        "metadata": dict(metadata),
        "subject_id": None if subject_id is None else str(subject_id),
        "created_at": now.isoformat(),
    }
    if account_id is not None:
        tokens["account_id"] = account_id
    if refresh_token is not None:
        tokens["refresh_token"] = refresh_token.reveal()
    await connection.execute(
        insert(revocations_table).values(
            id=revocation_id,
            provider=provider,
            subject_id=subject_id,
            data_key_id=key.id,
            sealed=seal(key, json.dumps(tokens).encode(), bound=_place(revocation_id, provider)).blob,
            attempts=0,
            next_try_at=now,
            created_at=now,
        )
    )
    return revocation_id


async def claim(
    connection: AsyncConnection,
    data_keys: DataKeys,
    *,
    now: datetime,
    busy_for: timedelta,
    limit: int = 20,
    without: Collection[str] = (),
) -> list[Revocation]:
    """Take due rows and hide them from other workers for `busy_for`, so that no row is held during a call.

    Those of the providers `without` are left alone.
    """
    due = (
        select(_r.id)
        .where(or_(_r.next_try_at <= now, _r.next_try_at > now + LONGEST_WAIT), _r.provider.not_in(list(without)))
        .order_by(_r.next_try_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    statement = (
        update(revocations_table)
        .where(_r.id.in_(due))
        .values(attempts=func.least(func.greatest(_r.attempts, 0), _MOST_ATTEMPTS) + 1, next_try_at=now + busy_for)
        .returning(_r.id, _r.provider, _r.subject_id, _r.data_key_id, _r.attempts, _r.created_at, _r.sealed)
    )
    return [await _opened(connection, data_keys, row) for row in (await connection.execute(statement)).all()]


async def everything(connection: AsyncConnection, data_keys: DataKeys) -> AsyncIterator[Revocation]:
    """All rows, one after the other, none of them taken."""
    for row in (await connection.execute(select(revocations_table).order_by(_r.id))).all():
        yield await _opened(connection, data_keys, row)


async def _opened(connection: AsyncConnection, data_keys: DataKeys, row: Any) -> Revocation:
    access, refresh, account_id, metadata = None, None, None, {}
    subject_id, created_at = row.subject_id, row.created_at
    try:
        key = await data_keys.load(connection, row.data_key_id, PURPOSE)
        tokens = json.loads(open_sealed(key, Sealed(row.sealed), bound=_place(row.id, row.provider)))
        access = Secret(tokens["access_token"])
        refresh = Secret(tokens["refresh_token"]) if "refresh_token" in tokens else None
        # Rows that were put here before metadata was kept have none.
        metadata = tokens.get("metadata", {})
        # Nor have older rows these.
        if "created_at" in tokens:
            subject_id = UUID(tokens["subject_id"]) if tokens["subject_id"] else None
            created_at = datetime.fromisoformat(tokens["created_at"])
        account_id = tokens.get("account_id")
    except CannotOpen:
        # One altered row must not keep the others from being revoked.
        pass
    return Revocation(
        row.id,
        row.provider,
        subject_id,
        row.data_key_id,
        row.attempts,
        created_at,
        access,
        refresh,
        metadata,
        account_id,
    )


async def postpone(connection: AsyncConnection, revocation_id: UUID, *, now: datetime, wait: timedelta) -> None:
    """Try again later, within `LONGEST_WAIT` at the latest."""
    until = now + min(wait, LONGEST_WAIT)
    await connection.execute(update(revocations_table).where(_r.id == revocation_id).values(next_try_at=until))


async def waiting(connection: AsyncConnection) -> int:
    """How many rows there are, up to `MOST_COUNTED`: beyond that only its being long matters."""
    some = select(_r.id).limit(MOST_COUNTED).subquery()
    return (await connection.execute(select(func.count()).select_from(some))).scalar_one()


async def finish(connection: AsyncConnection, data_keys: DataKeys, revocation: Revocation) -> None:
    """Erase the row and the key of its tokens."""
    await connection.execute(delete(revocations_table).where(_r.id == revocation.id))
    await data_keys.erase(connection, revocation.data_key_id)


def _place(revocation_id: UUID, provider: str) -> bytes:
    return bind("revocation", 1, revocation_id, provider)
