"""Switches that make a sandbox server misbehave, and the answers that it then gives."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

Fault = Literal[
    "down",
    "hang",
    "nonsense",
    "html",
    "empty",
    "truncated",
    "gzip_bomb",
    "slow_down",
    "error_in_200",
    "drop",
    "drop_after",
    "widen",
]
"""What an endpoint does instead of its work, or beside it:

`down` 503 · `hang` no answer until the caller gives up · `nonsense` 200 with JSON that means nothing · `html` 200 with
a page · `empty` 200 with no body · `truncated` JSON cut off · `gzip_bomb` 8 MiB packed small · `slow_down` 429 with
`Retry-After: 7` · `error_in_200` an OAuth error under status 200 · `drop` the connection closed without an answer ·
`drop_after` the work done (a refresh token rotated), then the connection closed without an answer ·
`widen` the work done, but a token endpoint that is asked for fewer scopes (RFC 6749 §6) gives all that were granted.
"""

WORKING: frozenset[Fault | None] = frozenset({None, "drop_after", "widen"})
"""Those with which the work is done all the same."""
ANSWERING: frozenset[Fault | None] = frozenset({None, "widen"})
"""Those with which its answer is given as well."""

DROP_EXTENSION = "vaultd.sandbox.drop"
"""The ASGI extension by which our own loopback server lets an app close the connection without an answer."""


SPOILT: Mapping[Fault, tuple[bytes, Mapping[str, str]]] = {
    "html": (b"<!doctype html><title>Maintenance</title><p>We will be back.</p>", {"Content-Type": "text/html"}),
    "empty": (b"", {}),
    "truncated": (b'{"access_token": "cut-of', {}),
    "nonsense": (b'["colourless", "green", "ideas"]', {}),
    "error_in_200": (b'{"error": "incorrect_client_credentials", "error_description": "Try again."}', {}),
    "gzip_bomb": (gzip.compress(bytes(8 * 1024 * 1024), compresslevel=1), {"Content-Encoding": "gzip"}),
}
"""Answers under status 200 that are of no use: body and headers."""


class Faults(BaseModel):
    """One switch an endpoint; None is good health. A mistyped fault or endpoint is refused."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    def set_all(self, others: Self) -> None:
        """Take over all switches of another set."""
        for endpoint in type(self).model_fields:
            setattr(self, endpoint, getattr(others, endpoint))

    def clear(self) -> None:
        """Good health everywhere."""
        self.set_all(type(self)())


class ProviderFaults(Faults):
    """A provider's switches."""

    authorize: Fault | None = None
    token: Fault | None = None
    revoke: Fault | None = None
    userinfo: Fault | None = None
    api: Fault | None = None


class IssuerFaults(Faults):
    """An issuer's switches."""

    discovery: Fault | None = None
    jwks: Fault | None = None
    authorize: Fault | None = None
    token: Fault | None = None


class Dropped(Response):
    """No answer at all: the connection is closed."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises `ConnectionResetError` where there is no connection to close, as in-process."""
        del send
        drop = scope.get("extensions", {}).get(DROP_EXTENSION)
        if drop is None:
            raise ConnectionResetError("the sandbox dropped the connection")
        drop["close"]()
        await _gone(receive)


class Hanging(Response):
    """Silence until the caller gives up."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Returns once the caller has gone; there is nobody left to answer."""
        del scope, send
        await _gone(receive)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def answer(fault: Fault) -> Response:
    """The answer that goes with a fault."""
    match fault:
        case "hang":
            return Hanging()
        case "drop" | "drop_after":
            return Dropped()
        case "down":
            return Response("upstream connect error", status_code=503, media_type="text/plain")
        case "slow_down":
            return JSONResponse({"error": "slow_down"}, status_code=429, headers={"Retry-After": "7"})
        case _:
            body, headers = SPOILT[fault]
            return Response(body, headers={"Content-Type": "application/json", **headers})
