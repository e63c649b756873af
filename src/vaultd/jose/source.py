"""Where a JWK Set is read from: a file, a given address, or the one that an issuer's discovery names (security A3)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection
from pathlib import Path
from urllib.parse import urlsplit

from vaultd.config_types import is_loopback
from vaultd.outbound import Outbound

_OK = 200


class KeySourceFailed(Exception):
    """The source answered, and what it answered is not usable."""


class JwksSource:
    """Reads one JWK Set document anew each time it is asked. Without an `issuer` there is no discovery."""

    def __init__(
        self,
        *,
        outbound: Outbound,
        issuer: str | None,
        jwks_uri: str | None,
        jwks_file: Path | None,
        allow_private: Collection[str],
    ) -> None:
        self._outbound = outbound
        self._issuer = issuer
        self._jwks_uri = jwks_uri
        self._jwks_file = jwks_file
        self._allow_private = frozenset(allow_private)

    async def read(self) -> object:
        """The parsed document. Raises `KeySourceFailed`, `OutboundError`, `OSError` or `ValueError`."""
        if self._jwks_file is not None:
            parsed: object = json.loads(await asyncio.to_thread(self._jwks_file.read_bytes))
            return parsed
        if self._jwks_uri is not None:
            return await self._get(self._jwks_uri)
        if self._issuer is None:
            raise KeySourceFailed("there is no issuer whose discovery would name the keys")
        return await self._get(await self._discover(self._issuer))

    async def _discover(self, issuer: str) -> str:
        # OpenID Connect Discovery 1.0 §4: the document lies under the issuer's own path.
        document = await self._get(issuer.rstrip("/") + "/.well-known/openid-configuration")
        if not isinstance(document, dict) or document.get("issuer") != issuer:
            raise KeySourceFailed("discovery names another issuer")  # §4.3
        jwks_uri = document.get("jwks_uri")
        if not isinstance(jwks_uri, str):
            raise KeySourceFailed("discovery names no jwks_uri")
        return jwks_uri

    async def _get(self, url: str) -> object:
        self._check_scheme(url)
        reply = await self._outbound.request(
            "GET", url, allow_private=self._allow_private, headers={"accept": "application/json"}
        )
        if reply.status != _OK:
            raise KeySourceFailed(f"status {reply.status}")
        return reply.json()

    def _check_scheme(self, url: str) -> None:
        parts = urlsplit(url)
        host = parts.hostname or ""
        if parts.scheme == "https" and host:
            return
        if parts.scheme == "http" and host in self._allow_private and is_loopback(host):
            return
        raise KeySourceFailed("keys are fetched over https only")
