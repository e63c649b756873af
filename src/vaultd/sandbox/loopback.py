"""HTTP clients for the servers on loopback."""

from __future__ import annotations

import ssl
from functools import cache
from typing import Any

import httpx

KEPT_OPEN = 2.0
"""Seconds for which an idle connection is kept: vaultd closes it after five, maybe while the next request is sent."""


def loopback_http(*, limits: httpx.Limits | None = None, **options: Any) -> httpx.AsyncClient:
    """A client with these options of `httpx.AsyncClient`, and without proxies from the environment."""
    limits = limits or httpx.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=KEPT_OPEN)
    return httpx.AsyncClient(verify=authorities(), trust_env=False, limits=limits, **options)


@cache
def authorities() -> ssl.SSLContext:
    """One for all clients: reading the authorities costs a hundred times what a client does."""
    return httpx.create_ssl_context(trust_env=False)
