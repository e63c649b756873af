"""Believes the users' session tokens at an MCP server: JWTs of one issuer that are meant for this server too."""

from __future__ import annotations

import time
from typing import Any

import httpx
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet
from joserfc.jwt import JWTClaimsRegistry
from mcp.server.auth.provider import AccessToken

ALGORITHMS = ["ES256", "RS256"]
PAUSE = 30.0
"""Seconds between two fetches of the issuer's keys."""


class SessionTokens:
    """A `TokenVerifier` for access tokens (RFC 9068) whose audience names `resource`, this server, beside the vault.

    The keys are fetched from the issuer when the first token comes, and again for one of an unknown key.
    """

    def __init__(self, *, issuer: str, resource: str, http: httpx.AsyncClient) -> None:
        self._issuer = issuer
        self._resource = resource
        self._http = http
        self._keys = KeySet([])
        self._fetch_again_at = 0.0
        self._claims = JWTClaimsRegistry(
            iss={"essential": True, "value": issuer},
            aud={"essential": True, "value": resource},
            exp={"essential": True},
            sub={"essential": True},
        )

    async def verify_token(self, token: str) -> AccessToken | None:
        """The token if it is good, None if not, as the SDK wants it."""
        try:
            claims = await self._verified(token)
        except (JoseError, ValueError):
            return None
        return AccessToken(
            token=token,
            client_id=str(claims.get("client_id", claims.get("azp", ""))),
            scopes=str(claims.get("scope", "")).split(),
            expires_at=int(claims["exp"]),
            resource=self._resource,
            subject=claims["sub"],
            claims={"iss": claims["iss"]},
        )

    async def _verified(self, token: str) -> dict[str, Any]:
        try:
            decoded = jwt.decode(token, self._keys, algorithms=ALGORITHMS)
        except InvalidKeyIdError:
            await self._fetch_keys()
            decoded = jwt.decode(token, self._keys, algorithms=ALGORITHMS)
        # RFC 9068 §4: an ID token is no session.
        if decoded.header.get("typ") != "at+jwt":
            raise ValueError("not an access token")
        self._claims.validate(decoded.claims)
        return decoded.claims

    async def _fetch_keys(self) -> None:
        # Anyone can make up a key's name: that is not to keep the issuer busy.
        if time.monotonic() < self._fetch_again_at:
            return
        self._fetch_again_at = time.monotonic() + PAUSE
        discovery = await self._http.get(f"{self._issuer}/.well-known/openid-configuration")
        keys = await self._http.get(discovery.raise_for_status().json()["jwks_uri"])
        self._keys = KeySet.import_key_set(keys.raise_for_status().json())
