"""`/connections`: what is connected, and the way to stop it. Server-rendered, without scripts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Form, Request
from fastapi.responses import FileResponse, HTMLResponse, Response
from jinja2 import Environment, FileSystemLoader

from vaultd.audit.events import Draft, EventType
from vaultd.clients.registry import Clients
from vaultd.errors import NotFound, VaultdError
from vaultd.providers.registry import Providers
from vaultd.revoke import Revoke
from vaultd.sessions.store import Sessions
from vaultd.subjects.store import SubjectStore
from vaultd.web.accounts import Accounts
from vaultd.web.away import AgentsWhileAway
from vaultd.web.consent import see_other
from vaultd.web.cookies import Cookies
from vaultd.web.peer import client_ip
from vaultd.web.signin import check_csrf
from vaultd.web.wire import NO_STORE, error_headers, status_of

_FOLDER = Path(__file__).parent


def templates() -> Environment:
    """The pages' templates; everything put into them is escaped."""
    return Environment(loader=FileSystemLoader(_FOLDER / "templates"), autoescape=True, auto_reload=False)


def error_page(environment: Environment, error: VaultdError) -> HTMLResponse:
    """An error in words a person understands."""
    text = environment.get_template("error.html").render(sentence=error.description)
    return HTMLResponse(text, status_of(error), error_headers(error))


def router(
    *,
    public_url: str,
    environment: Environment,
    sessions: Sessions,
    subjects: SubjectStore,
    accounts: Accounts,
    agents: AgentsWhileAway,
    revoke: Revoke,
    providers: Providers,
    clients: Clients,
    default_client: str | None,
    cookies: Cookies,
) -> APIRouter:
    """The hosted page."""
    routes = APIRouter(tags=["browser"], include_in_schema=False)

    @routes.get("/connections")
    async def connections(request: Request) -> Response:
        session = await sessions.find(cookies.session(request))
        if session is None:
            return see_other(f"{public_url}/auth/login")
        subject = await subjects.get(session.subject_id)
        client = clients.get(default_client) if default_client else None
        connectable = [
            provider for provider in providers.all() if client is not None and provider.name in client.config.providers
        ]
        names = {str(provider.name): provider.display_name for provider in providers.all()}
        text = environment.get_template("connections.html").render(
            accounts=await accounts.of(session.subject_id),
            names=names,
            connectable=connectable,
            agents=await agents.of(subject) if subject else [],
            csrf=session.csrf_token,
            status=request.query_params.get("status"),
            about=names.get(request.query_params.get("connection", "")),
        )
        return HTMLResponse(text, 200, NO_STORE)

    @routes.post("/connections/{account_id}/disconnect")
    async def disconnect(request: Request, account_id: UUID, csrf: Annotated[str, Form()] = "") -> Response:
        cookie = cookies.session(request)
        check_csrf(cookie, csrf)
        session = await sessions.find(cookie)
        subject = await subjects.get(session.subject_id) if session else None
        if subject is None:
            raise NotFound
        draft = Draft(
            type=EventType.CONNECTION_REVOKED,
            subject=subject.key,
            request_id=request.state.request_id,
            ip=client_ip(request),
        )
        await revoke.disconnect(subject_id=subject.id, connection_id=account_id, draft=draft)
        return see_other(f"{public_url}/connections")

    @routes.get("/connections/style.css")
    async def style() -> Response:
        return FileResponse(_FOLDER / "static" / "style.css", media_type="text/css")

    return routes
