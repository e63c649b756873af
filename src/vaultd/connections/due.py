"""Which connections are renewed before anybody asks, found in an index whatever the table's size.

A row is worked out once for each stored token (`renew_at`), taken when it is due, and put off or set aside when it is
taken. A connection that nobody uses is set aside after its token has ended, so that it costs nothing from then on: the
next exchange renews it and brings it back.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from vaultd.connections.lease import CLOCKS, LASTS
from vaultd.connections.store import select_rows
from vaultd.connections.table import ConnectionRow, connections_table

MOST_AT_ONCE = 1_000
"""Rows that are worked out in one go."""
MOST_COUNTED = 10_000
"""Where counting a backlog ends: beyond that only its being long matters."""

# Since when the refresh token has not been used; at half its idle limit it is, which leaves as much for an outage, and
# so it is at half of the life that was told of it (`renew_by`). A token of a short life is renewed within its last
# quarter, or it would be due again at once. LEAST passes over NULL.
_WORKED_OUT = """least(
    CASE WHEN cast(:ahead AS interval) > interval '0'
        THEN c.expires_at - least(cast(:ahead AS interval),
            greatest(c.expires_at - coalesce(c.refreshed_at, c.connected_at), interval '0') / 4)
    END,
    coalesce(c.refreshed_at, c.connected_at) + w.idle / 2,
    c.renew_by,
    timestamptz 'infinity')"""
_NOW = "cast(:now AS timestamptz)"
_RENEWABLE = "c.status = 'connected' AND c.refresh_token IS NOT NULL"
_WANTED = """SELECT * FROM unnest(cast(:names AS text[]), cast(:places AS int[]), cast(:idles AS interval[]))
    AS w (provider, places, idle)"""


def _work_out(only: str = "") -> str:
    return f"""WITH w AS ({_WANTED}), fresh AS (
        SELECT c.id FROM connections c
        WHERE c.provider = ANY (cast(:names AS text[])) AND c.renew_at IS NULL AND {_RENEWABLE}{only}
        LIMIT {MOST_AT_ONCE} FOR NO KEY UPDATE SKIP LOCKED)
    UPDATE connections c SET renew_at = {_WORKED_OUT}
    FROM fresh, w WHERE c.id = fresh.id AND w.provider = c.provider"""  # noqa: S608 - constants of this file


WORK_OUT = text(_work_out())
_WORK_OUT_TOLD = text(_work_out(" AND c.renew_by IS NOT NULL"))
"""Where nothing else is renewed ahead. The others are left as they are, for the day on which that is wanted."""

# A key share lock of an exchange does not conflict with these; another replica's are skipped. Who is taken is put off
# for a minute, or half of the time for which it has been due already: so tries become rarer, and a process that dies
# with them leaves them to the others. `used` decides whether it is renewed or set aside. A vault that renews nothing
# ahead leaves alone what is due by the plan of one beside it.
TAKE = text(
    f"""WITH w AS ({_WANTED}), due AS (
        SELECT d.id FROM w CROSS JOIN LATERAL (
            SELECT c.id FROM connections c
            WHERE c.provider = w.provider AND {_RENEWABLE} AND c.renew_at <= {_NOW}
                AND (cast(:ahead AS interval) > interval '0' OR w.idle IS NOT NULL OR c.renew_by IS NOT NULL)
                AND (c.lease_until IS NULL OR c.lease_until < now()
                    OR c.lease_until > clock_timestamp() + cast(:lease AS interval))
            ORDER BY c.renew_at LIMIT w.places FOR NO KEY UPDATE SKIP LOCKED) d),
    judged AS (
        SELECT c.id, {_WORKED_OUT} AS planned,
            least(coalesce(c.refreshed_at, c.connected_at) + w.idle / 2, c.renew_by) AS idle_at,
            coalesce(c.last_used_on, cast(c.connected_at AS date)) >= cast(:used_since AS date) AS used
        FROM due JOIN connections c ON c.id = due.id JOIN w ON w.provider = c.provider)
    UPDATE connections c SET renew_at = CASE
        WHEN j.planned > {_NOW} THEN j.planned
        WHEN j.used OR j.idle_at <= {_NOW} THEN
            {_NOW} + (0.5 + random())
                * least(greatest(interval '1 minute', ({_NOW} - j.planned) / 2), interval '6 hours')
        ELSE coalesce(j.idle_at, timestamptz 'infinity') END
    FROM judged j WHERE c.id = j.id
    RETURNING c.id, j.planned <= {_NOW} AND (j.used OR j.idle_at <= {_NOW}) IS TRUE AS renew"""  # noqa: S608 - the same
)

_BACK = text(
    """UPDATE connections c SET renew_at = NULL
    WHERE c.provider = ANY (cast(:names AS text[])) AND c.renew_at = timestamptz 'infinity'
        AND c.status = 'connected' AND c.refresh_token IS NOT NULL"""
)

_BACKLOG = text(
    f"""SELECT w.provider, (SELECT count(*) FROM (
        SELECT FROM connections c WHERE c.provider = w.provider AND {_RENEWABLE} AND c.renew_at <= {_NOW}
        LIMIT {MOST_COUNTED}) due) AS waiting
    FROM unnest(cast(:names AS text[])) AS w (provider)"""  # noqa: S608 - the same
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """`ahead` is the time before a token's end, zero for never; `idle` the limits of providers that have one."""

    ahead: timedelta
    idle: Mapping[str, timedelta]


async def take_due(
    connection: AsyncConnection, rules: Rules, places: Mapping[str, int], *, used_since: date, now: datetime
) -> list[ConnectionRow]:
    """Take what is due, at most as many of each provider as there are places; nobody else takes it for a while."""
    names = sorted(places)
    values = {
        "names": names,
        "places": [places[name] for name in names],
        "idles": [rules.idle.get(name) for name in names],
        "ahead": rules.ahead,
        "lease": LASTS + CLOCKS,
    }
    await connection.execute(WORK_OUT if rules.ahead or rules.idle else _WORK_OUT_TOLD, values)
    taken = (await connection.execute(TAKE, {**values, "used_since": used_since, "now": now})).all()
    ids = [row.id for row in taken if row.renew]
    if not ids:
        return []
    rows = await connection.execute(select_rows().where(connections_table.c.id.in_(ids)))
    return [ConnectionRow.from_mapping(row) for row in rows.mappings()]


async def bring_back(connection: AsyncConnection, providers: Collection[str]) -> None:
    """Have those that were set aside at these providers worked out anew, since an idle limit may be new."""
    await connection.execute(_BACK, {"names": sorted(providers)})


async def backlog(connection: AsyncConnection, providers: Collection[str], *, now: datetime) -> dict[str, int]:
    """How many are due at each provider and not taken yet, up to `MOST_COUNTED`."""
    rows = (await connection.execute(_BACKLOG, {"names": sorted(providers), "now": now})).all()
    return {row.provider: row.waiting for row in rows}
