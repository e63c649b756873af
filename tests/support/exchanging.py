"""What the tests of a running vault do again and again: exchange over HTTP, and read the events that came of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx

from vaultd.audit import read
from vaultd.db import Database
from vaultd.sandbox.agent import ACCESS_TOKEN, TOKEN_EXCHANGE
from vaultd.sandbox.loopback import KEPT_OPEN, loopback_http
from vaultd.sandbox.provider import SandboxProvider
from vaultd.sandbox.world import World
from vaultd.terms import Secret


def exchange_form(session_token: Secret, provider: str) -> dict[str, str]:
    """The shortest request of the sample agent, which needs no secret."""
    return {
        "grant_type": TOKEN_EXCHANGE,
        "subject_token": session_token.reveal(),
        "subject_token_type": ACCESS_TOKEN,
        "audience": provider,
    }


def agent_http(*, timeout: float = 60.0) -> httpx.AsyncClient:
    """A client for loopback that opens as many connections as there are requests."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=100, keepalive_expiry=KEPT_OPEN)
    return loopback_http(timeout=timeout, limits=limits)


async def exchange(vault: str, session_token: Secret, provider: str) -> httpx.Response:
    """One exchange by the sample agent at the vault with this URL."""
    async with agent_http() as http:
        return await http.post(f"{vault}/oauth/token", data=exchange_form(session_token, provider))


async def events_of(world: World, kind: str, connection: str) -> list[dict[str, Any]]:
    """Committed events of one type at one provider, newest first."""
    database = Database(world.settings.database_url, pool_size=1)
    try:
        async with database.transaction() as opened:
            rows, _ = await read.page(opened, read.Query(type=kind, connection=connection, limit=1000))
    finally:
        await database.aclose()
    return [read.render(row, None) for row in rows]


def make_healthy(provider: SandboxProvider) -> None:
    """Undo whatever a test switched, and count from zero."""
    provider.faults.clear()
    provider.calls.clear()
    provider.grants.ttl = timedelta(seconds=300)
    provider.grants.reuse_grace = timedelta()
    provider.grants.rotate = True
