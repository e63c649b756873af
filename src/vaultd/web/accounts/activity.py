"""A user's own audit events, as the user sees them (api.md §2).

An event that says what happened to the user's accounts is shown as operators see it, why something was refused
included. Not shown is what is about the vault and not about them:

- `writer` and `seq`: events are numbered over all users, so that two of one's own would tell how much goes on for
  everybody else. For the same reason the cursor of a page is an event's id, and not its place in the log.
- `ip`: an agent's backend, a proxy, an operator or a provider was at the other end, seldom the user. It is of no use
  to them, and a map of the operator's network to whoever has their token.
- `generation` and `revision`: how often rows were written.
"""

from __future__ import annotations

from typing import Any

from vaultd.audit import read
from vaultd.audit.read import Reader
from vaultd.audit.subject_key import SubjectKey
from vaultd.db import Database
from vaultd.web.accounts.asked import PageQuery, event_cursor, event_of, reading_cursor

# What may be shown is listed, so that a member that events get later is not shown by oversight.
SHOWN = frozenset(
    {
        "id",
        "at",
        "type",
        "decision",
        "reason",
        "subject",
        "actor",
        "client_id",
        "connection",
        "connection_id",
        "account",
        "scopes",
        "requested_scopes",
        "subject_presence",
        "request_id",
        "cut",
        "private",
    }
)


async def page(database: Database, reader: Reader, subject: SubjectKey, asked: PageQuery) -> dict[str, Any]:
    """The answer's body. Raises `InvalidInput`."""
    with reading_cursor():
        behind = None if asked.cursor is None else event_of(asked.cursor)
        async with database.transaction() as connection:
            rows, last = await reader.page_of(connection, subject.subject_ref, behind=behind, limit=asked.take)
    events = [{name: value for name, value in read.render(row, subject).items() if name in SHOWN} for row in rows]
    return {"events": events} | ({"next": event_cursor(last)} if last else {})
