"""The doors that people come through, wired: their apps by the accounts API, their browsers by the rest."""

from __future__ import annotations

from contextlib import AsyncExitStack

from fastapi import FastAPI

from vaultd.app.ground import Ground
from vaultd.app.signing import add_sign_in, make_sessions
from vaultd.connect import Connect
from vaultd.connections.grants import GrantStore
from vaultd.revoke import Revoke
from vaultd.revoke.secrets import Secrets
from vaultd.web import accounts, asking, away, bearer, consent, page
from vaultd.web.cookies import Cookies


def make_secrets(ground: Ground) -> Secrets:
    """What empties connections, whoever ends them."""
    return Secrets(data_keys=ground.data_keys, clock=ground.clock)


def make_revoke(ground: Ground, secrets: Secrets) -> Revoke:
    """Disconnecting, and the outbox toward providers."""
    return Revoke(
        database=ground.database,
        log=ground.log,
        data_keys=ground.data_keys,
        secrets=secrets,
        subjects=ground.subjects,
        providers=ground.providers,
        oauth=ground.oauth,
        clock=ground.clock,
    )


def make_grants(ground: Ground, revoke: Revoke) -> GrantStore:
    """Where grants become connections."""
    return GrantStore(keyring=ground.keyring, data_keys=ground.data_keys, clock=ground.clock, wake_revoker=revoke.wake)


def make_connect(ground: Ground, grants: GrantStore) -> Connect:
    """The consent recipes."""
    return Connect(
        public_url=ground.settings.public_url,
        database=ground.database,
        log=ground.log,
        data_keys=ground.data_keys,
        subjects=ground.subjects,
        providers=ground.providers,
        oauth=ground.oauth,
        grants=grants,
        clock=ground.clock,
    )


def add_doors(
    app: FastAPI,
    ground: Ground,
    stack: AsyncExitStack,
    *,
    connect: Connect,
    revoke: Revoke,
    agents: away.AgentsWhileAway,
) -> None:
    """Add the routes."""
    settings = ground.settings
    public_url, default_client = settings.public_url, settings.default_client
    environment = page.templates()
    cookies = Cookies(https=public_url.startswith("https:"))
    sessions = make_sessions(ground)
    rendered = accounts.Accounts(database=ground.database, data_keys=ground.data_keys)
    users = bearer.Users(
        public_url=public_url,
        verifier=ground.verifier,
        possession=ground.possession,
        subjects=ground.subjects,
        clients=ground.clients,
        default_client=default_client,
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
            providers=ground.providers,
            asking=asking.Asking(environment=environment),
            default_client=default_client,
            allowed_return_urls=settings.allowed_return_urls,
        )
    )
    add_sign_in(app, ground, stack, sessions=sessions, cookies=cookies, environment=environment)
    app.include_router(
        page.router(
            public_url=public_url,
            environment=environment,
            sessions=sessions,
            subjects=ground.subjects,
            accounts=rendered,
            agents=agents,
            revoke=revoke,
            providers=ground.providers,
            clients=ground.clients,
            default_client=default_client,
            cookies=cookies,
        )
    )
    app.include_router(
        away.router(
            public_url=public_url,
            agents=agents,
            sessions=sessions,
            subjects=ground.subjects,
            cookies=cookies,
        )
    )
