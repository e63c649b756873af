"""Sign-in and sign-out of the browser (api.md §3)."""

from __future__ import annotations

import hmac
import re
from typing import Annotated

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import Response

from vaultd.errors import ConsentRefused
from vaultd.sessions.signin import SignIn
from vaultd.sessions.store import Sessions, csrf_token
from vaultd.subjects.store import SubjectStore
from vaultd.web.consent import see_other
from vaultd.web.cookies import Cookies

Parameter = Annotated[str | None, Query(max_length=4096)]
# One segment that begins with no dot: a browser resolves `..` before it asks.
_OWN_PATH = re.compile(r"/connections|/auth/connect/[A-Za-z0-9_~-][A-Za-z0-9_.~-]*")


def router(
    *, public_url: str, sign_in: SignIn | None, sessions: Sessions, subjects: SubjectStore, cookies: Cookies
) -> APIRouter:
    """The routes."""
    routes = APIRouter(tags=["browser"], include_in_schema=False)

    @routes.get("/auth/login")
    async def login(request: Request, target: Annotated[str | None, Query(alias="continue")] = None) -> Response:
        browser = cookies.browser_or_new(request)
        response = see_other(await _configured(sign_in).begin(browser, own_path(target)))
        cookies.set_browser(response, browser)
        return response

    @routes.get("/auth/login/callback")
    async def callback(
        request: Request, state: Parameter = None, code: Parameter = None, error: Parameter = None
    ) -> Response:
        if error is not None or not code:
            raise ConsentRefused("You did not sign in.", reason="login_denied")
        subject, target = await _configured(sign_in).finish(
            unverified_state=state or "", unverified_code=code, browser=cookies.browser(request) or ""
        )
        known = await subjects.current(subject)
        # A session that was there before is ended: an id never survives a sign-in (B7).
        await sessions.end(cookies.session(request))
        response = see_other(f"{public_url}{target}")
        cookies.set_session(response, await sessions.open(known.id))
        return response

    @routes.post("/auth/logout")
    async def logout(request: Request, csrf: Annotated[str, Form()] = "") -> Response:
        check_csrf(cookies.session(request), csrf)
        await sessions.end(cookies.session(request))
        response = see_other(f"{public_url}/connections")
        cookies.end_session(response)
        return response

    return routes


def check_csrf(cookie: str | None, unverified_token: str) -> None:
    """A form must carry its own session's token. Raises `ConsentRefused`."""
    if not cookie or not hmac.compare_digest(csrf_token(cookie).encode(), unverified_token.encode()):
        raise ConsentRefused("This form is no longer valid. Go back and try again.", reason="csrf")


def own_path(target: str | None) -> str:
    """A path of our own to go on to; anything that could be a place elsewhere becomes `/connections` (B4)."""
    if target is None or not target.isprintable() or not _OWN_PATH.fullmatch(target.partition("?")[0]):
        return "/connections"
    return target


def _configured(sign_in: SignIn | None) -> SignIn:
    if sign_in is None:
        raise ConsentRefused("Sign-in is not set up on this server: [login] is missing.", reason="no_login")
    return sign_in
