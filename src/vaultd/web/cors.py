"""CORS for the accounts API alone (api.md §2), so that an app in a browser may call it from `allowed_origins`.

Bearer tokens are the only way in there, and no cookie counts: credentials in the sense of the Fetch standard are never
allowed. What an origin that is not on the list gets is what it would get without CORS.
"""

from __future__ import annotations

from fastapi.responses import Response
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_METHODS = "GET, HEAD, POST, DELETE"
_TAKEN = "Authorization, Content-Type, DPoP, If-None-Match, X-Request-Id"
_EXPOSED = "ETag, Retry-After, WWW-Authenticate, X-Request-Id"
_MAX_AGE = 7200
"""Seconds that a preflight's answer is kept: as long as any browser keeps it. It lets nobody in who has since left the
list, as each answer itself names the origin that may read it."""


class Cors:
    """The two halves; between them stands what puts the common headers on every answer, a preflight's too."""

    def __init__(self, *, origins: tuple[str, ...], prefix: str) -> None:
        self._origins = frozenset(origins)
        self._prefix = prefix

    def allowed(self, scope: Scope) -> str | None:
        """The origin of a request to the accounts API, if it is on the list."""
        given = Headers(scope=scope).getlist("origin")
        return given[0] if len(given) == 1 and given[0] in self._origins else None

    def covers(self, scope: Scope) -> bool:
        """Whether a request is one to the accounts API."""
        return scope["type"] == "http" and f"{scope['path']}/".startswith(f"{self._prefix}/")


class CorsHeaders:
    """Outermost, so that a script can read every answer, also the one for a bug."""

    def __init__(self, app: ASGIApp, *, cors: Cors) -> None:
        self._app = app
        self._cors = cors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if not self._cors.covers(scope):
            await self._app(scope, receive, send)
            return
        origin = self._cors.allowed(scope)

        async def readable(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                # Also without an origin: else a cache would give a script an answer that it may not read.
                headers.add_vary_header("Origin")
                if origin is not None:
                    headers["access-control-allow-origin"] = origin
                    headers["access-control-expose-headers"] = _EXPOSED
            await send(message)

        await self._app(scope, receive, readable)


class Preflights:
    """Answers what a browser asks before a request that is not simple (Fetch standard §3.2.2)."""

    def __init__(self, app: ASGIApp, *, cors: Cors) -> None:
        self._app = app
        self._cors = cors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        preflight = (
            self._cors.covers(scope)
            and scope["method"] == "OPTIONS"
            and "access-control-request-method" in Headers(scope=scope)
            and self._cors.allowed(scope) is not None
        )
        if not preflight:
            await self._app(scope, receive, send)
            return
        headers = {
            "access-control-allow-methods": _METHODS,
            "access-control-allow-headers": _TAKEN,
            "access-control-max-age": str(_MAX_AGE),
        }
        await Response(status_code=204, headers=headers)(scope, receive, send)
