"""The doors that people come through, wired: their apps by the accounts API, their browsers by the rest."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AsyncExitStack

from fastapi import FastAPI

from vaultd.app.ground import Ground
from vaultd.app.pages import add_pages, make_cookies
from vaultd.app.signing import add_sign_in, make_sessions
from vaultd.clients.config import ClientConfig
from vaultd.clients.limits import ClientLimits
from vaultd.connect import Connect
from vaultd.connect.returning import ReturnPlaces
from vaultd.connections.grants import GrantStore
from vaultd.connections.holders import Holders
from vaultd.exchange.assertion import Assertions
from vaultd.revoke import GiveBack, Revoke
from vaultd.revoke.secrets import Secrets
from vaultd.revoke.sharing import Sharing
from vaultd.subjects.away import AwaySwitch
from vaultd.terms import Scopes
from vaultd.web import accounts, bearer
from vaultd.web.show.pages import Pages


def make_secrets(ground: Ground) -> Secrets:
    """What empties connections, whoever ends them."""
    return Secrets(data_keys=ground.data_keys, clock=ground.clock)


def make_revoke(ground: Ground, secrets: Secrets, give_back: GiveBack) -> Revoke:
    """Disconnecting."""
    return Revoke(
        database=ground.database, log=ground.log, secrets=secrets, subjects=ground.subjects, wake=give_back.wake
    )


def make_give_back(ground: Ground) -> GiveBack:
    """The outbox toward providers."""
    return GiveBack(
        database=ground.database,
        log=ground.log,
        data_keys=ground.data_keys,
        subjects=ground.subjects,
        providers=ground.providers,
        oauth=ground.oauth,
        sharing=Sharing(
            database=ground.database,
            holders=Holders(
                data_keys=ground.data_keys, pending=ground.pending, lookups=ground.lookups, clock=ground.clock
            ),
            providers=ground.providers,
            oauth=ground.oauth,
        ),
        clock=ground.clock,
    )


def make_grants(ground: Ground, give_back: GiveBack) -> GrantStore:
    """Where grants become connections."""
    return GrantStore(
        keyring=ground.keyring,
        data_keys=ground.data_keys,
        lookups=ground.lookups,
        clock=ground.clock,
        wake_revoker=give_back.wake_soon,
    )


def make_connect(ground: Ground, grants: GrantStore) -> Connect:
    """The consent recipes."""
    return Connect(
        public_url=ground.settings.public_url,
        database=ground.database,
        log=ground.log,
        pending=ground.pending,
        places=ReturnPlaces(
            public_url=ground.settings.public_url,
            configs=ground.settings.clients,
            allowed_return_urls=ground.settings.allowed_return_urls,
        ),
        subjects=ground.subjects,
        providers=ground.providers,
        oauth=ground.oauth,
        grants=grants,
        clock=ground.clock,
        listed=lambda provider: _listed(ground.settings.clients.values(), provider),
    )


def _listed(clients: Iterable[ClientConfig], provider: str) -> Scopes:
    """What the clients' lists for a provider have, all together."""
    return Scopes(scope for one in clients if provider in one.providers for scope in one.providers[provider].scopes)


def add_doors(
    app: FastAPI,
    ground: Ground,
    stack: AsyncExitStack,
    *,
    pages: Pages,
    connect: Connect,
    revoke: Revoke,
    assertions: Assertions,
    away: AwaySwitch,
) -> None:
    """Add the routes."""
    cookies = make_cookies(ground.settings)
    sessions = make_sessions(ground)
    _add_accounts(app, ground, connect, revoke)
    add_sign_in(app, ground, stack, sessions=sessions, cookies=cookies, pages=pages)
    add_pages(
        app,
        ground,
        pages,
        cookies=cookies,
        sessions=sessions,
        connect=connect,
        revoke=revoke,
        assertions=assertions,
        away=away,
    )


def _add_accounts(app: FastAPI, ground: Ground, connect: Connect, revoke: Revoke) -> None:
    public_url = ground.settings.public_url
    rendered = accounts.Accounts(database=ground.database, data_keys=ground.data_keys, clock=ground.clock)
    users = bearer.Users(
        public_url=public_url,
        verifier=ground.verifier,
        possession=ground.possession,
        subjects=ground.subjects,
        clients=ground.clients,
        limits=ClientLimits(clock=ground.clock, clients=len(ground.settings.clients)),
        default_client=ground.settings.default_client,
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
            reader=ground.reader,
            refused=ground.refused,
        )
    )
