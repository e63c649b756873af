"""An issuer with an introspection endpoint on loopback, which says of each token what a test has it say."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote_plus

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from vaultd.sandbox.faults import DROP_EXTENSION
from vaultd.terms import Secret

CLIENT_ID = "vault d"
SECRET = Secret("a secret: with % and + in it, long enough")
TABLE = f'client_id = "{CLIENT_ID}"\nclient_secret = "{SECRET.reveal()}"'


class IntrospectingIssuer:
    """`answers` are by token; of any other token it says that it is not active. `asked` are the forms that came.

    `fault` replaces the answer: a status, or the bytes of a body under status 200, or both, or "drop". While `held` is
    true, questions wait.
    """

    def __init__(self, issuer: str, *, client_id: str = CLIENT_ID, secret: Secret = SECRET) -> None:
        self.issuer = issuer
        self._credentials = (client_id, secret)
        self.answers: dict[str, Mapping[str, Any]] = {}
        self.asked: list[dict[str, str]] = []
        self.schemes: list[str] = []
        self.discovered = 0
        self.endpoint: object = f"{issuer}/introspect"
        self.fault: int | bytes | tuple[int, bytes] | str | None = None
        self.held = False
        self.app = Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self._discovery),
                Route("/introspect", self._introspect, methods=["POST"]),
                Route("/elsewhere", self._introspect, methods=["POST"]),
            ]
        )

    def reset(self) -> None:
        """As it was at first."""
        self.answers, self.asked, self.schemes, self.discovered = {}, [], [], 0
        self.endpoint, self.fault, self.held = f"{self.issuer}/introspect", None, False

    def believe(self, token: str, /, **answer: object) -> str:
        """Call a token active, and say this of it."""
        self.answers[token] = {"active": True, **answer}
        return token

    async def _discovery(self, _: Request) -> Response:
        self.discovered += 1
        return JSONResponse({"issuer": self.issuer, "introspection_endpoint": self.endpoint})

    async def _introspect(self, request: Request) -> Response:
        pairs = parse_qsl((await request.body()).decode(), keep_blank_values=True, strict_parsing=True)
        form = dict(pairs)
        self.asked.append(form)
        while self.held:
            await asyncio.sleep(0.005)
        if self.fault == "drop":
            request.scope["extensions"][DROP_EXTENSION]["close"]()
        if isinstance(self.fault, bytes):
            return Response(self.fault, media_type="application/json")
        if isinstance(self.fault, tuple):
            return Response(self.fault[1], self.fault[0], media_type="application/json")
        if isinstance(self.fault, int):
            return Response(status_code=self.fault, headers={"location": self.issuer})
        if not self._authenticated(request.headers.get("authorization"), form) or len(pairs) != len(form):
            return JSONResponse({"error": "invalid_client"}, 401)
        return JSONResponse(self.answers.get(form["token"], {"active": False}))

    def _authenticated(self, authorization: str | None, form: Mapping[str, str]) -> bool:
        scheme, _, encoded = (authorization or "").partition(" ")
        self.schemes.append(scheme or "post")
        client_id, secret = self._credentials
        if not scheme:
            return (form.get("client_id"), form.get("client_secret")) == (client_id, secret.reveal())
        # RFC 6749 §2.3.1
        name, _, password = base64.b64decode(encoded).decode().partition(":")
        return (unquote_plus(name), unquote_plus(password)) == (client_id, secret.reveal())
