"""Sign-in and sign-out of the browser (api.md §3)."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import Response

from vaultd.audit.events import Draft, EventType
from vaultd.errors import ConsentRefused
from vaultd.sessions.signin import Answer, SignIn
from vaultd.sessions.store import Sessions
from vaultd.subjects.store import KnownSubject, SubjectStore
from vaultd.web.consent import AnswerQuery
from vaultd.web.cookies import Cookies
from vaultd.web.inputs import query
from vaultd.web.peer import client_ip
from vaultd.web.refused import Refused
from vaultd.web.show.pages import Pages
from vaultd.web.tickets import see_other
from vaultd.web.visitors import check_csrf

# One segment that begins with no dot: a browser resolves `..` before it asks.
_OWN_PATH = re.compile(r"/connections|/auth/connect/[A-Za-z0-9_~-][A-Za-z0-9_.~-]*")
_LONGEST_PATH = 4096


def router(
    *,
    public_url: str,
    pages: Pages,
    sign_in: SignIn | None,
    sessions: Sessions,
    subjects: SubjectStore,
    cookies: Cookies,
    refused: Refused,
) -> APIRouter:
    """The routes."""
    recorded = refused.routes(EventType.SESSION_REFUSED)
    routes = APIRouter(tags=["browser"], include_in_schema=False, route_class=recorded)

    @routes.get("/auth/login")
    async def login(request: Request, target: Annotated[str | None, Query(alias="continue")] = None) -> Response:
        browser = cookies.browser_or_new(request)
        response = see_other(await _configured(sign_in).begin(browser, own_path(target)))
        cookies.set_browser(response, browser)
        return response

    @routes.get("/auth/login/callback")
    async def callback(request: Request) -> Response:
        signed_in, target = await _configured(sign_in).finish(_answer(request, cookies))
        known = await subjects.current(signed_in.subject)
        cookie = await sessions.open(
            known.id,
            issuer=signed_in.subject.issuer,
            sid=signed_in.sid,
            instead_of=cookies.session(request),
            draft=_draft(request, EventType.SESSION_OPENED, known),
        )
        response = see_other(f"{public_url}{target}")
        cookies.set_session(response, cookie)
        return response

    @routes.post("/auth/logout")
    async def logout(request: Request, csrf: Annotated[str, Form()] = "") -> Response:
        cookie = check_csrf(cookies.session(request), csrf)
        session = await sessions.find(cookie)
        known = await subjects.get(session.subject_id) if session else None
        if known is not None:
            await sessions.end(cookie, draft=_draft(request, EventType.SESSION_ENDED, known, reason="signed_out"))
        response = see_other(f"{public_url}/auth/signed-out")
        cookies.end_session(response)
        return response

    @routes.get("/auth/signed-out")
    async def signed_out(request: Request) -> Response:
        # Not back to a page that would ask the issuer, who may still know the person and sign them in again at once.
        # And a link, not a redirect: it may be only this vault that they want to leave.
        elsewhere = await sign_in.issuer.end_session_url() if sign_in else None
        place = urlsplit(elsewhere).netloc if elsewhere else ""
        return pages(request, "signed_out.html", elsewhere=elsewhere, place=place)

    return routes


def own_path(target: str | None) -> str:
    """A path of our own to go on to; anything that could be a place elsewhere becomes `/connections` (B4)."""
    if target is None or len(target) > _LONGEST_PATH or not target.isprintable():
        return "/connections"
    return target if _OWN_PATH.fullmatch(target.partition("?")[0]) else "/connections"


def _draft(request: Request, kind: EventType, known: KnownSubject, *, reason: str | None = None) -> Draft:
    return Draft(
        type=kind, reason=reason, subject=known.key, request_id=request.state.request_id, ip=client_ip(request)
    )


def _answer(request: Request, cookies: Cookies) -> Answer:
    returned = query(request, AnswerQuery)
    return Answer(
        unverified_state=returned.state,
        unverified_code=returned.code,
        unverified_error=returned.error,
        unverified_issuer=returned.iss,
        browser=cookies.browser(request) or "",
    )


def _configured(sign_in: SignIn | None) -> SignIn:
    if sign_in is None:
        raise ConsentRefused("Sign-in is not set up on this server: [login] is missing.", reason="no_login")
    return sign_in
