"""The composition root: the only place where concrete parts are chosen and wired."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

import vaultd
from vaultd import schema
from vaultd.audit.log import AuditLog
from vaultd.audit.refusals import Refusals
from vaultd.clients.registry import Clients
from vaultd.connect import Connect
from vaultd.connections.grants import GrantStore
from vaultd.connections.labels import Labels
from vaultd.connections.uses import Uses
from vaultd.db import Database
from vaultd.errors import TemporarilyUnavailable, VaultdError
from vaultd.exchange import Exchange
from vaultd.jose import SigningKey
from vaultd.keys.data_keys import DataKeys
from vaultd.keys.keyring import Keyring, make_keys_once, open_keyring
from vaultd.keys.local import open_keyring_file
from vaultd.limits import Buckets, FailureThrottle
from vaultd.operator_tokens import OperatorTokens
from vaultd.outbound import Outbound
from vaultd.providers.oauth import OAuthClient
from vaultd.providers.registry import Providers
from vaultd.refresh import Refresher
from vaultd.release.decide import Judge
from vaultd.release.queue import Counter
from vaultd.release.statement import Statement
from vaultd.revoke import Revoke
from vaultd.sessions.signin import LoginIssuer, SignIn
from vaultd.sessions.store import Sessions
from vaultd.settings import Settings, load
from vaultd.subjects.store import SubjectStore
from vaultd.subjects.verify import SubjectVerifier
from vaultd.terms import Clock, system_clock
from vaultd.web import accounts, audit, bearer, consent, health, metadata, page, signin, token, wire
from vaultd.web.cookies import Cookies


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

    app = FastAPI(title="vaultd", version=vaultd.__version__, lifespan=lifespan, redoc_url=None)
    environment = page.templates()

    def show(_request: Request, error: VaultdError) -> Response:
        return page.error_page(environment, error)

    wire.install(app, page=show)
    app.add_middleware(_CorsForAccounts, origins=settings.allowed_origins)
    app.add_middleware(wire.EveryAnswer, https=settings.public_url.startswith("https:"))
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


async def _open_keys(database: Database, settings: Settings, clock: Clock) -> Keyring:
    backend = open_keyring_file(settings.keys.path)
    async with database.transaction() as connection:
        await schema.check(connection)
        await schema.check_role(connection)
        await make_keys_once(connection, backend, now=clock())
        return await open_keyring(connection, backend)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ground:
    """What everything else stands on, opened and closed with the process."""

    settings: Settings
    clock: Clock
    database: Database
    keyring: Keyring
    data_keys: DataKeys
    outbound: Outbound
    log: AuditLog
    refusals: Refusals
    verifier: SubjectVerifier
    clients: Clients
    providers: Providers
    oauth: OAuthClient
    subjects: SubjectStore


async def _lay_ground(settings: Settings, clock: Clock, stack: AsyncExitStack) -> _Ground:
    database = Database(settings.database_url)
    stack.push_async_callback(database.aclose)
    keyring = await _open_keys(database, settings, clock)
    outbound = Outbound()
    stack.push_async_callback(outbound.aclose)
    data_keys = DataKeys(keyring)
    log = AuditLog(database=database, keyring=keyring, clock=clock)
    stack.push_async_callback(_quietly, log.close)
    refusals = Refusals(log=log, clock=clock)
    stack.push_async_callback(_quietly, refusals.flush_everything)
    verifier = SubjectVerifier(issuers=settings.issuers, outbound=outbound, clock=clock)
    stack.push_async_callback(verifier.aclose)
    return _Ground(
        settings=settings,
        clock=clock,
        database=database,
        keyring=keyring,
        data_keys=data_keys,
        outbound=outbound,
        log=log,
        refusals=refusals,
        verifier=verifier,
        clients=Clients(configs=settings.clients, throttle=FailureThrottle(clock=clock)),
        providers=Providers(configs=settings.providers),
        oauth=OAuthClient(outbound=outbound, clock=clock),
        subjects=SubjectStore(database=database, keyring=keyring, data_keys=data_keys, clock=clock),
    )


async def _wire(app: FastAPI, settings: Settings, clock: Clock, stack: AsyncExitStack) -> None:
    ground = await _lay_ground(settings, clock, stack)
    revoke = _revoke(ground)
    connect = _connect(ground, revoke)
    keys = _signing_keys(ground.keyring)
    operator_tokens = OperatorTokens(
        public_url=settings.public_url,
        clients=ground.clients,
        keys=keys,
        log=ground.log,
        refusals=ground.refusals,
        clock=clock,
    )
    exchange = _exchange(ground, stack)
    app.include_router(token.router(exchange=exchange, operator_tokens=operator_tokens, refusals=ground.refusals))
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
    _add_doors(app, ground, connect, revoke)
    for work in (revoke.run, connect.sweep, ground.refusals.run):
        stack.push_async_callback(_stop, asyncio.create_task(work()))


def _exchange(ground: _Ground, stack: AsyncExitStack) -> Exchange:
    labels = Labels(data_keys=ground.data_keys)
    judge = Judge(labels.of, labels.matches)
    counter = Counter(statement=Statement(log=ground.log, judge=judge, clock=ground.clock))
    stack.push_async_callback(counter.drain)
    refresher = Refresher(
        database=ground.database,
        log=ground.log,
        data_keys=ground.data_keys,
        providers=ground.providers,
        oauth=ground.oauth,
        subjects=ground.subjects,
        clock=ground.clock,
    )
    stack.push_async_callback(refresher.drain)
    return Exchange(
        public_url=ground.settings.public_url,
        clients=ground.clients,
        verifier=ground.verifier,
        subjects=ground.subjects,
        providers=ground.providers,
        counter=counter,
        refresher=refresher,
        data_keys=ground.data_keys,
        uses=Uses(database=ground.database),
        log=ground.log,
        refusals=ground.refusals,
        limits=Buckets(clock=ground.clock),
        clock=ground.clock,
    )


def _revoke(ground: _Ground) -> Revoke:
    return Revoke(
        database=ground.database,
        log=ground.log,
        data_keys=ground.data_keys,
        subjects=ground.subjects,
        providers=ground.providers,
        oauth=ground.oauth,
        clock=ground.clock,
    )


def _connect(ground: _Ground, revoke: Revoke) -> Connect:
    return Connect(
        public_url=ground.settings.public_url,
        database=ground.database,
        log=ground.log,
        data_keys=ground.data_keys,
        subjects=ground.subjects,
        providers=ground.providers,
        oauth=ground.oauth,
        grants=GrantStore(
            keyring=ground.keyring, data_keys=ground.data_keys, clock=ground.clock, wake_revoker=revoke.wake
        ),
        clock=ground.clock,
    )


def _signing_keys(keyring: Keyring) -> list[SigningKey]:
    """The active key first: it signs, the others still verify."""
    entries = sorted(keyring.entries(), key=lambda entry: entry.state != "active")
    return [
        SigningKey(kid=str(entry.key.id), seed=entry.key.material) for entry in entries if entry.purpose == "signing"
    ]


def _add_doors(app: FastAPI, ground: _Ground, connect: Connect, revoke: Revoke) -> None:
    """The routes that people come through: their apps by the accounts API, their browsers by the rest."""
    settings = ground.settings
    public_url, default_client = settings.public_url, settings.default_client
    cookies = Cookies(https=public_url.startswith("https:"))
    sessions = Sessions(database=ground.database, clock=ground.clock)
    rendered = accounts.Accounts(database=ground.database, data_keys=ground.data_keys)
    users = bearer.Users(
        verifier=ground.verifier, subjects=ground.subjects, clients=ground.clients, default_client=default_client
    )
    app.include_router(
        accounts.router(
            public_url=public_url,
            users=users,
            accounts=rendered,
            connect=connect,
            revoke=revoke,
            providers=ground.providers,
            database=ground.database,
        )
    )
    app.include_router(
        consent.router(
            public_url=public_url,
            connect=connect,
            clients=ground.clients,
            sessions=sessions,
            subjects=ground.subjects,
            cookies=cookies,
            default_client=default_client,
            allowed_return_urls=settings.allowed_return_urls,
        )
    )
    app.include_router(
        signin.router(
            public_url=public_url,
            sign_in=_sign_in(settings, ground.database, ground.data_keys, ground.outbound, ground.clock),
            sessions=sessions,
            subjects=ground.subjects,
            cookies=cookies,
        )
    )
    app.include_router(
        page.router(
            public_url=public_url,
            environment=page.templates(),
            sessions=sessions,
            subjects=ground.subjects,
            accounts=rendered,
            revoke=revoke,
            providers=ground.providers,
            clients=ground.clients,
            default_client=default_client,
            cookies=cookies,
        )
    )


def _sign_in(
    settings: Settings, database: Database, data_keys: DataKeys, outbound: Outbound, clock: Clock
) -> SignIn | None:
    if settings.login is None:
        return None
    issuer = settings.issuers[settings.login.issuer]
    return SignIn(
        config=settings.login,
        issuer=LoginIssuer(
            issuer=issuer.issuer, algorithms=issuer.algorithms, allow_private=issuer.allow_private_hosts
        ),
        redirect_uri=f"{settings.public_url}/auth/login/callback",
        database=database,
        data_keys=data_keys,
        outbound=outbound,
        clock=clock,
    )


async def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def _quietly(close: Callable[[], Awaitable[None]]) -> None:
    """At the end of the process the database may be away already; the log's chain shows what is missing."""
    with suppress(TemporarilyUnavailable):
        await close()
