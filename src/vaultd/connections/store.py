"""Reading and writing connection rows. Every write compares generation and, for tokens, the lease's fence (C5, C7)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import RowMapping, Select, Uuid, cast, func, insert, or_, select, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection

from vaultd.connections import narrowed
from vaultd.connections.lease import told
from vaultd.connections.lookups import Lookups
from vaultd.connections.sealing import PURPOSE, Beside, Opened, Place, seal_connection
from vaultd.connections.table import ConnectionRow, connections_table
from vaultd.db import add_rows
from vaultd.keys.data_keys import DataKeys, data_keys_table
from vaultd.keys.envelope import Key
from vaultd.terms import ConnectionId, Scopes

_c = connections_table.c


def select_rows() -> Select[Any]:
    """All columns of connections, with the wrapped data key beside them."""
    return select(connections_table, data_keys_table.c.wrapped.label("wrapped_key")).outerjoin(
        data_keys_table, data_keys_table.c.id == _c.data_key_id
    )


async def rows_of(connection: AsyncConnection, subject_id: UUID) -> list[ConnectionRow]:
    """A subject's connections that were not disconnected, oldest first."""
    query = select_rows().where(_c.subject_id == subject_id, _c.status != "revoked").order_by(_c.created_at, _c.id)
    return [ConnectionRow.from_mapping(row) for row in (await connection.execute(query)).mappings()]


async def consents_of(connection: AsyncConnection, subject_id: UUID) -> dict[UUID, datetime]:
    """When the user last agreed to each of a subject's connections."""
    rows = await connection.execute(select(_c.id, _c.connected_at).where(_c.subject_id == subject_id))
    return {row.id: row.connected_at for row in rows}


async def get(connection: AsyncConnection, connection_id: UUID) -> ConnectionRow | None:
    """One row without a lock."""
    row = (await connection.execute(select_rows().where(_c.id == connection_id))).mappings().first()
    return ConnectionRow.from_mapping(row) if row else None


async def _locked(connection: AsyncConnection, query: Select[Any]) -> Sequence[RowMapping]:
    """The rows of a locking query, each with the data key that it has now.

    A row that changed before we held it is shown as it is now, but what is joined to it as it was before: a data key
    made meanwhile is missing. Now that the rows are held, they are read once more.
    """
    rows: Sequence[RowMapping] = (await connection.execute(query)).mappings().all()
    if any(row["data_key_id"] is not None and row["wrapped_key"] is None for row in rows):
        rows = (await connection.execute(query)).mappings().all()
    return rows


async def lock_for_revocation(connection: AsyncConnection, connection_id: UUID) -> ConnectionRow | None:
    """One row under the lock that stops every release of it until the caller commits."""
    query = select_rows().where(_c.id == connection_id).with_for_update(of=connections_table)
    rows = await _locked(connection, query)
    return ConnectionRow.from_mapping(rows[0]) if rows else None


async def lock_all_of(connection: AsyncConnection, subject_id: UUID) -> list[ConnectionRow]:
    """All rows of a subject, under the same lock, in id order as everybody takes them."""
    query = select_rows().where(_c.subject_id == subject_id).order_by(_c.id).with_for_update(of=connections_table)
    return [ConnectionRow.from_mapping(row) for row in await _locked(connection, query)]


async def lock_account(
    connection: AsyncConnection, subject_id: UUID, provider: str, account_ref: bytes
) -> ConnectionRow | None:
    """The row of one account, locked against everything."""
    query = (
        select_rows()
        .where(_c.subject_id == subject_id, _c.provider == provider, _c.account_ref == account_ref)
        .with_for_update(of=connections_table)
    )
    rows = await _locked(connection, query)
    return ConnectionRow.from_mapping(rows[0]) if rows else None


async def named(
    connection: AsyncConnection,
    providers: Collection[str],
    *,
    accounts: Collection[bytes],
    tokens: Collection[bytes],
    connected_before: datetime | None,
) -> list[tuple[UUID, UUID]]:
    """Connections that a notice names, and their subjects, in the order in which they are to be locked."""
    meant = or_(_c.account_lookup.in_(list(accounts)), _c.token_lookups.overlap(list(tokens)))
    query = select(_c.id, _c.subject_id).where(meant, _c.provider.in_(providers), _c.status == "connected")
    if connected_before is not None:
        query = query.where(_c.connected_at <= connected_before)
    rows = (await connection.execute(query.order_by(_c.subject_id, _c.id))).all()
    return [(row.id, row.subject_id) for row in rows]


