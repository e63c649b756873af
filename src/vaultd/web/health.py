"""Is the process there, and can it serve?"""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response

from vaultd import schema
from vaultd.db import Database
from vaultd.errors import VaultdError
from vaultd.web.wire import NO_STORE, READ


def router(*, database: Database) -> APIRouter:
    """The routes. The keyring is opened before the first request is taken, so it needs no look here."""
    routes = APIRouter(prefix="/health", tags=["health"])

    @routes.api_route("/live", methods=READ, response_model=None)
    async def live() -> Response:
        return JSONResponse({"status": "ok"}, 200, NO_STORE)

    @routes.api_route("/ready", methods=READ, response_model=None)
    async def ready() -> Response:
        try:
            async with database.transaction() as connection:
                await schema.check(connection)
        except VaultdError as error:
            return JSONResponse({"status": "unavailable", "reason": error.code}, 503, NO_STORE)
        return JSONResponse({"status": "ok"}, 200, NO_STORE)

    return routes
