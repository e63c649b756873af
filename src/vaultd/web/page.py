"""`/connections`: what is connected, who uses it, and the way to stop it. Server-rendered, without scripts."""

from __future__ import annotations

from itertools import groupby
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict

from vaultd.audit.events import Draft, EventType
from vaultd.errors import NotFound
from vaultd.revoke import Revoke
from vaultd.web.away import AgentsWhileAway
from vaultd.web.happenings import Happenings
from vaultd.web.inputs import Cursor, path_id, query
from vaultd.web.notice import notice_of
from vaultd.web.overview import Account, Overviews
from vaultd.web.peer import client_ip
from vaultd.web.refused import Refused
from vaultd.web.show.pages import Pages
from vaultd.web.tickets import see_other
from vaultd.web.visitors import Visitor, Visitors

RECENT = 5
"""Events on the main page; all of them are on their own."""
EACH = 30


class PartQuery(BaseModel):
    """Which part of a page; `from` of the accounts API is `cursor` here, as for operators."""

    model_config = ConfigDict(extra="ignore")
    cursor: Cursor | None = None


def router(
    *,
    public_url: str,
    pages: Pages,
    visitors: Visitors,
    overviews: Overviews,
    happenings: Happenings,
    agents: AgentsWhileAway,
    revoke: Revoke,
    refused: Refused,
) -> APIRouter:
    """The hosted pages."""
    recorded = refused.routes(EventType.PAGE_REFUSED)
    routes = APIRouter(tags=["browser"], include_in_schema=False, route_class=recorded)

    @routes.get("/connections")
    async def connections(request: Request) -> Response:
        cursor = query(request, PartQuery).cursor
        visitor = await visitors.find(request)
        if visitor is None:
            return _to_sign_in(public_url)
        overview = await overviews.of(visitor.subject, cursor=cursor)
        key, texts = visitor.subject.key, pages.texts(request)
        recent = await happenings.newest(key, texts, limit=RECENT)
        away = await agents.of(visitor.subject)
        notice = notice_of(request.query_params, overview, away, texts)
        return pages(
            request,
            "connections.html",
            person=visitor.person,
            overview=overview,
            first=cursor is None,
            agents=away,
            recent=recent,
            notice=notice,
        )

    @routes.get("/connections/activity")
    async def activity(request: Request) -> Response:
        cursor = query(request, PartQuery).cursor
        visitor = await visitors.find(request)
        if visitor is None:
            return _to_sign_in(public_url)
        found, older = await happenings.page(visitor.subject.key, pages.texts(request), cursor=cursor, limit=EACH)
        days = [(day, list(entries)) for day, entries in groupby(found, lambda each: each.at.date())]
        return pages(request, "activity.html", person=visitor.person, days=days, older=older, newer=cursor is not None)

    _add_disconnecting(
        routes,
        public_url=public_url,
        pages=pages,
        visitors=visitors,
        overviews=overviews,
        revoke=revoke,
    )
    return routes


def _add_disconnecting(
    routes: APIRouter,
    *,
    public_url: str,
    pages: Pages,
    visitors: Visitors,
    overviews: Overviews,
    revoke: Revoke,
) -> None:
    @routes.get("/connections/{account_id}/disconnect")
    async def ask(request: Request, account_id: str) -> Response:
        visitor = await visitors.find(request)
        if visitor is None:
            return _to_sign_in(public_url)
        account = await _own(visitor, path_id(account_id))
        return pages(request, "disconnect.html", person=visitor.person, account=account)

    @routes.post("/connections/{account_id}/disconnect")
    async def disconnect(request: Request, account_id: str, csrf: Annotated[str, Form()] = "") -> Response:
        subject, connection_id = await visitors.sending(request, csrf), path_id(account_id)
        if connection_id is None:
            raise NotFound
        draft = Draft(
            type=EventType.CONNECTION_REVOKED,
            subject=subject.key,
            request_id=request.state.request_id,
            ip=client_ip(request),
        )
        provider = await revoke.disconnect(subject_id=subject.id, connection_id=connection_id, draft=draft)
        return see_other(f"{public_url}/connections?status=disconnected&connection={provider}")

    async def _own(visitor: Visitor, account_id: UUID | None) -> Account:
        found = None if account_id is None else await overviews.account(visitor.subject, account_id)
        if found is None:
            raise NotFound
        return found


def _to_sign_in(public_url: str) -> Response:
    return see_other(f"{public_url}/auth/login")
