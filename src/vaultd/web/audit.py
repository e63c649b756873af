"""Operators' audit API (api.md §4)."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response

from vaultd.audit import read
from vaultd.audit.events import Draft, EventType
from vaultd.audit.log import AuditLog
from vaultd.connections import store
from vaultd.db import Database
from vaultd.errors import InvalidRequest
from vaultd.subjects.store import SubjectStore
from vaultd.terms import Subject
from vaultd.web.bearer import Operators
from vaultd.web.peer import client_ip
from vaultd.web.wire import NO_STORE

Name = Annotated[str | None, Query(max_length=2048, pattern=r"^[^\x00]*$")]
_NOBODY = b"\x00"


def router(*, database: Database, subjects: SubjectStore, operators: Operators, log: AuditLog) -> APIRouter:
    """The routes."""
    routes = APIRouter(prefix="/v1/audit", tags=["audit"])

    @routes.get("/events", response_model=None)
    async def events(
        request: Request,
        subject_issuer: Name = None,
        subject: Name = None,
        client_id: Name = None,
        connection: Name = None,
        connection_id: UUID | None = None,
        type_: Annotated[str | None, Query(alias="type", max_length=64, pattern=r"^[a-z_.]*$")] = None,
        decision: Annotated[str | None, Query(pattern=r"^(allowed|refused)$")] = None,
        since: datetime | None = None,
        until: datetime | None = None,
        cursor: Name = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> Response:
        reader = operators.caller(request, "audit:read")
        for moment in (since, until):
            if moment is not None and moment.tzinfo is None:
                raise InvalidRequest("since and until need a zone (RFC 3339).")
        query = read.Query(
            subject_ref=await _subject_ref(subject_issuer, subject),
            connection_ref=await _connection_ref(connection_id),
            client_id=client_id,
            connection=connection,
            type=type_,
            decision=decision,
            since=since,
            until=until,
            cursor=cursor,
            limit=limit,
        )
        async with database.transaction() as transaction:
            rows, following = await read.page(transaction, query)
        keys = await subjects.by_audit_refs({row["subject_ref"] for row in rows if row["subject_ref"]})
        # Reading other people's affairs is an event too, and is written before the answer.
        await log.record(
            Draft(
                type=EventType.OPERATOR_READ,
                reason="audit.events",
                client_id=reader,
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
