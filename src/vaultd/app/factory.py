"""The ASGI app: what it is made of is wired when it starts, or it does not start."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

from fastapi import FastAPI
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

import vaultd
from vaultd.app.doors import add_doors, make_connect, make_give_back, make_grants, make_revoke, make_secrets
from vaultd.app.ground import lay_ground
from vaultd.app.metrics import Watched, serve_metrics
from vaultd.app.notices import add_notices
from vaultd.app.operators import add_operators
from vaultd.app.pages import make_cookies, make_pages
from vaultd.app.refreshing import hosts_of, make_refreshing
from vaultd.app.tokens import (
    make_assertions,
    make_away,
    make_counter,
    make_exchange,
    make_operator_tokens,
    signing_keys,
)
from vaultd.settings import Settings, load
from vaultd.terms import Clock, system_clock
from vaultd.web import accounts, health, metadata, reference, wire
from vaultd.web.bounded import BoundedBodies
from vaultd.web.cors import Cors, CorsHeaders, Preflights
from vaultd.web.mishaps import Mishaps
from vaultd.web.openapi import document
from vaultd.web.show.pages import Pages, templates
from vaultd.web.token.route import PATH, TokenEndpoint


def from_environment() -> ASGIApp:
    """The app of the file that VAULTD_CONFIG names; what `vaultd serve --workers N` starts in each process."""
    path = Path(os.environ.get("VAULTD_CONFIG", "vaultd.toml"))
    return create_app(load(path, environ=os.environ), workers=int(os.environ.get("VAULTD_WORKERS", "1")))


def create_app(settings: Settings, *, clock: Clock = system_clock, workers: int = 1) -> Front:
    """The service. Database, schema and keyring are opened when it starts, or it does not start.

    `workers` is how many processes serve side by side, this one among them.

    Raises at start-up:
        ConfigurationError: the keyring, the schema or the serving role is not as it must be.
        TemporarilyUnavailable: the database is away.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            front.token_endpoint = await _wire(app, settings, clock, workers=workers, stack=stack, pages=pages)
            # Measured: with its many long-lived objects frozen, the collector stops causing the slowest answers.
            gc.collect()
            gc.freeze()
            gc.set_threshold(100_000, 20, 100)
            yield

    # The document and its page are our own (`web/reference`): FastAPI's page loads scripts from elsewhere. And a path
    # with a slash too many is unknown: a redirect would go where the request's own Host header says.
    app = FastAPI(lifespan=lifespan, openapi_url=None, redirect_slashes=False)
    pages = make_pages(settings, clock)
    answers = wire.ErrorAnswers(page=Mishaps(pages=pages, cookies=make_cookies(settings)))
    wire.install(app, answers=answers)
    described = document(public_url=settings.public_url, version=vaultd.__version__)
    app.include_router(reference.router(document=described, environment=templates()))
    app.add_middleware(BoundedBodies)
    cors = Cors(origins=settings.allowed_origins, prefix=accounts.PREFIX)
    app.add_middleware(Preflights, cors=cors)
    app.add_middleware(wire.EveryAnswer, headers=_every_answer(settings), answers=answers)
    app.add_middleware(CorsHeaders, cors=cors)
    front = Front(app)
    return front


def _every_answer(settings: Settings) -> wire.Headers:
    return wire.security_headers(https=settings.public_url.startswith("https:"))


class Front:
    """Leads token requests to their endpoint, and everything else to the framework."""

    def __init__(self, framework: FastAPI) -> None:
        self.framework = framework
        self.token_endpoint: ASGIApp = framework

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        is_token_request = scope["type"] == "http" and scope["path"] == PATH and scope["method"] == "POST"
        await (self.token_endpoint if is_token_request else self.framework)(scope, receive, send)


async def _wire(
    app: FastAPI, settings: Settings, clock: Clock, *, workers: int, stack: AsyncExitStack, pages: Pages
) -> ASGIApp:
    ground = await lay_ground(settings, clock, stack)
    secrets = make_secrets(ground)
    give_back = make_give_back(ground)
    revoke = make_revoke(ground, secrets, give_back)
    grants = make_grants(ground, give_back)
    connect = make_connect(ground, grants)
    keys = signing_keys(ground.keyring)
    operator_tokens = make_operator_tokens(ground, keys)
    away = make_away(ground)
    assertions = make_assertions(ground, away)
    counter = make_counter(ground, stack)
    refreshing = make_refreshing(ground, stack)
    exchange = make_exchange(ground, assertions, counter, refreshing, stack)
    token_endpoint = TokenEndpoint(
        exchange=exchange,
        operator_tokens=operator_tokens,
        refusals=ground.refusals,
        durations=ground.metrics.durations,
        headers=_every_answer(settings),
    )
    # For the methods that it does not take: those that it takes never come as far as here.
    app.router.routes.append(Route(PATH, token_endpoint, methods=["POST"]))
    add_operators(app, ground, operator_tokens, revoke=revoke, give_back=give_back, secrets=secrets, grants=grants)
    add_notices(app, ground, stack)
    app.include_router(metadata.router(public_url=settings.public_url, keys=keys))
    app.include_router(health.router(database=ground.database))
    add_doors(app, ground, stack, pages=pages, connect=connect, revoke=revoke, assertions=assertions, away=away)
    await ground.signed.fetch()
    stack.push_async_callback(connect.drain)
    background = (give_back.run, connect.sweep, ground.refusals.run, ground.replay.run, ground.signed.run)
    for work in (*background, refreshing.wakeups.run, refreshing.ahead.run, refreshing.undo.sweep):
        stack.push_async_callback(_stop, asyncio.create_task(work()))
    if settings.metrics is not None:
        watched = Watched(
            hosts=hosts_of(ground),
            database=ground.database,
            counter=counter,
            breaker=refreshing.breaker,
            wakeups=refreshing.wakeups,
            ahead=refreshing.ahead,
        )
        await serve_metrics(settings.metrics, ground.metrics, watched, workers=workers, stack=stack)
    return token_endpoint


async def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
