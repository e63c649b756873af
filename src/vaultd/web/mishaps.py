"""Errors as pages: what happened in words, and one button for what to do next."""

from __future__ import annotations

from fastapi import Request
from fastapi.responses import HTMLResponse

from vaultd.errors import ConsentRefused, SignInUnavailable, SlowDown, TemporarilyUnavailable, VaultdError
from vaultd.sessions.store import csrf_token
from vaultd.web.cookies import Cookies
from vaultd.web.show.pages import Pages
from vaultd.web.wire import error_headers, status_of

_SIGN_IN = "/auth/login"
_NO_SIGN_IN = "no_login"
_NOT_BELIEVED = frozenset({"code", "invalid_issuer", "id_token"})
"""What went wrong between the two servers is one thing to the person."""
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
            sentence=self._pages.texts(request).one_of("error", _name_of(error, request)),
            action=action,
            next=_address_of(request, action),
            csrf=csrf_token(cookie) if cookie else "",
            request_id=request.state.request_id,
            serious=status == _BUG,
        )
        response.headers.update(error_headers(error))
        return response


def _name_of(error: VaultdError, request: Request) -> str:
    """The name of the error's sentence: a step of the person's own by its reason, anything else by OAuth's word."""
    if status_of(error) == _BUG:
        return "server_error"
    if isinstance(error, SignInUnavailable):
        return error.reason
    if not isinstance(error, ConsentRefused):
        return error.code
    at_sign_in = request.url.path.startswith(_SIGN_IN)
    return "id_token" if at_sign_in and error.reason in _NOT_BELIEVED else error.reason


def _action_of(request: Request, error: VaultdError, *, signed_in: bool) -> str:
    """The one thing to do next: `retry` is this very address, which is safe to be asked for again (RFC 9110 §9.2.1)."""
    path = request.url.path
    if path.startswith(_SIGN_IN) and error.reason != _NO_SIGN_IN:
        return "sign_in"
    if error.reason == "foreign" and signed_in:
        return "other_user"
    # What a callback brought is good once.
    passing = isinstance(error, TemporarilyUnavailable | SlowDown) and "/callback" not in path
    return "retry" if passing and request.method == "GET" else "connections"


def _address_of(request: Request, action: str) -> str:
    if action == "retry":
        return f"{request.url.path}?{request.url.query}" if request.url.query else request.url.path
    return _SIGN_IN if action == "sign_in" else "/connections"
