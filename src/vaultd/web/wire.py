"""The one table from domain error to HTTP answer, and the headers that every answer carries."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Awaitable, Callable
from secrets import token_hex
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vaultd.errors import (
    BodyTooLarge,
    ConsentRefused,
    InsufficientScope,
    InteractionRequired,
    InvalidClient,
    InvalidInput,
    InvalidRequest,
    InvalidToken,
    Mistake,
    NotFound,
    NoticeRefused,
    RequestRefused,
    SlowDown,
    TemporarilyUnavailable,
    TokenMissing,
    VaultdError,
)
from vaultd.jose.dpop import PROOF_ALGORITHMS

READ = ["GET", "HEAD"]
"""RFC 9110 §9.1: what is safe to read can be asked for its headers alone."""
NO_STORE = {"cache-control": "no-store", "pragma": "no-cache"}
STATUS: dict[type[VaultdError], int] = {
    RequestRefused: 400,
    BodyTooLarge: 413,
    InvalidClient: 401,
    SlowDown: 429,
    TemporarilyUnavailable: 503,
    NoticeRefused: 400,
    InvalidToken: 401,
    InsufficientScope: 403,
    ConsentRefused: 400,
    NotFound: 404,
}
_LOGGED_PATH = 256
"""Characters: strangers choose it, and each of their requests leaves a line."""
_FOREIGN = 403
_BUG = 500
# RFC 6749 §5.2: what stands in error_description is printable ASCII without the quotation mark and the backslash.
_NOT_DESCRIBABLE = re.compile(r"[^\x20-\x21\x23-\x5b\x5d-\x7e]")
_STAND_INS = str.maketrans({'"': "'", "\\": "/"})
_TAKES_DPOP = "/me/"
_REALM = 'realm="vaultd"'
_PROOFS = f'algs="{" ".join(PROOF_ALGORITHMS)}"'
TITLES = {405: "Method not allowed", 413: "Content too large", 415: "Unsupported media type"}
"""What the framework refuses by itself, in words that do not change with Python's version."""
BROWSER = ("/auth/", "/connections")
"""Where a person reads the answer."""
_SHOWN_NAME = 64
"""Characters of a name that an answer repeats."""


def status_of(error: VaultdError) -> int:
    """The status of the nearest kind in the table; a kind that is not in it is a bug of ours."""
    if isinstance(error, ConsentRefused) and error.reason == "foreign":
        return _FOREIGN
    for kind in type(error).__mro__:
        if kind in STATUS:
            return STATUS[kind]
    return _BUG


def description_of(error: VaultdError) -> str:
    """The sentence of an error in the characters that OAuth allows.

    A provider whose name does not survive that is called by the name of its connection, which always does.
    """
    text = error.description
    if isinstance(error, InteractionRequired) and _NOT_DESCRIBABLE.search(_plain(error.display_name)):
        text = error.sentence(error.reason, error.connection)
    return _NOT_DESCRIBABLE.sub("?", _plain(text))


def _plain(text: str) -> str:
    """Letters without their accents, apostrophes for quotation marks, slashes for backslashes."""
    if text.isascii():
        return text.translate(_STAND_INS)
    decomposed = unicodedata.normalize("NFKD", text.translate(_STAND_INS))
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter))


def error_headers(error: VaultdError) -> dict[str, str]:
    """The headers that go with an error, whatever the shape of its body."""
    headers = dict(NO_STORE)
    if isinstance(error, SlowDown | TemporarilyUnavailable):
        headers["retry-after"] = str(error.retry_after)
    return headers


def oauth_error(error: VaultdError, *, with_challenge: bool = False) -> JSONResponse:
    """An error of the token endpoint (RFC 6749 §5.2) or of a bearer route (RFC 6750 §3)."""
    status = status_of(error)
    if status == _BUG:
        return server_error()
    body: dict[str, Any] = {"error": error.code, "error_description": description_of(error)}
    headers = error_headers(error)
    if isinstance(error, InteractionRequired):
        body |= {"reason": error.reason, "connection": error.connection, "connect_uri": error.connect_uri}
        if error.accounts:
            body["accounts"] = list(error.accounts)
    if isinstance(error, InvalidClient) and with_challenge:
        headers["www-authenticate"] = 'Basic realm="vaultd"'
    return JSONResponse(body, status, headers)


