"""Who is at the other end of a connection."""

from __future__ import annotations

from fastapi import Request
from starlette.types import Scope

from vaultd.limits import LONGEST_ADDRESS


def client_ip(request: Request) -> str | None:
    """The peer's address, as the server sees it."""
    return peer_ip(request.scope)


def peer_ip(scope: Scope) -> str | None:
    """The same of a request that the framework does not see."""
    peer = scope.get("client")
    # Behind a proxy it is what the proxy handed on, which may be anything.
    return peer[0] if peer and len(peer[0]) <= LONGEST_ADDRESS else None