async def connect(
    connection: AsyncConnection,
    data_keys: DataKeys,
    *,
    previous: ConnectionRow | None,
    subject_id: UUID,
    provider: str,
    account_ref: bytes,
    lookups: Lookups,
    granted_scopes: Scopes,
    expires_at: datetime | None,
    opened: Opened,
    now: datetime,
) -> tuple[UUID, int]:
    """Store a consent: a new row, or the next generation of the account's own. Gives its id and generation."""
    key = await data_keys.create(connection, PURPOSE)
    connection_id = previous.id if previous else uuid4()
    generation = previous.generation + 1 if previous else 1
    place = Place(connection_id, subject_id, provider, generation, 1, granted_scopes, expires_at)
    # The account is known by its own id from now on, also where the row was imported without one.
    beside = Beside(account_ref, lookups.account, lookups.tokens, previous.created_at if previous else now, now, None)
    values = _connected(key, place, beside, opened)
    if previous is None:
        identity = {"subject_id": subject_id, "provider": provider}
        await connection.execute(insert(connections_table).values(id=connection_id, **identity, **values))
        return connection_id, generation
    await connection.execute(update(connections_table).where(_c.id == connection_id).values(**values))
    await narrowed.forget(connection, connection_id)
    if previous.data_key_id is not None:
        await data_keys.erase(connection, previous.data_key_id)
    return connection_id, generation


@dataclass(frozen=True, slots=True, kw_only=True)
class New:
    """A connection that has no row yet."""

    subject_id: UUID
    provider: str
    account_ref: bytes
    lookups: Lookups
    granted_scopes: Scopes
    expires_at: datetime | None
    opened: Opened


async def connect_new(
    connection: AsyncConnection, data_keys: DataKeys, news: Sequence[New], *, now: datetime
) -> list[UUID]:
    """Store many new connections at once. Gives their ids, in order."""
    rows = []
    for new, key in zip(news, await data_keys.create_many(connection, PURPOSE, len(news)), strict=True):
        place = Place(uuid4(), new.subject_id, new.provider, 1, 1, new.granted_scopes, new.expires_at)
        identity = {"id": place.connection_id, "subject_id": new.subject_id, "provider": new.provider}
        beside = Beside(new.account_ref, new.lookups.account, new.lookups.tokens, now, now, None)
        rows.append({**identity, "lease_fence": 0, **_connected(key, place, beside, new.opened)})
    await add_rows(connection, connections_table, rows)
    return [row["id"] for row in rows]


def _found_by(lookups: Lookups) -> dict[str, Any]:
    return {"account_lookup": lookups.account, "token_lookups": list(lookups.tokens) or None}


def _renew_by(opened: Opened) -> datetime | None:
    """By when its refresh token is to be renewed: clear, since rows are found by it."""
    return None if opened.refresh_end is None else opened.refresh_end.renew_by


def _connected(key: Key, place: Place, beside: Beside, opened: Opened) -> dict[str, Any]:
    """The columns of a grant that was just given."""
    return {
        "account_ref": beside.account_ref,
        "status": "connected",
        "reason": None,
        "generation": place.generation,
        "revision": place.revision,
        "granted_scopes": str(place.granted_scopes),
        "expires_at": place.expires_at,
        "data_key_id": key.id,
        **_found_by(Lookups(beside.account_lookup, beside.token_lookups)),
        "created_at": beside.created_at,
        "connected_at": beside.connected_at,
        "refreshed_at": beside.refreshed_at,
        "renew_at": None,
        "renew_by": _renew_by(opened),
        "lease_owner": None,
        "lease_until": None,
        "intent_fence": None,
        "intent_at": None,
        "kept": None,
        "kept_until": None,
        **seal_connection(key, place, beside, opened),
    }


async def rows_of_many(
    connection: AsyncConnection, subject_ids: Collection[UUID], *, lock: bool
) -> list[tuple[bytes, ConnectionRow]]:
    """All connections of these subjects, disconnected ones too, each with its account's reference.

    With `lock` they are held until the commit: they are neither disconnected nor replaced, and go on being released.
    """
    # In the order of their ids, so that two who lock several rows do not wait for each other.
    query = select_rows().where(_c.subject_id.in_(subject_ids)).order_by(_c.id)
    if not lock:
        rows: Sequence[RowMapping] = (await connection.execute(query)).mappings().all()
    else:
        rows = await _locked(connection, query.with_for_update(of=connections_table, read=True, key_share=True))
    return [(row["account_ref"], ConnectionRow.from_mapping(row)) for row in rows]


async def hold_as_it_was(connection: AsyncConnection, row: ConnectionRow) -> bool:
    """Hold a row, not to be disconnected or replaced before the commit; false where it is another by now."""
    same = (_c.id == row.id, _c.generation == row.generation, _c.revision == row.revision, _c.status == row.status)
    query = select(_c.id).where(*same).with_for_update(read=True, key_share=True)
    return (await connection.execute(query)).first() is not None


