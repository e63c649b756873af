"""The user's accounts: `/me/v1/connected-accounts` (api.md §2)."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from vaultd.audit import read
from vaultd.audit.events import Draft, EventType
from vaultd.clients.registry import Client
from vaultd.connect import Connect, Wish
from vaultd.connections import store
from vaultd.connections.sealing import data_key_of, open_account
from vaultd.connections.table import ConnectionRow
from vaultd.db import Database
from vaultd.errors import CannotOpen, InvalidRequest, InvalidTarget, NotFound
from vaultd.keys.data_keys import DataKeys
from vaultd.providers.registry import Providers
from vaultd.revoke import Revoke
from vaultd.terms import Scopes
from vaultd.web.bearer import Caller, Users
from vaultd.web.inputs import WHOLE, Cursor, json_body, path_id, query
from vaultd.web.peer import client_ip
from vaultd.web.wire import NO_STORE

PREFIX = "/me/v1/connected-accounts"
Skip = Annotated[int, Field(alias="from", ge=0, le=1_000_000), WHOLE]
Take = Annotated[int, Field(ge=1, le=100), WHOLE]
Text = Annotated[str, Field(min_length=1, max_length=2048)]


class ConnectBody(BaseModel):
    """What an app asks for."""

    model_config = ConfigDict(extra="ignore")
    connection: Text
    redirect_uri: Text
    state: Text | None = None
    scopes: list[Text] | None = None
    code_challenge: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{43}$")] | None = None
    code_challenge_method: Literal["S256"] | None = None
    authorization_params: dict[str, Text] | None = None


class CompleteBody(BaseModel):
    """What the browser brought back to the app."""

    model_config = ConfigDict(extra="ignore")
    auth_session: Text
    connect_code: Text
    redirect_uri: Text
    # RFC 7636 §4.1
    code_verifier: Annotated[str, Field(pattern=r"^[A-Za-z0-9._~-]{43,128}$")] | None = None


class PageQuery(BaseModel):
    """Which part of a list. Parameters that later versions may know are ignored."""

    model_config = ConfigDict(extra="ignore")
    skip: Skip = 0
    take: Take = 50


class AccountsQuery(PageQuery):
    """The same, of one connection."""

    connection: Annotated[str, Field(max_length=255)] | None = None


class ActivityQuery(BaseModel):
    """Which part of the user's own events; `from` is what the page before gave as `next`."""

    model_config = ConfigDict(extra="ignore")
    cursor: Annotated[Cursor | None, Field(alias="from")] = None
    take: Take = 50


class Accounts:
    """Renders connections for their owner."""

    def __init__(self, *, database: Database, data_keys: DataKeys) -> None:
        self._database = database
        self._data_keys = data_keys

    async def of(self, subject_id: UUID) -> list[dict[str, Any]]:
        """All of a user's accounts, oldest first."""
        async with self._database.transaction() as connection:
            rows = await store.rows_of(connection, subject_id)
        return [self._view(row) for row in rows]

    async def one(self, connection_id: UUID) -> ConnectionRow:
        """One row that is known to be there."""
        async with self._database.transaction() as connection:
            row = await store.get(connection, connection_id)
        if row is None:
            raise NotFound
        return row

    def _view(self, row: ConnectionRow) -> dict[str, Any]:
        try:
            label = open_account(data_key_of(row, self._data_keys), row)[1]
        except CannotOpen:
            label = ""
        used = row.last_used_on.isoformat() + "T00:00:00Z" if row.last_used_on else None
        return view_of(row) | {"status": row.status, "account": label} | ({"last_used_at": used} if used else {})


def view_of(row: ConnectionRow) -> dict[str, Any]:
    """The members that every view of a connection has."""
    view = {
        "id": str(row.id),
        "connection": row.provider,
        "access_type": "offline",
        "scopes": sorted(row.granted_scopes),
        "created_at": row.created_at.isoformat(),
    }
    return view | ({"expires_at": row.expires_at.isoformat()} if row.expires_at else {})


