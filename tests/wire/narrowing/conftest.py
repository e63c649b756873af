"""A sandbox's users, asked for at vaults that can narrow and at one that cannot.

Two replicas know the sandbox's `github` as a provider that narrows, a third vault knows it as one that cannot. All work
on one database, so that a connection made once is seen by each of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from tests.support.exchanging import agent_http, events_of, exchange_form, make_healthy
from tests.wire.vault import App
from vaultd.app.factory import create_app
from vaultd.db import Database
from vaultd.sandbox.dev_config import SAMPLE_AGENT
from vaultd.sandbox.grants import Access, Family
from vaultd.sandbox.provider import SandboxProvider
from vaultd.sandbox.servers import LoopbackServers, listen
from vaultd.sandbox.world import World, start_world
from vaultd.settings import load
from vaultd.terms import Scopes, Secret

SECRET = "a secret for the clients of this test, long enough"
CLIENTS = {
    "whole": '["repo", "read:user"]',
    "reader": '["read:user"]',
    "lenient": '{scopes = ["read:user"], on_wider_grant = "allow"}',
    "stranger": '["gist"]',
    "foreigner": '{scopes = ["gist"], on_wider_grant = "allow"}',
}
"""What each may have at github. Users grant `repo` and `read:user`."""


@dataclass(frozen=True, slots=True)
class Vaults:
    """URLs: two replicas that can narrow, and a vault that cannot."""

    narrowing: str
    replica: str
    plain: str


@pytest.fixture(scope="package")
def shared() -> Iterator[World]:
    with start_world(synced=False) as world:
        yield world


@pytest.fixture(scope="package")
def vaults(shared: World) -> Iterator[Vaults]:
    with LoopbackServers() as servers:
        yield Vaults(*(_serve(servers, shared, narrows) for narrows in (True, True, False)))


def _serve(servers: LoopbackServers, world: World, narrows: bool) -> str:  # noqa: FBT001 - the one thing that differs
    listener = listen()
    written = (world.folder / "vaultd.toml").read_text(encoding="utf-8")
    written = written.replace(f'public_url = "{world.places.vault}"', f'public_url = "{listener.url}"')
    if narrows:
        written = written.replace("[providers.github]\n", '[providers.github]\nnarrowing = "refresh"\n')
    for name, entry in CLIENTS.items():
        written += f'\n[clients.{name}]\nauth = "client_secret_basic"\nsecret = "{SECRET}"\n'
        written += f'subject_azp = ["{SAMPLE_AGENT}"]\nproviders = {{github = {entry}}}\n'
    config = world.folder / f"{listener.port}.toml"
    config.write_text(written, encoding="utf-8")
    return servers.serve(create_app(load(config, environ={}, allow_literal_secrets=True)), listener)


@dataclass(frozen=True, slots=True)
class Told:
    """An answer of the token endpoint, and what the provider says of the token in it."""

    answer: httpx.Response
    provider: SandboxProvider

    @property
    def token(self) -> str:
        assert self.answer.status_code == 200, self.answer.text
        token: str = self.answer.json()["access_token"]
        return token

    @property
    def access(self) -> Access | None:
        return self.provider.grants.access(self.token)

    def carries(self, scopes: str) -> None:
        """The token is good, carries exactly these scopes, and the answer says so."""
        assert self.access is not None
        assert self.access.scopes == Scopes.parse(scopes)
        assert self.answer.json()["scope"] == str(Scopes.parse(scopes))
        assert 0 < self.answer.json()["expires_in"] <= self.provider.grants.ttl.total_seconds()

    def is_invalid_scope(self) -> None:
        assert (self.answer.status_code, self.answer.json()["error"]) == (400, "invalid_scope")
        assert "access_token" not in self.answer.json()


class Asking:
    """A connected user, and short ways to ask for their tokens."""

    def __init__(self, world: World, vaults: Vaults, app: App, account: dict[str, Any]) -> None:
        self.world = world
        self.vaults = vaults
        self.app = app
        self.account = account["id"]
        self.provider = world.providers["github"]
        self.session = Secret(app.session_token)

    async def ask(self, client: str, scope: str | None = None, *, at: str | None = None) -> Told:
        (told,) = await self.ask_all([(client, scope, at or self.vaults.narrowing)])
        return told

    async def ask_all(self, asks: list[tuple[str, str | None, str]]) -> list[Told]:
        async with agent_http() as http:
            answers = await asyncio.gather(*(self._post(http, *one) for one in asks))
        return [Told(answer, self.provider) for answer in answers]

    async def report(
        self, client: str, token: str, scope: str | None = None, *, at: str | None = None, times: int = 1
    ) -> list[Told]:
        """Say that GitHub's API refused this token, so many at once."""
        async with agent_http() as http:
            posts = (self._post(http, client, scope, at or self.vaults.narrowing, token) for _ in range(times))
            return [Told(answer, self.provider) for answer in await asyncio.gather(*posts)]

    async def _post(
        self, http: httpx.AsyncClient, client: str, scope: str | None, at: str, refused: str | None = None
    ) -> httpx.Response:
        form = exchange_form(self.session, "github") | ({} if scope is None else {"scope": scope})
        if refused is not None:
            form["refused_token"] = refused
        return await http.post(f"{at}/oauth/token", data=form, auth=(client, SECRET))

    async def newest(self, kind: str) -> dict[str, Any]:
        return (await events_of(self.world, kind, "github"))[0]

    async def kept(self) -> list[str]:
        """The scopes of the narrowed tokens that are kept."""
        query = text("SELECT scopes FROM narrowed_tokens WHERE connection_id = :id ORDER BY scopes")
        database = Database(self.world.settings.database_url, pool_size=1)
        try:
            async with database.transaction() as connection:
                return list((await connection.execute(query, {"id": self.account})).scalars())
        finally:
            await database.aclose()

    async def reconnect(self) -> None:
        assert (await self.app.connect("github"))["id"] == self.account
        self.provider.calls.clear()

    @property
    def refreshes(self) -> int:
        return self.provider.calls["refresh"]

    @property
    def family(self) -> Family:
        """The user's grant at the provider; the newest, as each test connects anew."""
        return self.provider.grants.families[-1]


@pytest.fixture
async def asking(shared: World, vaults: Vaults) -> AsyncIterator[Asking]:
    make_healthy(shared.providers["github"])
    async with App(shared) as app:
        made = Asking(shared, vaults, app, await app.connect("github"))
        made.provider.calls.clear()
        yield made
