"""Operators' audit API (api.md §4)."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from vaultd.audit import read
from vaultd.audit.events import Decision, Draft, EventType
from vaultd.audit.log import AuditLog
from vaultd.audit.read import Reader
from vaultd.connections import store
from vaultd.db import Database
from vaultd.errors import InvalidRequest
from vaultd.subjects.store import SubjectStore
from vaultd.terms import Subject
from vaultd.web.bearer import Operators
from vaultd.web.inputs import WHOLE, Cursor, Id, Moment, query
from vaultd.web.peer import client_ip
from vaultd.web.refused import Refused
from vaultd.web.wire import NO_STORE

# PostgreSQL has no NUL in text: such a name would look like a failing database.
Name = Annotated[str, Field(max_length=1024, pattern=r"^[^\x00]*$")]
_NOBODY = b"\x00"


class EventsQuery(BaseModel):
    """What to look for. A parameter that is not known is refused: a misspelt filter must not look like "no events"."""

    model_config = ConfigDict(extra="forbid")
    subject_issuer: Name | None = None
    subject: Name | None = None
    client_id: Annotated[Name, Field(max_length=255)] | None = None
    connection: Annotated[Name, Field(max_length=255)] | None = None
    connection_id: Id | None = None
    type: EventType | None = None
    decision: Decision | None = None
    since: Moment | None = None
    until: Moment | None = None
    cursor: Cursor | None = None
    limit: Annotated[int, Field(ge=1, le=1000), WHOLE] = 100


def router(
    *,
    database: Database,
    reader: Reader,
    subjects: SubjectStore,
    operators: Operators,
    log: AuditLog,
    refused: Refused,
) -> APIRouter:
    """The routes."""
    routes = APIRouter(prefix="/v1/audit", tags=["audit"], route_class=refused.routes(EventType.OPERATOR_REFUSED))

    @routes.get("/events", response_model=None)
    async def events(request: Request) -> Response:
        operator = operators.caller(request, "audit:read")
        asked = query(request, EventsQuery)
        wanted = read.Query(
            subject_ref=await _subject_ref(asked.subject_issuer, asked.subject),
            connection_ref=await _connection_ref(asked.connection_id),
            client_id=asked.client_id,
            connection=asked.connection,
            type=asked.type,
            decision=asked.decision,
            since=asked.since,
            until=asked.until,
            cursor=asked.cursor,
            limit=asked.limit,
        )
        async with database.transaction() as transaction:
            rows, following = await reader.page(transaction, wanted)
        keys = await subjects.by_audit_refs({row["subject_ref"] for row in rows if row["subject_ref"]})
        # Reading other people's affairs is an event too, and is written before the answer.
        await log.record(
            Draft(
                type=EventType.OPERATOR_READ,
                reason="audit.events",
                client_id=operator,
                request_id=request.state.request_id,
                ip=client_ip(request),
            )
        )
        body: dict[str, Any] = {"events": [read.render(row, keys.get(row["subject_ref"])) for row in rows]}
        return JSONResponse(body | ({"next": following} if following else {}), 200, NO_STORE)

    async def _subject_ref(issuer: str | None, sub: str | None) -> bytes | None:
        if (issuer is None) != (sub is None):
            raise InvalidRequest("subject_issuer and subject come together.")
        if issuer is None or sub is None:
            return None
        known = await subjects.find(Subject(issuer, sub))
        return known.key.subject_ref if known else _NOBODY

    async def _connection_ref(connection_id: UUID | None) -> bytes | None:
        if connection_id is None:
            return None
        async with database.transaction() as transaction:
            row = await store.get(transaction, connection_id)
        known = await subjects.get(row.subject_id) if row else None
        return known.key.ref("connection", str(connection_id)) if known else _NOBODY

    return routes
