"""Refreshing over a real database and a provider whose every answer a test decides."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from tests.support.house import House
from tests.unit.scripted_server import HOST, ScriptedServer, serve_scripted
from vaultd.audit import read
from vaultd.connections import narrowed, outbox
from vaultd.connections.narrowed import AccessToken, Narrowed
from vaultd.connections.sealing import Opened, data_key_of, open_connection
from vaultd.connections.table import ConnectionRow
from vaultd.outbound import Outbound
from vaultd.providers.config import ProviderConfig
from vaultd.providers.oauth import OAuthClient
from vaultd.providers.registry import Providers
from vaultd.refresh import Breaker, CallResults, Claims, Leased, Narrower, Patience, Refresher, Undo, Wakeups, host_of
from vaultd.replay import ReplayMemory
from vaultd.sandbox.loopback import authorities
from vaultd.sandbox.servers import LoopbackServers
from vaultd.telemetry.metrics import Tally
from vaultd.terms import Scopes

MARGIN = timedelta(seconds=60)
USER = Scopes({"user"})
KEEP_BROKEN = timedelta(days=7)


class Process:
    """What one process refreshes with."""

    def __init__(self, house: House, providers: Providers, outbound: Outbound) -> None:
        self.breaker = Breaker(clock=house.clock, chance=lambda: 1.0)
        # Who is woken is woken by word: while it listens, it does not look again by itself within a test.
        self.wakeups = Wakeups(database=house.database, look_again=600)
        self.patience = Patience(clock=house.clock, chance=lambda: 1.0)
        self.outcomes = Tally("refreshes", "Outcomes.", ("provider", "outcome"))
        self.house = house
        self.results = self.results_at(providers)
        self.leased = Leased(
            database=house.database,
            results=self.results,
            providers=providers,
            oauth=OAuthClient(outbound=outbound, clock=house.clock),
            breaker=self.breaker,
            patience=self.patience,
            clock=house.clock,
            second_try=0,
        )
        self.undo = Undo(
            database=house.database,
            log=house.log,
            data_keys=house.data_keys,
            subjects=house.subjects,
            clock=house.clock,
        )
        replay = ReplayMemory(database=house.database, clock=house.clock)
        self.claims = Claims(keyring=house.keyring, data_keys=house.data_keys, replay=replay, clock=house.clock)
        self.refresher = Refresher(
            database=house.database,
            log=house.log,
            leased=self.leased,
            results=self.results,
            claims=self.claims,
            wakeups=self.wakeups,
            clock=house.clock,
        )
        self.narrower = Narrower(
            database=house.database,
            log=house.log,
            leased=self.leased,
            results=self.results,
            refresher=self.refresher,
            claims=self.claims,
            wakeups=self.wakeups,
            clock=house.clock,
        )

    def results_at(self, providers: Providers) -> CallResults:
        """Where the ends of calls to these providers are written down."""
        house = self.house
        return CallResults(
            log=house.log,
            data_keys=house.data_keys,
            lookups=house.lookups,
            providers=providers,
            subjects=house.subjects,
            keep_broken=KEEP_BROKEN,
            outcomes=self.outcomes,
            clock=house.clock,
        )


class Room:
    """Two processes over one database, one provider, and short ways to look at what became of it."""

    def __init__(self, house: House, server: ScriptedServer, outbound: Outbound) -> None:
        table = {
            "client_id": "vaultd",
            "token_endpoint_auth_method": "none",
            "authorization_endpoint": f"{server.url}/authorize",
            "token_endpoint": f"{server.url}/token",
            "narrowing": "refresh",
            "assumed_ttl": 900,
            "allow_private_hosts": [HOST],
        }
        config = ProviderConfig.model_validate(table)
        self.providers = Providers(configs={"github": config, "google": config})
        self.house = house
        self.server = server
        self.host = host_of(server.url)
        self.outbound = outbound
        self.first, self.second = (Process(house, self.providers, outbound) for _ in range(2))

    def answers(self, **members: Any) -> None:
        """The provider answers a token with these members changed; None leaves one out."""
        plain = {"access_token": "narrow", "token_type": "bearer", "expires_in": 600, "refresh_token": "rotated"}
        self.server.answers_json({name: value for name, value in (plain | members).items() if value is not None})

    def refuses(self, error: str) -> None:
        self.server.answers_json({"error": error}, status=400)

    async def connected(self, name: str = "alice") -> ConnectionRow:
        return await self.house.row(await self.house.connect(await self.house.subject(name)))

    async def narrow(self, row: ConnectionRow, scopes: Scopes = USER) -> Any:
        return await asyncio.wait_for(self.first.narrower.narrow(row, scopes, margin=MARGIN), 10)

    def opened(self, row: ConnectionRow) -> Opened:
        return open_connection(data_key_of(row, self.house.data_keys), row)

    async def kept(self, row: ConnectionRow, scopes: Scopes = USER) -> AccessToken | None:
        """The narrowed token that the counter would find."""
        async with self.house.database.transaction() as connection:
            found = await narrowed.find(connection, [(row.id, scopes)], after=self.house.clock())
        opener = Narrowed(data_keys=self.house.data_keys)
        return opener.open(await self.house.row(row.id), found.get((row.id, scopes)))[1]

    async def rows_kept(self, row: ConnectionRow) -> int:
        """How many narrowed tokens of a connection the table has, good or not."""
        count = select(func.count()).where(narrowed.narrowed_table.c.connection_id == row.id)
        async with self.house.database.transaction() as connection:
            return (await connection.execute(count)).scalar_one()

    async def asked(self) -> None:
        """Return when the provider has been asked."""
        async with asyncio.timeout(5):
            while not self.server.seen:
                await asyncio.sleep(0.01)

    async def to_be_revoked(self) -> list[tuple[str, str | None]]:
        """Access and refresh tokens in the outbox."""
        async with self.house.database.transaction() as connection:
            due = await outbox.claim(
                connection, self.house.data_keys, now=self.house.clock(), busy_for=timedelta(seconds=1)
            )
        return [
            (one.access_token.reveal(), one.refresh_token.reveal() if one.refresh_token else None)
            for one in due
            if one.access_token is not None
        ]

    async def events(self, kind: str) -> list[dict[str, Any]]:
        async with self.house.database.transaction() as connection:
            rows, _ = await read.page(connection, read.Query(type=kind, limit=100))
        return [read.render(row, None) for row in rows]


@asynccontextmanager
async def listening(wakeups: Wakeups) -> AsyncIterator[None]:
    """Let it listen for the time of the block."""
    task = asyncio.create_task(wakeups.run())
    try:
        async with asyncio.timeout(10):
            while not wakeups.listening:
                await asyncio.sleep(0.01)
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.fixture(scope="module")
def servers() -> Iterator[LoopbackServers]:
    with LoopbackServers() as running:
        yield running


@pytest.fixture
async def room(house: House, servers: LoopbackServers) -> AsyncIterator[Room]:
    outbound = Outbound(ssl_context=authorities())
    yield Room(house, serve_scripted(servers), outbound)
    await outbound.aclose()
