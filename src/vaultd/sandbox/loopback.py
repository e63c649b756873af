"""HTTP clients for the servers on loopback."""

from __future__ import annotations

import ssl
from functools import cache
from typing import Any

import httpx


def loopback_http(**options: Any) -> httpx.AsyncClient:
    """A client with these options of `httpx.AsyncClient`, and without proxies from the environment."""
    return httpx.AsyncClient(verify=authorities(), trust_env=False, **options)


@cache
def authorities() -> ssl.SSLContext:
    """One for all clients: reading the authorities costs a hundred times what a client does."""
    return httpx.create_ssl_context(trust_env=False)
