"""One provider, one issuer, and the pieces that a client of theirs needs, all in this process."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest

from vaultd.sandbox.behaviours import PLAIN
from vaultd.sandbox.browser import Browser
from vaultd.sandbox.issuer import SandboxIssuer
from vaultd.sandbox.provider import SandboxProvider
from vaultd.sandbox.servers import LoopbackServers
from vaultd.terms import Secret

BASE = "http://provider.test"
CALLBACK = "https://vault.example.com/auth/callback/github"
CLIENT, CLIENT_SECRET = "vault-at-github", "correct horse battery staple, twice over"
VERIFIER = "v" * 64
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()


class HandClock:
    """A clock that moves when told."""

    def __init__(self) -> None:
        self.now = datetime(2030, 5, 17, 8, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class ProviderClient:
    """A client of a provider: walks the pages and posts to its endpoints."""

    def __init__(self, provider: SandboxProvider) -> None:
        transport = httpx.ASGITransport(app=provider.app)
        self.http = httpx.AsyncClient(transport=transport, base_url=BASE, auth=(CLIENT, CLIENT_SECRET))
        self.browser = Browser(transport=transport, stop_at=[CALLBACK])

    def authorize_url(self, **changes: str | None) -> str:
        query: dict[str, str | None] = {
            "response_type": "code",
            "client_id": CLIENT,
            "redirect_uri": CALLBACK,
            "scope": "repo read:user",
            "state": "a state & more",
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
            **changes,
        }
        return f"{BASE}/authorize?{urlencode({name: value for name, value in query.items() if value is not None})}"

    async def consent(self, *clicks: str, **changes: str | None) -> dict[str, str]:
        await self.browser.open(self.authorize_url(**changes))
        for what in clicks:
            await self.browser.click(what)
        assert self.browser.page.url.startswith(CALLBACK + "?"), self.browser.page.text
        return query_of(self.browser.page.url)

    async def redeem(self, code: str, /, **changes: str) -> httpx.Response:
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK, "code_verifier": VERIFIER}
        return await self.http.post("/token", data=form | changes)

    async def refresh(self, refresh_token: str, **changes: str) -> httpx.Response:
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        return await self.http.post("/token", data=form | changes)

    async def call(self, path: str, token: str) -> httpx.Response:
        request = self.http.build_request("GET", path, headers={"Authorization": f"Bearer {token}"})
        return await self.http.send(request, auth=None)


def query_of(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


def make_provider(**options: object) -> SandboxProvider:
    """One with GitHub's pages and API that is plain OAuth otherwise; `behaviour=None` makes it as the real one is."""
    known = {CLIENT: Secret(CLIENT_SECRET)}
    given = {"name": "github", "clients": known, "redirect_uris": [CALLBACK], "behaviour": PLAIN} | options
    return SandboxProvider(**given)  # type: ignore[arg-type]  # each test names its own options


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def provider(clock: HandClock) -> SandboxProvider:
    return make_provider(clock=clock, ttl=60, issuer=BASE)


@pytest.fixture
async def client(provider: SandboxProvider) -> AsyncIterator[ProviderClient]:
    client = ProviderClient(provider)
    async with client.http, client.browser:
        yield client


@pytest.fixture
def issuer(clock: HandClock) -> SandboxIssuer:
    clients = {"vaultd": Secret(CLIENT_SECRET), "spa": None}
    return SandboxIssuer(
        issuer="http://issuer.test", clients=clients, audience="https://vault.example.com", clock=clock
    )


@pytest.fixture
def servers() -> Iterator[LoopbackServers]:
    with LoopbackServers() as running:
        yield running
