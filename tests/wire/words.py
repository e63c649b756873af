"""A vault whose providers say what a test has them say, and what its tests do with it again and again."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.doubles.own_words import Granted, OwnWords
from tests.support.clock import HandClock
from tests.wire.own import OneAgent, agent_beside
from tests.wire.vault import App
from vaultd.providers.catalogue import load_catalogue
from vaultd.sandbox.servers import LoopbackServers
from vaultd.sandbox.world import World

ENTRIES = load_catalogue()
LIKE = ("jira", "strava", "salesforce", "microsoft")
"""Entries of the catalogue whose words are spoken; `own` is a provider of no entry."""
OF_REFRESHES = {
    "refusals",
    "dead_only_twice",
    "rotation",
    "error_path",
    "error_codes",
    "refresh_sends_scopes",
    "refresh_adds_scopes",
}


@dataclass(frozen=True, slots=True)
class Town(OneAgent):
    """A vault, its clock, and its providers, which it knows by another name: `own` is `own-here`."""

    clock: HandClock
    at: dict[str, OwnWords]
    database_url: str

    async def consented(self, app: App, name: str) -> tuple[httpx.Response, dict[str, str]]:
        # Named, since `super` finds no class that was made anew for its slots.
        return await OneAgent.consented(self, app, f"{name}-here")

    async def connected(self, app: App, name: str) -> Granted:
        """The whole way; gives what was granted."""
        await self.connect(app, name)
        return self.at[name].latest()

    async def exchange(self, app: App, name: str, **changes: str) -> httpx.Response:
        async with self.vault() as vault:
            return await vault.exchange(app.session_token, audience=f"{name}-here", **changes)

    async def account(self, app: App) -> dict[str, Any]:
        (account,) = (await app.http.get("accounts")).json()["accounts"]
        found: dict[str, Any] = account
        return found

    async def events(self, app: App, kind: str) -> list[dict[str, Any]]:
        """A user's events of one type, newest first."""
        who: dict[str, Any] = {"subject_issuer": self.world.places.issuer, "subject": app.user}
        async with self.vault() as vault:
            found: list[dict[str, Any]] = (await vault.audit(type=kind, **who))["events"]
        return found


async def until(condition: Any, seconds: float = 20) -> None:
    """Return when it is so."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


@contextmanager
def wordy_vault(world: World, *, database_url: str, folder: Path) -> Iterator[Town]:
    """Start the providers, each at a host of its own, and the vault."""
    names = (*LIKE, "own", "single", "never", "sending", "narrowing")
    at, clock = {name: OwnWords() for name in names}, HandClock()
    with LoopbackServers() as servers:
        urls = {name: servers.serve(provider.app) for name, provider in at.items()}
        changes: dict[str, dict[str, Any]] = {
            "single": {"accounts": "single"},
            "never": {"rotation": "never"},
            "narrowing": {"narrowing": "refresh"},
            "sending": {"refresh_sends_scopes": True, "refresh_adds_scopes": ["offline"]},
        }
        tables = {name: at[name].tables(urls[name], **changes.get(name, {})) for name in names}
        for name in LIKE:
            # What the entry says of its refusals and refreshes, at an address and in a shape that all here share.
            tables[name] |= {key: value for key, value in ENTRIES[name].items() if key in OF_REFRESHES}
        providers = {f"{name}-here": tables[name] for name in tables}
        with agent_beside(world, database_url=database_url, folder=folder, providers=providers, clock=clock) as beside:
            yield Town(beside, clock, at, database_url)