def server_error() -> JSONResponse:
    """A fault of ours: nothing but that; the request id in its header leads to the log."""
    return JSONResponse({"error": "server_error"}, _BUG, dict(NO_STORE))


def challenge(error: VaultdError, request: Request) -> str:
    """The `WWW-Authenticate` of a refused token (RFC 6750 §3, RFC 9449 §7.1).

    The error stands with the scheme that was used; the accounts API names the other one that it takes, too.
    """
    parts = [_REALM]
    if not isinstance(error, TokenMissing):
        # RFC 6750 §3.1: who sent nothing is told of no error.
        parts += [f'error="{error.code}"', f'error_description="{description_of(error)}"']
    if isinstance(error, InsufficientScope):
        parts.append(f'scope="{error.scope}"')
    with_error = ", ".join(parts)
    if not request.url.path.startswith(_TAKES_DPOP):
        return f"Bearer {with_error}"
    if request.headers.get("authorization", "").lower().startswith("dpop "):
        return f"DPoP {with_error}, {_PROOFS}, Bearer {_REALM}"
    return f"Bearer {with_error}, DPoP {_REALM}, {_PROOFS}"


def problem(error: VaultdError, request: Request) -> JSONResponse:
    """An error of the JSON APIs: `{type, title, status, detail, validation_errors?}`."""
    status = status_of(error)
    known = status != _BUG
    body: dict[str, Any] = {
        "type": f"urn:vaultd:error:{error.code if known else 'server_error'}",
        "title": error.code.replace("_", " ").capitalize() if known else "Server error",
        "status": status,
        "detail": error.description if known else "Something went wrong on our side.",
    }
    if isinstance(error, InvalidInput):
        body["validation_errors"] = [_validation_error(mistake) for mistake in error.mistakes]
    headers = error_headers(error)
    if isinstance(error, InvalidToken | InsufficientScope):
        headers["www-authenticate"] = challenge(error, request)
    return JSONResponse(body, status, headers)


def _validation_error(mistake: Mistake) -> dict[str, str]:
    shown: dict[str, str] = {"detail": mistake.detail, "source": mistake.source}
    if mistake.place:
        shown["field"] = str(mistake.place[0])[:_SHOWN_NAME]
    if mistake.source == "body":
        # RFC 6901 §3
        parts = (str(part)[:_SHOWN_NAME].replace("~", "~0").replace("/", "~1") for part in mistake.place)
        shown["pointer"] = "".join(f"/{part}" for part in parts)
    return shown


class ErrorAnswers:
    """Gives an error the shape that its route's callers read: a page, or a problem object.

    The token endpoint, whose callers read OAuth's, answers for itself.
    """

    def __init__(self, *, page: Callable[[Request, VaultdError], Response]) -> None:
        self._page = page

    def __call__(self, request: Request, error: VaultdError) -> Response:
        """The answer."""
        if request.url.path.startswith(BROWSER):
            return self._page(request, error)
        return problem(error, request)


def note(error: Exception, path: str) -> None:
    """Tell the log what the answer does not: why something is refused, or what should not have happened."""
    log = structlog.stdlib.get_logger("vaultd.web")
    path = path[:_LOGGED_PATH]
    if isinstance(error, VaultdError) and status_of(error) != _BUG:
        log.info("refused", path=path, error=error.code, reason=error.reason, detail=error.detail)
    else:
        log.error("bug", path=path, kind=type(error).__name__, exc_info=error)


_Handler = Callable[[Request, Exception], Awaitable[Response]]


