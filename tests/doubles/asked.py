"""A request as a double saw it."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import parse_qsl, unquote_plus

from starlette.requests import Request

Body = Literal["form", "json", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """`step` is what it was for; `params` are those of the query or the body, `body` is how they came."""

    step: str
    method: str
    host: str
    headers: Mapping[str, str]
    body: Body
    params: Mapping[str, Any]

    @property
    def basic(self) -> tuple[str, str] | None:
        """User and password (RFC 7617), each form-encoded as RFC 6749 §2.3.1 has it."""
        scheme, _, value = self.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return None
        user, _, password = base64.b64decode(value).decode().partition(":")
        return unquote_plus(user), unquote_plus(password)

    @property
    def proof(self) -> tuple[str, str] | None:
        """The client's id and secret, wherever they stand."""
        if self.basic is not None:
            return self.basic
        if "client_secret" not in self.params:
            return None
        return self.params.get("client_id", ""), self.params["client_secret"]

    @property
    def way(self) -> str:
        """How the client proved itself and wrote the request, such as `basic form`."""
        in_body = {"client_secret", "clientSecret"} & self.params.keys()
        return f"{'basic' if self.basic else 'body' if in_body else 'none'} {self.body}"

    @property
    def token(self) -> str | None:
        """What stands in Authorization, but for Basic."""
        scheme, _, value = self.headers.get("authorization", "").partition(" ")
        return value if scheme.lower() != "basic" and value else None


async def read_asked(request: Request, *, step: str, host: str) -> Asked:
    """Read a request whole."""
    raw = (await request.body()).decode()
    kind = request.headers.get("content-type", "").partition(";")[0]
    params: dict[str, Any] = dict(request.query_params)
    body: Body = "none"
    if raw and kind == "application/json":
        body, params = "json", params | json.loads(raw)
    elif raw:
        body, params = "form", params | dict(parse_qsl(raw, keep_blank_values=True, strict_parsing=True))
    return Asked(step=step, method=request.method, host=host, headers=request.headers, body=body, params=params)
