"""The calls of the accounts API."""

from __future__ import annotations

from operator import attrgetter
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from vaultd.audit.events import Draft, EventType
from vaultd.audit.read import Reader
from vaultd.clients.registry import Client
from vaultd.connect import Connect, Wish
from vaultd.db import Database
from vaultd.errors import InvalidInput, InvalidTarget, Mistake, NotFound
from vaultd.providers.registry import Providers
from vaultd.revoke import Revoke
from vaultd.sizes import PAGE
from vaultd.terms import Scopes
from vaultd.web.accounts import activity
from vaultd.web.accounts.asked import (
    PREFIX,
    AccountsQuery,
    CompleteBody,
    ConnectBody,
    PageQuery,
    name_cursor,
    name_of,
    reading_cursor,
)
from vaultd.web.accounts.shown import Accounts
from vaultd.web.accounts.tags import tagged
from vaultd.web.bearer import Caller, Users
from vaultd.web.inputs import json_body, path_id, query
from vaultd.web.peer import client_ip
from vaultd.web.refused import Refused
from vaultd.web.standing import standing
from vaultd.web.wire import NO_STORE, READ


def router(
    *,
    public_url: str,
    users: Users,
    accounts: Accounts,
    connect: Connect,
    revoke: Revoke,
    providers: Providers,
    database: Database,
    reader: Reader,
    refused: Refused,
) -> APIRouter:
    """The routes."""
    recorded = refused.routes(EventType.ACCOUNT_REFUSED)
    routes = APIRouter(prefix=PREFIX, tags=["connected accounts"], route_class=recorded)
    _add_changes(routes, public_url=public_url, users=users, accounts=accounts, connect=connect, revoke=revoke)
    _add_lists(routes, users=users, accounts=accounts, providers=providers, database=database, reader=reader)
    return routes


def _add_changes(
    routes: APIRouter, *, public_url: str, users: Users, accounts: Accounts, connect: Connect, revoke: Revoke
) -> None:
    @routes.post("/connect", status_code=201, response_model=None)
    async def begin(request: Request) -> Response:
        caller = await users.caller(request, "create")
        client, body = _client_of(caller), await json_body(request, ConnectBody)
        if body.connection in client.config.providers:
            standing(request).connection = body.connection
        wish = _wish(client, body)
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
        return JSONResponse(await accounts.made(connection_id), 201, NO_STORE)

    @routes.delete("/accounts/{account_id}", status_code=204, response_model=None)
    async def disconnect(request: Request, account_id: str) -> Response:
        connection_id = standing(request).unverified_account = path_id(account_id)
        caller = await users.caller(request, "delete")
        if connection_id is None:
            raise NotFound
        draft = _draft(request, caller)
        await revoke.disconnect(subject_id=caller.subject.id, connection_id=connection_id, draft=draft)
        return Response(status_code=204, headers=NO_STORE)


def _add_lists(
    routes: APIRouter,
    *,
    users: Users,
    accounts: Accounts,
    providers: Providers,
    database: Database,
    reader: Reader,
) -> None:
    @routes.api_route("/accounts", methods=READ, response_model=None)
    async def listed(request: Request) -> Response:
        caller = await users.caller(request, "read")
        asked = query(request, AccountsQuery)
        with reading_cursor():
            views, following = await accounts.page(
                caller.subject.id, provider=asked.connection, cursor=asked.cursor, take=asked.take
            )
        return tagged(request, _page("accounts", views, following), owner=caller.subject.id)

    @routes.api_route("/connections", methods=READ, response_model=None)
    async def available(request: Request) -> Response:
        caller = await users.caller(request, "read")
        return JSONResponse(_available(providers, caller.client, query(request, PageQuery)), 200, NO_STORE)

    @routes.api_route("/activity", methods=READ, response_model=None)
    async def happened(request: Request) -> Response:
        caller = await users.caller(request, "read")
        body = await activity.page(database, reader, caller.subject.key, query(request, PageQuery))
        return JSONResponse(body, 200, NO_STORE)


def _wish(client: Client, body: ConnectBody) -> Wish:
    # Exact, character by character (B4).
    if body.redirect_uri not in client.config.redirect_uris:
        mistake = Mistake("This is not one of the client's redirect_uris.", "body", ("redirect_uri",))
        raise InvalidInput((mistake,), reason="redirect_uri")
    return Wish(
        client=client,
        provider=body.connection,
        redirect_uri=body.redirect_uri,
        scopes=Scopes(body.scopes) if body.scopes else None,
        state=body.state,
        code_challenge=body.code_challenge,
        params=body.authorization_params,
    )


def _available(providers: Providers, client: Client | None, asked: PageQuery) -> dict[str, Any]:
    """By name, and from a name on, so that a change of the configuration moves nothing from one page to another."""
    with reading_cursor():
        behind = "" if asked.cursor is None else name_of(asked.cursor)
    grants = client.config.providers if client else {}
    allowed = [each for each in providers.all() if each.name in grants and each.name > behind]
    left = sorted(allowed, key=attrgetter("name"))
    entries: list[dict[str, Any]] = []
    room = PAGE
    for each in left[: asked.take]:
        scopes = sorted(grants[each.name].scopes)
        room -= sum(map(len, scopes))
        if entries and room < 0:
            break
        entries.append({"name": each.name, "strategy": providers.strategy(each), "scopes": scopes})
    return _page("connections", entries, name_cursor(entries[-1]["name"]) if len(left) > len(entries) else None)


def _page(name: str, entries: list[dict[str, Any]], following: str | None) -> dict[str, Any]:
    return {name: entries} | ({"next": following} if following else {})


def _client_of(caller: Caller) -> Client:
    if caller.client is None:
        raise InvalidTarget(reason="no_client")
    return caller.client


def _draft(request: Request, caller: Caller) -> Draft:
    return Draft(
        type=EventType.CONNECTION_CONNECTED,
        client_id=caller.client.id if caller.client else None,
        subject=caller.subject.key,
        request_id=request.state.request_id,
        ip=client_ip(request),
    )
