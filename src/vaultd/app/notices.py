"""Providers' notices, wired: for each provider that tells us, the one way in which it is believed."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from datetime import timedelta

from fastapi import FastAPI

from vaultd.app.ground import Ground
from vaultd.jose import KeyCache
from vaultd.notices import Notice
from vaultd.notices.github import read_github
from vaultd.notices.google_risc import read_google_risc
from vaultd.notices.slack import read_slack
from vaultd.providers.registry import Provider
from vaultd.revoke import ActOnNotice, Doubted
from vaultd.terms import Secret
from vaultd.web import notices
from vaultd.web.notices import Reader

_RISC_DISCOVERY = "risc-configuration"


def add_notices(app: FastAPI, ground: Ground, stack: AsyncExitStack) -> None:
    """Add the route."""
    readers: dict[str, Reader] = {
        provider.name: _reader(provider, ground, stack)
        for provider in ground.providers.all()
        if provider.config.notices is not None
    }
    doubted = Doubted(
        database=ground.database,
        data_keys=ground.data_keys,
        providers=ground.providers,
        oauth=ground.oauth,
        clock=ground.clock,
    )
    act = ActOnNotice(
        database=ground.database,
        log=ground.log,
        lookups=ground.lookups,
        data_keys=ground.data_keys,
        subjects=ground.subjects,
        replay=ground.replay,
        providers=ground.providers,
        doubted=doubted,
        keep_broken=timedelta(days=ground.settings.refresh.keep_broken_days),
        clock=ground.clock,
    )
    app.include_router(notices.router(readers=readers, act=act, refused=ground.refused))


def _reader(provider: Provider, ground: Ground, stack: AsyncExitStack) -> Reader:
    config = provider.config
    if config.notices == "google_risc":
        keys = KeyCache(
            outbound=ground.outbound,
            clock=ground.clock,
            issuer=config.notices_issuer,
            discovery=_RISC_DISCOVERY,
            allow_private=config.allow_private_hosts,
        )
        stack.push_async_callback(keys.aclose)
        return _google(keys, config.notices_issuer, config.client_id, ground)
    if config.webhook_secret is None:
        raise ValueError("the settings let no such table through")
    return (_github if config.notices == "github" else _slack)(config.webhook_secret, ground)


def _github(secret: Secret, ground: Ground) -> Reader:
    del ground

    async def read(headers: Mapping[str, str], body: bytes) -> Notice:
        return read_github(headers, body, secret=secret)

    return read


def _slack(secret: Secret, ground: Ground) -> Reader:
    async def read(headers: Mapping[str, str], body: bytes) -> Notice:
        return read_slack(headers, body, secret=secret, now=ground.clock())

    return read


def _google(keys: KeyCache, issuer: str, client_id: str, ground: Ground) -> Reader:
    async def read(headers: Mapping[str, str], body: bytes) -> Notice:
        del headers
        return await read_google_risc(
            body, key_for=keys.find, issuer=issuer, client_ids={client_id}, now=ground.clock()
        )

    return read
