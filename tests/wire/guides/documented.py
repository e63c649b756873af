"""An issuer on loopback whose tokens have the shape that a provider documents."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any, Protocol
from urllib.parse import urlsplit

from joserfc.jwk import ECKey, Key, OctKey, RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.support.introspection import IntrospectingIssuer
from tests.unit.loopback_issuer import sign
from tests.wire.guides.shapes import Claims, Shape
from tests.wire.vault import fresh
from vaultd.terms import Secret

KID = "1234example="
UNCHANGED: Claims = MappingProxyType({})
DISCOVERY = ".well-known/openid-configuration"


class Minting(Protocol):
    """Makes the tokens of one shape; a claim or header of `...` is left out."""

    app: Starlette

    def mint(self, sub: str, claims: Claims = UNCHANGED, header: Claims = UNCHANGED) -> str: ...


def moved(table: Mapping[str, Any], base: str) -> dict[str, Any]:
    """The `[issuers.X]` table of a guide with its addresses on loopback: their paths stay as they are."""
    addresses = {name: base + urlsplit(table[name]).path for name in ("issuer", "jwks_uri") if name in table}
    return {**table, **addresses, "allow_private_hosts": ["127.0.0.1"]}


class DocumentedIssuer:
    """Signs, and publishes its keys where the guide's table looks for them: by discovery, at `jwks_uri`, or nowhere."""

    def __init__(self, shape: Shape, table: Mapping[str, Any], *, base: str, shared_secret: str) -> None:
        self._shape = shape
        self._issuer = table["issuer"]
        self._keys = {"HS256": OctKey.import_key(shared_secret), **_key_pairs()}
        jwks = urlsplit(table.get("jwks_uri", f"{base}/keys")).path
        routes = [Route(jwks, self._published)]
        if "jwks_uri" not in table:
            self._jwks_uri = base + jwks
            routes.append(Route(f"{urlsplit(self._issuer).path.rstrip('/')}/{DISCOVERY}", self._discovery))
        self.app = Starlette(routes=[] if "hs256_secret" in table else routes)

    def mint(self, sub: str, claims: Claims = UNCHANGED, header: Claims = UNCHANGED) -> str:
        """A token of this user."""
        now = int(time.time())
        times = {"iat": now, "exp": now + self._shape.life, "auth_time": now, "nbf": now}
        head = _without_gaps({"kid": KID, **self._shape.header, **header})
        body = _without_gaps({"iss": self._issuer, **times, **self._shape.claims, "sub": sub, **claims})
        return sign(self._keys[head["alg"]], head, body).reveal()

    async def _published(self, _: Request) -> Response:
        public = self._keys[self._shape.header["alg"]].as_dict(private=False)
        return JSONResponse({"keys": [{**public, "kid": KID, **self._shape.jwk}]})

    async def _discovery(self, _: Request) -> Response:
        return JSONResponse({"issuer": self._issuer, "jwks_uri": self._jwks_uri})


class DocumentedIntrospection:
    """Its tokens are opaque, and it says of them what the shape says."""

    def __init__(self, shape: Shape, table: Mapping[str, Any], *, secret: str) -> None:
        self._shape = shape
        client_id = table["introspection"]["client_id"]
        self._asked = IntrospectingIssuer(table["issuer"], client_id=client_id, secret=Secret(secret))
        self.app = self._asked.app

    def mint(self, sub: str, claims: Claims = UNCHANGED, header: Claims = UNCHANGED) -> str:
        """A token of this user."""
        now = int(time.time())
        usual = {"iss": self._asked.issuer, "iat": now, "exp": now + self._shape.life, **self._shape.claims, "sub": sub}
        return self._asked.believe(fresh("opaque"), **_without_gaps({**usual, **claims}))


@cache
def _key_pairs() -> Mapping[str, Key]:
    return {"RS256": RSAKey.generate_key(2048), "ES256": ECKey.generate_key("P-256")}


def _without_gaps(members: Claims) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not ...}
