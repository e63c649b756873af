"""Errors as pages: what happened in words, and one button for what to do next."""

from __future__ import annotations

from fastapi import Request
from fastapi.responses import HTMLResponse

from vaultd.errors import ConsentRefused, SlowDown, TemporarilyUnavailable, VaultdError
from vaultd.sessions.store import csrf_token
from vaultd.web.cookies import Cookies
from vaultd.web.show.pages import Pages
from vaultd.web.wire import error_headers, status_of

_SIGN_IN_AGAIN = frozenset({"login_denied", "id_token", "login_issuer", "discovery"})
_OTHER_USER = frozenset({"foreign"})
_BUG = 500


class Mishaps:
    """The page of any error that a person meets."""

    def __init__(self, *, pages: Pages, cookies: Cookies) -> None:
        self._pages = pages
        self._cookies = cookies

    def __call__(self, request: Request, error: VaultdError) -> HTMLResponse:
        """The page."""
        status, cookie = status_of(error), self._cookies.session(request)
        action = _action_of(request, error, signed_in=cookie is not None)
        response = self._pages(
            request,
            "error.html",
            status=status,
            sentence=self._pages.texts(request).one_of("error", _name_of(error, status)),
            action=action,
            next=_address_of(request, action),
            csrf=csrf_token(cookie) if cookie else "",
            request_id=request.state.request_id,
            serious=status >= _BUG,
        )
        response.headers.update(error_headers(error))
        return response


def _name_of(error: VaultdError, status: int) -> str:
    if status == _BUG:
        return "server_error"
    # The person's own step is told by its reason; what OAuth has a word for, by that.
    return error.reason or error.code if isinstance(error, ConsentRefused) else error.code


def _action_of(request: Request, error: VaultdError, *, signed_in: bool) -> str:
    """The one thing to do next: `retry` is this very address, which is safe to be asked for again (RFC 9110 §9.2.1)."""
    if error.reason in _SIGN_IN_AGAIN:
        return "sign_in"
    if error.reason in _OTHER_USER and signed_in:
        return "other_user"
    passing = isinstance(error, TemporarilyUnavailable | SlowDown)
    # What a callback brought is good once.
    if passing and request.method == "GET" and "/callback" not in request.url.path:
        return "retry"
    return "connections"


def _address_of(request: Request, action: str) -> str:
    if action == "retry":
        return f"{request.url.path}?{request.url.query}" if request.url.query else request.url.path
    return "/auth/login" if action == "sign_in" else "/connections"