async def hold_of_many(connection: AsyncConnection, subject_ids: Collection[UUID]) -> None:
    """Hold the connections of these subjects as `rows_of_many` does, in the order in which notices lock several."""
    query = select(_c.id).where(_c.subject_id == func.any(cast(list(subject_ids), ARRAY(Uuid))))
    await connection.execute(query.order_by(_c.subject_id, _c.id).with_for_update(read=True, key_share=True))


async def store_refreshed(
    connection: AsyncConnection,
    row: ConnectionRow,
    key: Key,
    *,
    fence: int,
    granted_scopes: Scopes,
    expires_at: datetime | None,
    opened: Opened,
    lookups: Lookups,
    replan: bool = True,
    now: datetime,
) -> bool:
    """Store refreshed tokens as the next revision, unless the lease was lost or the grant is another by now.

    `lookups` are written too: those of a row that is older than they are, or whose refresh token is another now. With
    `replan` it is worked out anew when to renew it next; a call that brought no access token leaves that as it was.
    """
    place = Place(row.id, row.subject_id, row.provider, row.generation, row.revision + 1, granted_scopes, expires_at)
    beside = Beside(row.account_ref, lookups.account, lookups.tokens, row.created_at, row.connected_at, now)
    statement = (
        update(connections_table)
        .where(_c.id == row.id, _c.generation == row.generation, _c.revision == row.revision)
        .where(_c.lease_fence == fence, _c.status == "connected")
        .values(
            revision=row.revision + 1,
            granted_scopes=str(granted_scopes),
            expires_at=expires_at,
            refreshed_at=now,
            renew_by=_renew_by(opened),
            lease_owner=None,
            lease_until=None,
            intent_fence=None,
            intent_at=None,
            **({"renew_at": None} if replan else {}),
            **_found_by(lookups),
            **seal_connection(key, place, beside, opened),
        )
        .returning(_c.id, told())
    )
    return (await connection.execute(statement)).first() is not None


async def break_connection(
    connection: AsyncConnection,
    row: ConnectionRow,
    *,
    fence: int | None,
    reason: str,
    kept: Mapping[str, Any] | None = None,
) -> bool:
    """Mark a grant dead, unless it was replaced or refreshed meanwhile.

    Its useless secrets are erased, but for what is `kept` of them, as `kept.seal_kept` has sealed it.
    """
    statement = update(connections_table).where(
        _c.id == row.id, _c.generation == row.generation, _c.revision == row.revision, _c.status == "connected"
    )
    if fence is not None:
        statement = statement.where(_c.lease_fence == fence)
    result = await connection.execute(
        statement.values(
            status="reconnect_required",
            reason=reason,
            access_token=None,
            refresh_token=None,
            lease_owner=None,
            lease_until=None,
            intent_fence=None,
            intent_at=None,
            **(kept or {}),
        ).returning(_c.id, told())
    )
    if result.first() is None:
        return False
    await narrowed.forget(connection, row.id)
    return True


async def revoke(connection: AsyncConnection, row: ConnectionRow, *, reason: str) -> None:
    """Empty a locked row: the next generation has no secrets. The caller has moved them to the outbox."""
    await connection.execute(
        update(connections_table)
        .where(_c.id == row.id)
        .values(
            status="revoked",
            reason=reason,
            generation=row.generation + 1,
            data_key_id=None,
            access_token=None,
            refresh_token=None,
            account=None,
            provider_metadata=None,
            kept=None,
            kept_until=None,
            lease_owner=None,
            lease_until=None,
            intent_fence=None,
            intent_at=None,
        )
    )
    await narrowed.forget(connection, row.id)


async def touch(connection: AsyncConnection, connection_ids: Collection[ConnectionId], today: date) -> None:
    """Note the day of the last use; at most one write a day. A row that is locked just now is left for the next use."""
    unlocked = (
        select(_c.id)
        .where(_c.id.in_(connection_ids), or_(_c.last_used_on.is_(None), _c.last_used_on < today))
        .with_for_update(key_share=True, skip_locked=True)
    )
    await connection.execute(update(connections_table).where(_c.id.in_(unlocked)).values(last_used_on=today))


async def forget_key(connection: AsyncConnection, row: ConnectionRow) -> None:
    """Take a row's reference to its data key away, so that the key can be erased."""
    await connection.execute(
        update(connections_table).where(_c.id == row.id).values(data_key_id=None, account=None, provider_metadata=None)
    )
