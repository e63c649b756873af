"""Where a JWK Set is read from: a file, a given address, or the one that an issuer's discovery names (security A3).

Discovery is here for every address of an issuer that is called.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from vaultd.config_types import is_loopback
from vaultd.outbound import Outbound

_OK = 200
OPENID = "openid-configuration"


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
        discovery: str = OPENID,
        allow_private: Collection[str],
    ) -> None:
        self._outbound = outbound
        self._issuer = issuer
        self._jwks_uri = jwks_uri
        self._jwks_file = jwks_file
        self._discovery = discovery
        self._allow_private = frozenset(allow_private)

    async def read(self) -> object:
        """The parsed document. Raises `KeySourceFailed`, `OutboundError`, `OSError` or `ValueError`."""
        if self._jwks_file is not None:
            parsed: object = json.loads(await asyncio.to_thread(self._jwks_file.read_bytes))
            return parsed
        return await _get(self._outbound, self._jwks_uri or await self._discovered(), self._allow_private)

    async def _discovered(self) -> str:
        if self._issuer is None:
            raise KeySourceFailed("there is no issuer whose discovery would name the keys")
        metadata = await discover(self._outbound, self._issuer, self._discovery, allow_private=self._allow_private)
        return named_address(metadata, "jwks_uri")


async def discover(
    outbound: Outbound, issuer: str, well_known: str = OPENID, *, allow_private: Collection[str]
) -> Mapping[str, Any]:
    """What an issuer says of itself. Raises `KeySourceFailed` or `OutboundError`."""
    # OpenID Connect Discovery 1.0 §4: the document lies under the issuer's own path.
    document = await _get(outbound, f"{issuer.rstrip('/')}/.well-known/{well_known}", allow_private)
    if not isinstance(document, dict) or not _is_of(document.get("issuer"), issuer, well_known):
        raise KeySourceFailed("discovery names another issuer")  # §4.3
    return document


def _is_of(named: object, issuer: str, well_known: str) -> bool:
    if well_known == OPENID or not isinstance(named, str):
        return named == issuer
    # Google writes its name with a slash here and without one there.
    return named.rstrip("/") == issuer.rstrip("/")


def named_address(metadata: Mapping[str, Any], name: str) -> str:
    """An address out of an issuer's metadata. Raises `KeySourceFailed`."""
    address = metadata.get(name)
    if not isinstance(address, str):
        raise KeySourceFailed(f"discovery names no {name}")
    return address


def check_scheme(url: str, allow_private: Collection[str]) -> None:
    """https, or plain http to a loopback host that the issuer's table names. Raises `KeySourceFailed`."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        raise KeySourceFailed("an address that is no URL") from None
    if parts.scheme == "https" and host:
        return
    if parts.scheme == "http" and host in allow_private and is_loopback(host):
        return
    raise KeySourceFailed("issuers are called over https only")


async def _get(outbound: Outbound, url: str, allow_private: Collection[str]) -> object:
    check_scheme(url, allow_private)
    reply = await outbound.request("GET", url, allow_private=allow_private, headers={"accept": "application/json"})
    if reply.status != _OK:
        raise KeySourceFailed(f"status {reply.status}")
    return reply.json()
