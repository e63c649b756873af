"""The ASGI app: what it is made of is wired when it starts, or it does not start."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

import vaultd
from vaultd.app.doors import add_doors, make_connect, make_revoke
from vaultd.app.ground import lay_ground
from vaultd.app.tokens import make_exchange, make_operator_tokens, signing_keys
from vaultd.errors import VaultdError
from vaultd.settings import Settings, load
from vaultd.terms import Clock, system_clock
from vaultd.web import accounts, audit, bearer, health, metadata, page, reference, wire
from vaultd.web.bounded import BoundedBodies
from vaultd.web.openapi import document
from vaultd.web.token import route


def from_environment() -> FastAPI:
    """The app of the file that VAULTD_CONFIG names; what `vaultd serve --workers N` starts in each process."""
    path = Path(os.environ.get("VAULTD_CONFIG", "vaultd.toml"))
    return create_app(load(path, environ=os.environ))


def create_app(settings: Settings, *, clock: Clock = system_clock) -> FastAPI:
    """The service. Database, schema and keyring are opened when it starts, or it does not start.

    Raises at start-up:
        ConfigurationError: the keyring, the schema or the serving role is not as it must be.
        TemporarilyUnavailable: the database is away.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            await _wire(app, settings, clock, stack)
            # Measured: with its many long-lived objects frozen, the collector stops causing the slowest answers.
            gc.collect()
            gc.freeze()
            yield

    # The document and its page are our own (`web/reference`): FastAPI's page loads scripts from elsewhere. A path has
    # one spelling: a redirect to the other would be built from the request's own Host header.
    app = FastAPI(lifespan=lifespan, openapi_url=None, redirect_slashes=False)
    environment = page.templates()

    def show(_request: Request, error: VaultdError) -> Response:
        return page.error_page(environment, error)

    answers = wire.ErrorAnswers(page=show)
    wire.install(app, answers=answers)
    described = document(public_url=settings.public_url, version=vaultd.__version__)
    app.include_router(reference.router(document=described, environment=environment))
    app.add_middleware(BoundedBodies)
    app.add_middleware(_CorsForAccounts, origins=settings.allowed_origins)
    app.add_middleware(wire.EveryAnswer, https=settings.public_url.startswith("https:"), answers=answers)
    return app


class _CorsForAccounts:
    """CORS for the accounts API alone; never on the token endpoint (api.md §2)."""

    def __init__(self, app: ASGIApp, *, origins: tuple[str, ...]) -> None:
        self._app = app
        self._with_cors = CORSMiddleware(
            app,
            allow_origins=origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["authorization", "content-type", "if-none-match"],
            expose_headers=["etag"],
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        accounts_api = scope["type"] == "http" and scope["path"].startswith(accounts.PREFIX)
        await (self._with_cors if accounts_api else self._app)(scope, receive, send)


async def _wire(app: FastAPI, settings: Settings, clock: Clock, stack: AsyncExitStack) -> None:
    ground = await lay_ground(settings, clock, stack)
    revoke = make_revoke(ground)
    connect = make_connect(ground, revoke)
    keys = signing_keys(ground.keyring)
    operator_tokens = make_operator_tokens(ground, keys)
    exchange = make_exchange(ground, stack)
    app.include_router(route.router(exchange=exchange, operator_tokens=operator_tokens, refusals=ground.refusals))
    app.include_router(
        audit.router(
            database=ground.database,
            subjects=ground.subjects,
            operators=bearer.Operators(tokens=operator_tokens),
            log=ground.log,
        )
    )
    app.include_router(metadata.router(public_url=settings.public_url, keys=keys))
    app.include_router(health.router(database=ground.database))
    add_doors(app, ground, connect, revoke)
    for work in (revoke.run, connect.sweep, ground.refusals.run, ground.replay.run):
        stack.push_async_callback(_stop, asyncio.create_task(work()))


async def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
