"""The whole sandbox, started together: database, vault, issuer, three providers and an agent, all on loopback."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route

from vaultd import schema
from vaultd.app.factory import create_app
from vaultd.db import Database
from vaultd.keys.local import generate_keyring_file
from vaultd.sandbox.agent import SampleAgent
from vaultd.sandbox.app_client import AppClient
from vaultd.sandbox.briefing import BriefingPage
from vaultd.sandbox.dev_config import (
    BRIEFING_AGENT,
    PROVIDER_SCOPES,
    VAULT_AT_ISSUER,
    VAULT_AT_PROVIDER,
    DevSecrets,
    Places,
    write_config,
)
from vaultd.sandbox.grants import Witness, nobody
from vaultd.sandbox.issuer import SandboxIssuer
from vaultd.sandbox.postgres import RunningPostgres, start_postgres
from vaultd.sandbox.provider import SandboxProvider
from vaultd.sandbox.servers import Listener, LoopbackServers, listen
from vaultd.settings import Settings, load
from vaultd.terms import Secret, system_clock

DATABASE = "vaultd"
SERVING_ROLE = "vaultd_service"
NAMES = ("vault", "issuer", *PROVIDER_SCOPES, "agent")
"""Who listens, in the order of their ports."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A running sandbox. `folder` holds its configuration file and keyring."""

    places: Places
    settings: Settings
    secrets: DevSecrets
    issuer: SandboxIssuer
    providers: Mapping[str, SandboxProvider]
    agent: SampleAgent
    folder: Path


@dataclass(frozen=True, slots=True)
class _Outside:
    """What the sandbox knows of what is around it; `start_world` says more."""

    app: str | None
    client: AppClient | None
    witness: Witness


@contextmanager
def start_world(
    *,
    folder: Path | None = None,
    port: int = 0,
    app: str | None = None,
    client: AppClient | None = None,
    witness: Witness = nobody,
    synced: bool = True,
) -> Iterator[World]:
    """Start everything, stop everything at the end of the block.

    `app` is the page of an app outside of the sandbox that is to work with it.
    Without `folder` all data are temporary. From `port` on, each part takes the next port; with 0 any free ones.
    `client` is known to the issuer and the vault. `witness` sees every token that the issuer and the providers give.
    `synced` is the database's, as `start_postgres` says.

    Raises:
        ConfigurationError: a port is taken, or a part does not start.
    """
    with ExitStack() as stack:
        # Ports first: the quickest of what can fail.
        listeners = _listen(stack, port)
        home = folder or Path(tempfile.mkdtemp(prefix="vaultd-dev-"))
        if folder is None:
            stack.callback(shutil.rmtree, home, ignore_errors=True)
        home.mkdir(parents=True, exist_ok=True)
        postgres = stack.enter_context(start_postgres(folder, synced=synced))
        world = _furnish(home, postgres, listeners, _Outside(app, client, witness))
        servers = stack.enter_context(LoopbackServers())
        servers.serve(world.issuer.app, listeners["issuer"])
        for name, provider in world.providers.items():
            servers.serve(provider.app, listeners[name])
        servers.serve(_agent_app(world), listeners["agent"])
        servers.serve(create_app(world.settings), listeners["vault"])
        yield world


def _listen(stack: ExitStack, port: int) -> dict[str, Listener]:
    listeners = {}
    for offset, name in enumerate(NAMES):
        listeners[name] = listen(port + offset if port else 0)
        stack.callback(listeners[name].socket.close)
    return listeners


def _furnish(home: Path, postgres: RunningPostgres, listeners: Mapping[str, Listener], outside: _Outside) -> World:
    places = Places(
        vault=listeners["vault"].url,
        issuer=listeners["issuer"].url,
        agent=listeners["agent"].url,
        providers={name: listeners[name].url for name in PROVIDER_SCOPES},
    )
    dev_secrets = DevSecrets(login=_secret(), provider=_secret(), briefing_agent=_secret(), operator=_secret())
    settings = _settings(home, postgres, places, dev_secrets, outside)
    return World(
        places=places,
        settings=settings,
        secrets=dev_secrets,
        issuer=_issuer(places, dev_secrets.login, outside),
        providers={name: _provider(name, places, dev_secrets.provider, outside.witness) for name in PROVIDER_SCOPES},
        agent=SampleAgent(
            token_endpoint=f"{places.vault}/oauth/token",
            client_id=BRIEFING_AGENT,
            client_secret=dev_secrets.briefing_agent,
            apis=places.providers,
        ),
        folder=home,
    )


def _settings(
    home: Path, postgres: RunningPostgres, places: Places, dev_secrets: DevSecrets, outside: _Outside
) -> Settings:
    keyring, config = home / "keyring.json", home / "vaultd.toml"
    if not keyring.exists():
        generate_keyring_file(keyring, now=system_clock())
    if DATABASE not in postgres.run("SELECT datname FROM pg_database").split():
        postgres.create_database(DATABASE)
    asyncio.run(_migrate(Secret(postgres.url(DATABASE))))
    if SERVING_ROLE not in postgres.run("SELECT rolname FROM pg_roles").split():
        postgres.run(f"CREATE ROLE {SERVING_ROLE} LOGIN IN ROLE vaultd_app")
    database_url = postgres.url(DATABASE, SERVING_ROLE)
    write_config(
        config,
        places=places,
        secrets=dev_secrets,
        database_url=database_url,
        keyring=keyring,
        app=outside.app,
        client=outside.client,
    )
    # No environment: a VAULTD_DATABASE_URL of the shell must not lead the sandbox to another database.
    return load(config, environ={}, allow_literal_secrets=True)


async def _migrate(url: Secret) -> None:
    database = Database(url)
    try:
        async with database.transaction() as connection:
            await schema.upgrade(connection)
    finally:
        await database.aclose()


def _issuer(places: Places, login: Secret, outside: _Outside) -> SandboxIssuer:
    clients, redirect_uris = {VAULT_AT_ISSUER: login}, [f"{places.vault}/auth/login/callback"]
    if outside.client is not None:
        clients[outside.client.name] = outside.client.issuer_secret
        redirect_uris.append(outside.client.signed_in)
    return SandboxIssuer(
        issuer=places.issuer,
        clients=clients,
        audience=places.vault,
        redirect_uris=redirect_uris,
        witness=outside.witness,
    )


def _provider(name: str, places: Places, secret: Secret, witness: Witness) -> SandboxProvider:
    return SandboxProvider(
        name=name,
        clients={VAULT_AT_PROVIDER: secret},
        issuer=places.providers[name],
        redirect_uris=[f"{places.vault}/auth/callback/{name}"],
        scopes=PROVIDER_SCOPES[name],
        witness=witness,
    )


def _agent_app(world: World) -> Starlette:
    page = BriefingPage(agent=world.agent, issuer=world.issuer, connections=f"{world.places.vault}/connections")

    async def connected(_: Request) -> Response:
        # The code stays unused in the address: an app would complete the connection with it.
        return PlainTextResponse("Connected. You may close this window.\n", headers={"Referrer-Policy": "no-referrer"})

    return Starlette(routes=[Route("/connected", connected), *page.routes, Mount("/", world.agent.app)])


def _secret() -> Secret:
    return Secret(secrets.token_urlsafe(32))
