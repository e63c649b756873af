from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import pytest
import pytest_asyncio

from tests.support.house import House
from vaultd.outbound import Outbound
from vaultd.providers.config import ProviderConfig
from vaultd.providers.oauth import OAuthClient
from vaultd.providers.registry import Providers
from vaultd.replay import ReplayMemory
from vaultd.revoke import ActOnNotice, Doubted, Offboard, Revoke
from vaultd.revoke.secrets import Secrets
from vaultd.sandbox.provider import SandboxProvider
from vaultd.sandbox.servers import LoopbackServers
from vaultd.terms import Secret

CLIENT_SECRET = Secret("the vault's secret at the provider")


@dataclass(frozen=True, slots=True)
class Ends:
    """Everything that ends grants, over one house and one provider that answers on loopback."""

    house: House
    provider: SandboxProvider
    revoke: Revoke
    offboard: Offboard
    notice: ActOnNotice
    doubted: Doubted
    replay: ReplayMemory


@pytest.fixture
def github() -> Iterator[tuple[SandboxProvider, str]]:
    provider = SandboxProvider(name="github", clients={"vaultd": CLIENT_SECRET})
    with LoopbackServers() as servers:
        yield provider, servers.serve(provider.app)


@pytest_asyncio.fixture
async def ends(house: House, github: tuple[SandboxProvider, str]) -> AsyncIterator[Ends]:
    provider, url = github
    config = {
        "client_id": "vaultd",
        "client_secret": CLIENT_SECRET,
        "allow_private_hosts": ("127.0.0.1",),
        "authorization_endpoint": f"{url}/authorize",
        "token_endpoint": f"{url}/token",
        "revocation_endpoint": f"{url}/revoke",
        "userinfo_endpoint": f"{url}/userinfo",
    }
    silent = {name: value for name, value in config.items() if name not in {"revocation_endpoint", "userinfo_endpoint"}}
    outbound = Outbound(total_timeout=2.0)
    oauth = OAuthClient(outbound=outbound, clock=house.clock)
    tables = {"github": config, "silent": silent}
    providers = Providers(configs={name: ProviderConfig.model_validate(table) for name, table in tables.items()})
    secrets = Secrets(data_keys=house.data_keys, clock=house.clock)
    revoke = Revoke(
        database=house.database,
        log=house.log,
        data_keys=house.data_keys,
        secrets=secrets,
        subjects=house.subjects,
        providers=providers,
        oauth=oauth,
        clock=house.clock,
    )
    offboard = Offboard(
        log=house.log,
        data_keys=house.data_keys,
        subjects=house.subjects,
        secrets=secrets,
        grants=house.grants,
        wake_revoker=lambda: None,
    )
    replay = ReplayMemory(database=house.database, clock=house.clock)
    doubted = Doubted(
        database=house.database, data_keys=house.data_keys, providers=providers, oauth=oauth, clock=house.clock
    )
    notice = ActOnNotice(
        database=house.database,
        log=house.log,
        keyring=house.keyring,
        data_keys=house.data_keys,
        subjects=house.subjects,
        replay=replay,
        doubted=doubted,
        clock=house.clock,
    )
    yield Ends(house, provider, revoke, offboard, notice, doubted, replay)
    await outbound.aclose()
