"""Who is at the other end of a connection."""

from __future__ import annotations

from fastapi import Request


def client_ip(request: Request) -> str | None:
    """The peer's address, as the server sees it."""
    return request.client.host if request.client else None
