"""Operators' connections, offboarding and keys (api.md §4)."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from vaultd.audit.events import Draft, EventType
from vaultd.audit.log import AuditLog
from vaultd.connections import listing
from vaultd.connections.listing import Status
from vaultd.connections.sealing import data_key_of, open_account
from vaultd.connections.table import ConnectionRow
from vaultd.db import Database
from vaultd.errors import CannotOpen, InvalidRequest, NotFound
from vaultd.keys.data_keys import DataKeys
from vaultd.keys.usage import KeyUsage, usage
from vaultd.revoke import Offboard, Revoke
from vaultd.subjects.store import KnownSubject, SubjectStore
from vaultd.terms import ClientId, Subject
from vaultd.web.audit import Name
from vaultd.web.bearer import Operators
from vaultd.web.inputs import WHOLE, Cursor, path_id, query
from vaultd.web.peer import client_ip
from vaultd.web.refused import Refused
from vaultd.web.wire import NO_STORE

_GivenName = Annotated[Name, Field(min_length=1)]


class ConnectionsQuery(BaseModel):
    """What to look for. A parameter that is not known is refused: a misspelt filter must not look like "none"."""

    model_config = ConfigDict(extra="forbid")
    subject_issuer: Name | None = None
    subject: Name | None = None
    connection: Annotated[Name, Field(max_length=255)] | None = None
    status: Status | None = None
    cursor: Cursor | None = None
    limit: Annotated[int, Field(ge=1, le=1000), WHOLE] = 100


class SubjectQuery(BaseModel):
    """Whom to offboard."""

    model_config = ConfigDict(extra="forbid")
    issuer: _GivenName
    subject: _GivenName


class OperatorConnections:
    """Reads and renders connections for operators."""

    def __init__(self, *, database: Database, data_keys: DataKeys, subjects: SubjectStore) -> None:
        self._database = database
        self._data_keys = data_keys
        self._subjects = subjects

    async def page(self, asked: ConnectionsQuery) -> dict[str, Any]:
        """The answer's body. Raises `InvalidRequest`."""
        if (asked.subject_issuer is None) != (asked.subject is None):
            raise InvalidRequest("subject_issuer and subject come together.")
        known = None
        if asked.subject_issuer is not None and asked.subject is not None:
            known = await self._subjects.find(Subject(asked.subject_issuer, asked.subject))
            if known is None:
                return {"connections": []}
        wanted = listing.Query(
            subject_id=known.id if known else None,
            provider=asked.connection,
            status=asked.status,
            cursor=asked.cursor,
            limit=asked.limit,
        )
        async with self._database.transaction() as connection:
            rows, following = await listing.page(connection, wanted)
        owners = await self._subjects.by_ids({row.subject_id for row in rows})
        views = [self._view(row, owners.get(row.subject_id)) for row in rows]
        return {"connections": views} | ({"next": following} if following else {})

    def _view(self, row: ConnectionRow, owner: KnownSubject | None) -> dict[str, Any]:
        subject = owner.key.subject if owner else None
        optional = {
            "subject": {"issuer": subject.issuer, "sub": subject.sub} if subject else None,
            "account": self._label(row),
            "reason": row.reason,
            "expires_at": row.expires_at.isoformat() if row.expires_at and row.status == "connected" else None,
            "last_used_at": row.last_used_on.isoformat() + "T00:00:00Z" if row.last_used_on else None,
        }
        return {
            "id": str(row.id),
            "connection": row.provider,
            "status": row.status,
            "scopes": sorted(row.granted_scopes),
            "created_at": row.created_at.isoformat(),
            "generation": row.generation,
        } | {name: value for name, value in optional.items() if value is not None}

    def _label(self, row: ConnectionRow) -> str | None:
        try:
            return open_account(data_key_of(row, self._data_keys), row)[1]
        except CannotOpen:
            return None


def router(
    *,
    database: Database,
    operators: Operators,
    log: AuditLog,
    connections: OperatorConnections,
    revoke: Revoke,
    offboard: Offboard,
    refused: Refused,
) -> APIRouter:
    """The routes."""
    routes = APIRouter(prefix="/v1", tags=["operators"], route_class=refused.routes(EventType.OPERATOR_REFUSED))

    @routes.get("/connections", response_model=None)
    async def listed(request: Request) -> Response:
        reader = operators.caller(request, "connections:read")
        body = await connections.page(query(request, ConnectionsQuery))
        await log.record(_draft(request, reader, EventType.OPERATOR_READ, "connections"))
        return JSONResponse(body, 200, NO_STORE)

    @routes.delete("/connections/{connection_id}", status_code=204, response_model=None)
    async def disconnect(request: Request, connection_id: str) -> Response:
        operator = operators.caller(request, "connections:revoke")
        known = path_id(connection_id)
        if known is None:
            raise NotFound
        await revoke.disconnect_any(known, draft=_draft(request, operator, EventType.CONNECTION_REVOKED))
        return Response(status_code=204, headers=NO_STORE)

    @routes.delete("/subjects", status_code=204, response_model=None)
    async def erase(request: Request) -> Response:
        operator = operators.caller(request, "connections:revoke")
        asked = query(request, SubjectQuery)
        draft = _draft(request, operator, EventType.SUBJECT_ERASED)
        await offboard(Subject(asked.issuer, asked.subject), draft=draft)
        return Response(status_code=204, headers=NO_STORE)

    @routes.get("/keys", response_model=None)
    async def keys(request: Request) -> Response:
        reader = operators.caller(request, "keys:read")
        async with database.transaction() as connection:
            found = await usage(connection)
        await log.record(_draft(request, reader, EventType.OPERATOR_READ, "keys"))
        return JSONResponse({"keys": [_key_view(key) for key in found]}, 200, NO_STORE)

    return routes


def _key_view(key: KeyUsage) -> dict[str, Any]:
    view: dict[str, Any] = {
        "id": str(key.id),
        "purpose": key.purpose,
        "state": key.state,
        "created_at": key.created_at.isoformat(),
    }
    return view | ({"rows": key.rows} if key.rows is not None else {})


def _draft(request: Request, operator: ClientId, kind: EventType, reason: str | None = None) -> Draft:
    return Draft(
        type=kind, reason=reason, client_id=operator, request_id=request.state.request_id, ip=client_ip(request)
    )
