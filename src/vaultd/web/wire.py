"""The one table from domain error to HTTP answer, and the headers that every answer carries."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vaultd.errors import (
    ConsentRefused,
    InsufficientScope,
    InteractionRequired,
    InvalidClient,
    InvalidToken,
    NotFound,
    RequestRefused,
    SlowDown,
    TemporarilyUnavailable,
    VaultdError,
)
from vaultd.jose.dpop import PROOF_ALGORITHMS

NO_STORE = {"cache-control": "no-store", "pragma": "no-cache"}
STATUS: dict[type[VaultdError], int] = {
    RequestRefused: 400,
    InvalidClient: 401,
    SlowDown: 429,
    TemporarilyUnavailable: 503,
    InvalidToken: 401,
    InsufficientScope: 403,
    ConsentRefused: 400,
    NotFound: 404,
}
_FOREIGN = 403
_TAKES_DPOP = "/me/"
_REALM = 'realm="vaultd"'
_PROOFS = f'algs="{" ".join(PROOF_ALGORITHMS)}"'


def status_of(error: VaultdError) -> int:
    """The status of the nearest kind in the table; a kind that is not in it is a bug of ours."""
    if isinstance(error, ConsentRefused) and error.reason == "foreign":
        return _FOREIGN
    for kind in type(error).__mro__:
        if kind in STATUS:
            return STATUS[kind]
    return 500


def oauth_error(error: VaultdError, *, with_challenge: bool = False) -> JSONResponse:
    """An error of the token endpoint (RFC 6749 §5.2) or of a bearer route (RFC 6750 §3)."""
    status = status_of(error)
    if status >= 500 and not isinstance(error, TemporarilyUnavailable):  # noqa: PLR2004 - the class of our own faults
        return JSONResponse({"error": "server_error"}, 500, dict(NO_STORE))
    body: dict[str, Any] = {"error": error.code, "error_description": error.description}
    headers = dict(NO_STORE)
    if isinstance(error, InteractionRequired):
        body |= {"reason": error.reason, "connection": error.connection, "connect_uri": error.connect_uri}
        if error.accounts:
            body["accounts"] = list(error.accounts)
    if isinstance(error, SlowDown | TemporarilyUnavailable):
        headers["retry-after"] = str(error.retry_after)
    if isinstance(error, InvalidClient) and with_challenge:
        headers["www-authenticate"] = 'Basic realm="vaultd"'
    return JSONResponse(body, status, headers)


def challenge(error: VaultdError, request: Request) -> str:
    """The `WWW-Authenticate` of a refused token (RFC 6750 §3, RFC 9449 §7.1).

    The error stands with the scheme that was used; the accounts API names the other one that it takes, too.
    """
    parts = [_REALM, f'error="{error.code}"', f'error_description="{error.description}"']
    if isinstance(error, InsufficientScope):
        parts.append(f'scope="{error.scope}"')
    with_error = ", ".join(parts)
    if not request.url.path.startswith(_TAKES_DPOP):
        return f"Bearer {with_error}"
    if request.headers.get("authorization", "").lower().startswith("dpop "):
        return f"DPoP {with_error}, {_PROOFS}, Bearer {_REALM}"
    return f"Bearer {with_error}, DPoP {_REALM}, {_PROOFS}"


def problem(error: VaultdError, request: Request) -> JSONResponse:
    """An error of the JSON APIs: `{type, title, status, detail}`."""
    status = status_of(error)
    known = status < 500 or isinstance(error, TemporarilyUnavailable)  # noqa: PLR2004
    body = {
        "type": f"urn:vaultd:error:{error.code if known else 'server_error'}",
        "title": error.code.replace("_", " ").capitalize() if known else "Server error",
        "status": status,
        "detail": error.description if known else "Something went wrong on our side.",
    }
    headers = dict(NO_STORE)
    if isinstance(error, InvalidToken | InsufficientScope):
        headers["www-authenticate"] = challenge(error, request)
    if isinstance(error, SlowDown | TemporarilyUnavailable):
        headers["retry-after"] = str(error.retry_after)
    return JSONResponse(body, status, headers)


_Handler = Callable[[Request, Exception], Awaitable[Response]]


def install(app: FastAPI, *, page: Callable[[Request, VaultdError], Response]) -> None:
    """Map every error to an answer: OAuth's form, a problem object, or for a browser a page."""
    log = structlog.stdlib.get_logger("vaultd.web")

    async def domain(request: Request, error: Exception) -> Response:
        if not isinstance(error, VaultdError):
            raise error
        log.info("refused", path=request.url.path, error=error.code, reason=error.reason, detail=error.detail)
        if request.url.path == "/oauth/token":
            return oauth_error(error, with_challenge="authorization" in request.headers)
        if request.url.path.startswith(("/auth/", "/connections")):
            return page(request, error)
        return problem(error, request)

    async def validation(request: Request, error: Exception) -> Response:
        del request, error
        body = {"type": "urn:vaultd:error:invalid_request", "title": "Invalid request", "status": 400}
        return JSONResponse(body | {"detail": "A parameter is missing or malformed."}, 400, dict(NO_STORE))

    async def http(request: Request, error: Exception) -> Response:
        if not isinstance(error, HTTPException):
            raise error
        del request
        title = {404: "Not found", 405: "Method not allowed"}.get(error.status_code, "Error")
        body = {"type": "about:blank", "title": title, "status": error.status_code, "detail": title}
        return JSONResponse(body, error.status_code, dict(error.headers or {}) | NO_STORE)

    async def bug(request: Request, error: Exception) -> Response:
        log.error("bug", path=request.url.path, kind=type(error).__name__, exc_info=error)
        return JSONResponse({"error": "server_error"}, 500, dict(NO_STORE))

    handlers: list[tuple[type[Exception], _Handler]] = [
        (VaultdError, domain),
        (RequestValidationError, validation),
        (HTTPException, http),
        (Exception, bug),
    ]
    for kind, handler in handlers:
        app.add_exception_handler(kind, handler)


CSP = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class EveryAnswer:
    """Puts the security headers and a request id on every answer (security B7)."""

    def __init__(self, app: ASGIApp, *, https: bool) -> None:
        self._app = app
        headers = {
            "content-security-policy": CSP,
            "x-content-type-options": "nosniff",
            "referrer-policy": "no-referrer",
            "x-frame-options": "DENY",
            "cross-origin-opener-policy": "same-origin",
        }
        if https:
            headers["strict-transport-security"] = "max-age=31536000; includeSubDomains"
        self._headers = [(name.encode(), value.encode()) for name, value in headers.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        scope.setdefault("state", {})["request_id"] = request_id

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {name for name, _ in message["headers"]}
                message["headers"] = [
                    *message["headers"],
                    *(pair for pair in self._headers if pair[0] not in present),
                    (b"x-request-id", request_id.encode()),
                ]
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            await self._app(scope, receive, send_with_headers)


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value.decode("latin-1")):
            return str(value.decode("latin-1"))
    return uuid4().hex
