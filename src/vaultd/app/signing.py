"""Signing in and out, wired: the `[login]` issuer, the sessions, and the routes of both."""

from __future__ import annotations

from contextlib import AsyncExitStack
from datetime import timedelta

from fastapi import FastAPI

from vaultd.app.ground import Ground
from vaultd.jose import KeyCache
from vaultd.revoke import ActOnLogout
from vaultd.sessions.config import LoginConfig
from vaultd.sessions.flows import Flows
from vaultd.sessions.issuer import LoginIssuer
from vaultd.sessions.signin import SignIn
from vaultd.sessions.store import Lifetime, Sessions
from vaultd.web import backchannel, signin
from vaultd.web.cookies import Cookies
from vaultd.web.show.pages import Pages

_LIMITS = LoginConfig.model_fields


def make_sessions(ground: Ground) -> Sessions:
    """The browser's sessions. Without a `[login]` nobody can open one."""
    login = ground.settings.login
    idle = login.idle if login else _LIMITS["idle"].default
    absolute = login.absolute if login else _LIMITS["absolute"].default
    return Sessions(
        database=ground.database,
        log=ground.log,
        keyring=ground.keyring,
        clock=ground.clock,
        lifetime=Lifetime(timedelta(seconds=idle), timedelta(seconds=absolute)),
    )


def add_sign_in(
    app: FastAPI,
    ground: Ground,
    stack: AsyncExitStack,
    *,
    sessions: Sessions,
    cookies: Cookies,
    pages: Pages,
) -> None:
    """Add the routes."""
    login = ground.settings.login
    issuer = None if login is None else _issuer(login, ground, stack)
    app.include_router(
        signin.router(
            public_url=ground.settings.public_url,
            pages=pages,
            sign_in=None if issuer is None else _sign_in(issuer, ground),
            sessions=sessions,
            subjects=ground.subjects,
            cookies=cookies,
            refused=ground.refused,
        )
    )
    if issuer is not None:
        act = ActOnLogout(log=ground.log, sessions=sessions, subjects=ground.subjects, replay=ground.replay)
        app.include_router(backchannel.router(issuer=issuer, act=act, refused=ground.refused))


def _issuer(login: LoginConfig, ground: Ground, stack: AsyncExitStack) -> LoginIssuer:
    config = ground.settings.issuers[login.issuer]
    keys = KeyCache(
        outbound=ground.outbound,
        clock=ground.clock,
        issuer=config.issuer,
        jwks_uri=config.jwks_uri,
        jwks_file=config.jwks_file,
        allow_private=config.allow_private_hosts,
    )
    stack.push_async_callback(keys.aclose)
    issuer = LoginIssuer(
        config=login,
        issuer=config.issuer,
        algorithms=config.algorithms,
        allow_private=config.allow_private_hosts,
        keys=keys,
        outbound=ground.outbound,
        clock=ground.clock,
    )
    stack.push_async_callback(issuer.aclose)
    return issuer


def _sign_in(issuer: LoginIssuer, ground: Ground) -> SignIn:
    return SignIn(
        issuer=issuer,
        flows=Flows(database=ground.database, data_keys=ground.data_keys, keyring=ground.keyring, clock=ground.clock),
        redirect_uri=f"{ground.settings.public_url}/auth/login/callback",
    )
