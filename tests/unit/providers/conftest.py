"""A provider whose every answer a test decides, and a client that speaks to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.unit.scripted_server import HOST, ScriptedServer, serve_scripted
from vaultd.errors import ProviderRefused, ProviderUnavailable
from vaultd.outbound import Outbound
from vaultd.providers.config import ProviderConfig
from vaultd.providers.oauth import Account, Grant, OAuthClient
from vaultd.providers.registry import Provider, Providers
from vaultd.sandbox.loopback import authorities
from vaultd.sandbox.servers import LoopbackServers
from vaultd.terms import Secret

CLIENT_ID, CLIENT_SECRET = "our app", "cl!ent s3cret+/="
NOW = datetime(2030, 1, 1, 12, 0, 0, tzinfo=UTC)
SENT = Secret("refresh/s3cret+one=")
GOOD: dict[str, Any] = {"access_token": "at-1", "token_type": "bearer"}

Call = Callable[[], Awaitable[Any]]


def provider_of(server: ScriptedServer, **changes: Any) -> Provider:
    """A provider at this server, with these keys of its table changed."""
    table: dict[str, Any] = {
        "client_id": CLIENT_ID,
        "client_secret": Secret(CLIENT_SECRET),
        "authorization_endpoint": f"{server.url}/authorize?tenant=7",
        "token_endpoint": f"{server.url}/token",
        "revocation_endpoint": f"{server.url}/revoke",
        "userinfo_endpoint": f"{server.url}/me",
        "allow_private_hosts": [HOST],
        **changes,
    }
    return Providers(configs={"acme": ProviderConfig.model_validate(table)}).get("acme")


@pytest.fixture(scope="module")
def servers() -> Iterator[LoopbackServers]:
    with LoopbackServers() as running:
        yield running


@pytest.fixture(scope="module")
def one_server(servers: LoopbackServers) -> ScriptedServer:
    return serve_scripted(servers)


@pytest.fixture
def server(one_server: ScriptedServer) -> ScriptedServer:
    one_server.seen.clear()
    return one_server


@pytest.fixture
def provider(server: ScriptedServer) -> Provider:
    return provider_of(server)


@pytest.fixture(scope="module")
async def outbound() -> AsyncIterator[Outbound]:
    client = Outbound(ssl_context=authorities(), connect_timeout=0.3, total_timeout=0.3, max_bytes=50_000)
    yield client
    await client.aclose()


@pytest.fixture
def oauth(outbound: Outbound) -> OAuthClient:
    return OAuthClient(outbound=outbound, clock=lambda: NOW)


@pytest.fixture
def refresh(oauth: OAuthClient, provider: Provider) -> Callable[[], Awaitable[Grant]]:
    return lambda: oauth.refresh(provider, refresh_token=SENT)


async def account_of(oauth: OAuthClient, provider: Provider, token: Secret) -> Account | None:
    """Whose token it is, by the provider's userinfo."""
    grant = Grant(access_token=token, refresh_token=None, expires_in=None, scopes=None)
    return (await oauth.identify(provider, grant=grant)).account


async def refused(call: Call) -> ProviderRefused:
    with pytest.raises(ProviderRefused) as caught:
        await call()
    return caught.value


async def unavailable(call: Call) -> ProviderUnavailable:
    with pytest.raises(ProviderUnavailable) as caught:
        await call()
    return caught.value