def install(app: FastAPI, *, answers: ErrorAnswers) -> None:
    """Map every error that is not a bug to an answer; `EveryAnswer` answers for the bugs."""

    async def domain(request: Request, error: Exception) -> Response:
        if not isinstance(error, VaultdError) or status_of(error) == _BUG:
            raise error
        note(error, request.url.path)
        return answers(request, error)

    async def validation(request: Request, error: Exception) -> Response:
        del error  # FastAPI's own words repeat what was sent
        return answers(request, InvalidRequest("A parameter is missing or malformed."))

    async def http(request: Request, error: Exception) -> Response:
        if not isinstance(error, HTTPException):
            raise error
        if error.status_code == STATUS[NotFound]:
            return answers(request, NotFound())
        title = TITLES.get(error.status_code, "Refused")
        body = {"type": "about:blank", "title": title, "status": error.status_code, "detail": error.detail}
        return JSONResponse(body, error.status_code, dict(error.headers or {}) | NO_STORE)

    handlers: list[tuple[type[Exception], _Handler]] = [
        (VaultdError, domain),
        (RequestValidationError, validation),
        (HTTPException, http),
    ]
    for kind, handler in handlers:
        app.add_exception_handler(kind, handler)


CSP = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
# Everything that a page could ask a person's leave for; none of ours asks.
PERMISSIONS = ", ".join(
    f"{feature}=()"
    for feature in (
        "accelerometer",
        "autoplay",
        "camera",
        "display-capture",
        "encrypted-media",
        "fullscreen",
        "geolocation",
        "gyroscope",
        "magnetometer",
        "microphone",
        "midi",
        "payment",
        "picture-in-picture",
        "publickey-credentials-get",
        "screen-wake-lock",
        "usb",
        "xr-spatial-tracking",
    )
)
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


Headers = list[tuple[bytes, bytes]]


def security_headers(*, https: bool) -> Headers:
    """What every answer carries (security B7)."""
    headers = {
        "content-security-policy": CSP,
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "x-frame-options": "DENY",
        "cross-origin-opener-policy": "same-origin",
        # For what is fetched without CORS: a page elsewhere gets nothing of ours into its process. What CORS lets an
        # app read is not touched by it (Fetch standard §3.7).
        "cross-origin-resource-policy": "same-origin",
        "permissions-policy": PERMISSIONS,
    }
    if https:
        headers["strict-transport-security"] = "max-age=31536000; includeSubDomains"
    return [(name.encode(), value.encode()) for name, value in headers.items()]


class EveryAnswer:
    """Puts the security headers and a request id on every answer, also on the one for a bug (security A12, B7)."""

    def __init__(self, app: ASGIApp, *, headers: Headers, answers: ErrorAnswers) -> None:
        self._app = app
        self._answers = answers
        # What does not say that it may be kept may not.
        self._headers = [*headers, (b"cache-control", NO_STORE["cache-control"].encode())]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id, about = name_request(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                present = {name for name, _ in message["headers"]}
                message["headers"] = [
                    *message["headers"],
                    *(pair for pair in self._headers if pair[0] not in present),
                    (b"x-request-id", request_id.encode()),
                ]
            await send(message)

        with structlog.contextvars.bound_contextvars(**about):
            try:
                await self._app(scope, receive, send_with_headers)
            except ClientDisconnect:
                return
            except Exception as error:
                note(error, scope["path"])
                if started:
                    # Half an answer cannot be taken back: the server closes the connection.
                    raise
                await self._answers(Request(scope), VaultdError())(scope, receive, send_with_headers)


def name_request(scope: Scope) -> tuple[str, dict[str, str]]:
    """An id for a request, and what its log lines carry.

    The id is ours alone: events keep it for ever, and whoever could choose it could make two requests look like one.
    The caller's own is for the log, where it leads from theirs to ours.
    """
    request_id = token_hex(16)
    about = {"request_id": request_id}
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value.decode("latin-1")):
            about["client_request_id"] = value.decode("latin-1")
            break
    return request_id, about
