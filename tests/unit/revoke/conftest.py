from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio

from tests.support.house import House
from vaultd.connections.holders import Holders
from vaultd.outbound import Outbound
from vaultd.providers.config import ProviderConfig
from vaultd.providers.oauth import OAuthClient
from vaultd.providers.registry import Providers
from vaultd.replay import ReplayMemory
from vaultd.revoke import ActOnNotice, Doubted, GiveBack, Offboard, Revoke
from vaultd.revoke.secrets import Secrets
from vaultd.revoke.sharing import Sharing
from vaultd.sandbox.loopback import authorities
from vaultd.sandbox.provider import SandboxProvider
from vaultd.sandbox.servers import LoopbackServers
from vaultd.terms import Clock, Secret

CLIENT_SECRET = Secret("the vault's secret at the provider")
PATIENCE = 3.0
"""Seconds until a provider that hangs is given up."""


@dataclass(frozen=True, slots=True)
class Ends:
    """Everything that ends grants, over one house and two providers that answer on loopback.

    `silent` is GitHub's under a table that tells no accounts and has no way to revoke, `renewed-only` under one that
    takes refresh tokens back and no others.
    """

    house: House
    provider: SandboxProvider
    other: SandboxProvider
    revoke: Revoke
    give_back: GiveBack
    offboard: Offboard
    notice: ActOnNotice
    doubted: Doubted
    replay: ReplayMemory
    providers: Providers
    oauth: OAuthClient
    sharing: Sharing

    def give_back_by(self, clock: Clock) -> GiveBack:
        """Another process's, so to say, with a clock of its own."""
        own: dict[str, Any] = {"database": self.house.database, "log": self.house.log, "subjects": self.house.subjects}
        own |= {"providers": self.providers, "oauth": self.oauth, "sharing": self.sharing}
        return GiveBack(**own, data_keys=self.house.data_keys, clock=clock)


@pytest.fixture
def served() -> Iterator[dict[str, tuple[SandboxProvider, str]]]:
    with LoopbackServers() as servers:
        providers = [SandboxProvider(name=name, clients={"vaultd": CLIENT_SECRET}) for name in ("github", "gitlab")]
        yield {provider.name: (provider, servers.serve(provider.app)) for provider in providers}


def table_at(url: str) -> dict[str, Any]:
    return {
        "client_id": "vaultd",
        "client_secret": CLIENT_SECRET,
        "allow_private_hosts": ("127.0.0.1",),
        "authorization_endpoint": f"{url}/authorize",
        "token_endpoint": f"{url}/token",
        "revocation_endpoint": f"{url}/revoke",
        "userinfo_endpoint": f"{url}/userinfo",
    }


@pytest_asyncio.fixture
async def ends(house: House, served: dict[str, tuple[SandboxProvider, str]]) -> AsyncIterator[Ends]:
    tables = {name: table_at(url) for name, (_, url) in served.items()}
    tables["silent"] = tables["github"] | {"revocation_endpoint": None, "userinfo_endpoint": None}
    tables["renewed-only"] = tables["github"] | {"revocation_token": "refresh_token"}
    tables["google"] = tables["gitlab"]
    providers = Providers(configs={name: ProviderConfig.model_validate(table) for name, table in tables.items()})
    outbound = Outbound(ssl_context=authorities(), total_timeout=PATIENCE)
    oauth = OAuthClient(outbound=outbound, clock=house.clock)
    known: dict[str, Any] = {"data_keys": house.data_keys, "clock": house.clock}
    secrets = Secrets(**known)
    sharing = Sharing(
        database=house.database,
        holders=Holders(lookups=house.lookups, pending=house.pending, **known),
        providers=providers,
        oauth=oauth,
    )
    give_back = GiveBack(
        database=house.database,
        log=house.log,
        subjects=house.subjects,
        providers=providers,
        oauth=oauth,
        sharing=sharing,
        **known,
    )
    revoke = Revoke(
        database=house.database, log=house.log, secrets=secrets, subjects=house.subjects, wake=give_back.wake
    )
    offboard = Offboard(
        log=house.log,
        pending=house.pending,
        subjects=house.subjects,
        secrets=secrets,
        grants=house.grants,
        wake_revoker=give_back.wake,
    )
    replay = ReplayMemory(database=house.database, clock=house.clock)
    doubted = Doubted(database=house.database, providers=providers, oauth=oauth, **known)
    notice = ActOnNotice(
        database=house.database,
        log=house.log,
        lookups=house.lookups,
        subjects=house.subjects,
        replay=replay,
        providers=providers,
        doubted=doubted,
        keep_broken=timedelta(days=7),
        **known,
    )
    yield Ends(
        house=house,
        provider=served["github"][0],
        other=served["gitlab"][0],
        revoke=revoke,
        give_back=give_back,
        offboard=offboard,
        notice=notice,
        doubted=doubted,
        replay=replay,
        providers=providers,
        oauth=oauth,
        sharing=sharing,
    )
    await outbound.aclose()