def router(
    *,
    public_url: str,
    users: Users,
    accounts: Accounts,
    connect: Connect,
    revoke: Revoke,
    providers: Providers,
    database: Database,
) -> APIRouter:
    """The routes of the accounts API."""
    routes = APIRouter(prefix=PREFIX, tags=["connected accounts"])

    @routes.post("/connect", status_code=201, response_model=None)
    async def begin(request: Request) -> Response:
        caller = await users.caller(request, "create")
        body = await json_body(request, ConnectBody)
        client = _client_of(caller)
        if body.redirect_uri not in client.config.redirect_uris:
            raise InvalidRequest("redirect_uri is not one of the client's.")
        wish = Wish(
            client=client,
            provider=body.connection,
            redirect_uri=body.redirect_uri,
            scopes=Scopes(body.scopes) if body.scopes else None,
            state=body.state,
            code_challenge=body.code_challenge,
            params=body.authorization_params,
        )
        begun = await connect.begin(caller.subject, wish)
        answer = {
            "auth_session": begun.auth_session,
            "connect_uri": f"{public_url}/auth/connect",
            "connect_params": {"ticket": begun.ticket},
            "expires_in": begun.expires_in,
        }
        return JSONResponse(answer, 201, NO_STORE)

    @routes.post("/complete", status_code=201, response_model=None)
    async def complete(request: Request) -> Response:
        caller = await users.caller(request, "create")
        body = await json_body(request, CompleteBody)
        connection_id = await connect.complete(
            caller.subject,
            auth_session=body.auth_session,
            connect_code=body.connect_code,
            redirect_uri=body.redirect_uri,
            code_verifier=body.code_verifier,
            draft=_draft(request, caller),
        )
        return JSONResponse(view_of(await accounts.one(connection_id)), 201, NO_STORE)

    @routes.get("/accounts", response_model=None)
    async def listed(request: Request) -> Response:
        caller = await users.caller(request, "read")
        asked = query(request, AccountsQuery)
        views = [v for v in await accounts.of(caller.subject.id) if asked.connection in (None, v["connection"])]
        body = _page(asked, "accounts", views)
        etag = '"' + hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:32] + '"'
        headers = {"etag": etag, "cache-control": "private, no-cache"}
        # RFC 9110 §13.1.2: compared weakly; a star is whatever there is
        wanted = {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}
        if wanted & {etag, "*"}:
            return Response(status_code=304, headers=headers)
        return JSONResponse(body, 200, headers)

    @routes.delete("/accounts/{account_id}", status_code=204, response_model=None)
    async def disconnect(request: Request, account_id: str) -> Response:
        caller = await users.caller(request, "delete")
        connection_id = path_id(account_id)
        if connection_id is None:
            raise NotFound
        draft = _draft(request, caller)
        await revoke.disconnect(subject_id=caller.subject.id, connection_id=connection_id, draft=draft)
        return Response(status_code=204, headers=NO_STORE)

    @routes.get("/connections", response_model=None)
    async def available(request: Request) -> Response:
        caller = await users.caller(request, "read")
        asked = query(request, PageQuery)
        allowed = caller.client.config.providers if caller.client else {}
        entries = [
            {"name": provider.name, "strategy": provider.name, "scopes": sorted(allowed[provider.name].scopes)}
            for provider in providers.all()
            if provider.name in allowed
        ]
        return JSONResponse(_page(asked, "connections", entries), 200, NO_STORE)

    @routes.get("/activity", response_model=None)
    async def activity(request: Request) -> Response:
        caller = await users.caller(request, "read")
        asked = query(request, ActivityQuery)
        wanted = read.Query(subject_ref=caller.subject.key.subject_ref, cursor=asked.cursor, limit=asked.take)
        async with database.transaction() as connection:
            rows, following = await read.page(connection, wanted)
        body: dict[str, Any] = {"events": [read.render(row, caller.subject.key) for row in rows]}
        return JSONResponse(body | ({"next": following} if following else {}), 200, NO_STORE)

    return routes


def _page(asked: PageQuery, name: str, entries: list[dict[str, Any]]) -> dict[str, Any]:
    end = asked.skip + asked.take
    page: dict[str, Any] = {name: entries[asked.skip : end]}
    return page | ({"next": str(end)} if len(entries) > end else {})


def _client_of(caller: Caller) -> Client:
    if caller.client is None:
        raise InvalidTarget
    return caller.client


def _draft(request: Request, caller: Caller) -> Draft:
    return Draft(
        type=EventType.CONNECTION_CONNECTED,
        client_id=caller.client.id if caller.client else None,
        subject=caller.subject.key,
        request_id=request.state.request_id,
        ip=client_ip(request),
    )
