"""A provider that nobody of this project wrote: npm's certified `oidc-provider`, added by configuration alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from tests.support.exchanging import agent_http, exchange_form
from tests.support.node import OidcProvider, oidc_provider
from tests.wire.vault import go_on
from vaultd.app.factory import create_app
from vaultd.sandbox.browser import Browser
from vaultd.sandbox.dev_config import SAMPLE_AGENT
from vaultd.sandbox.loopback import loopback_http
from vaultd.sandbox.person import ACCOUNT_SCOPES
from vaultd.sandbox.servers import LoopbackServers, listen
from vaultd.sandbox.world import World, start_world
from vaultd.settings import load
from vaultd.terms import Secret

SCOPES = ["openid", "email", "offline_access", "api:read"]
TTL = 4
"""Seconds that its access tokens live; vaultd refreshes them one second before that."""


@dataclass(frozen=True, slots=True)
class Joined:
    """A vault whose file has one more table, and the provider that it names."""

    vault: str
    acme: OidcProvider
    session_token: Secret
    redirect_uri: str

    def api(self) -> httpx.AsyncClient:
        """The accounts API as alice's app calls it."""
        return loopback_http(
            base_url=f"{self.vault}/me/v1/connected-accounts/",
            headers={"Authorization": f"Bearer {self.session_token.reveal()}"},
            timeout=15.0,
        )

    async def exchange(self, scope: str | None = None) -> httpx.Response:
        form = exchange_form(self.session_token, "acme") | ({} if scope is None else {"scope": scope})
        async with agent_http() as http:
            return await http.post(f"{self.vault}/oauth/token", data=form)

    async def userinfo(self, token: str) -> httpx.Response:
        async with loopback_http() as http:
            return await http.get(
                self.acme.endpoints["userinfo_endpoint"], headers={"Authorization": f"Bearer {token}"}
            )


def table(acme: OidcProvider) -> str:
    endpoints = "\n".join(
        f'{ours} = "{acme.endpoints[theirs]}"'
        for ours, theirs in {
            "authorization_endpoint": "authorization_endpoint",
            "token_endpoint": "token_endpoint",
            "revocation_endpoint": "revocation_endpoint",
            "userinfo_endpoint": "userinfo_endpoint",
            "issuer": "issuer",
        }.items()
    )
    return f"""
[providers.acme]
display_name = "Acme"
client_id = "{acme.client_id}"
client_secret = "{acme.client_secret.reveal()}"
{endpoints}
scopes = {SCOPES}
authorization_params = {{ prompt = "consent" }}
refresh_margin = 1
narrowing = "refresh"
allow_private_hosts = ["127.0.0.1"]
"""


@asynccontextmanager
async def joined(world: World, *, ttl: int = TTL) -> AsyncIterator[Joined]:
    """A second vault beside the sandbox's, on the same database, that knows the provider as `acme`."""
    listener = listen()
    callback = f"{listener.url}/auth/callback/acme"
    async with oidc_provider(redirect_uris=[callback], access_token_ttl=ttl) as acme:
        written = (world.folder / "vaultd.toml").read_text(encoding="utf-8")
        written = written.replace(f'public_url = "{world.places.vault}"', f'public_url = "{listener.url}"')
        written = written.replace(
            f"[clients.{SAMPLE_AGENT}.providers]\n", f"[clients.{SAMPLE_AGENT}.providers]\nacme = {SCOPES}\n"
        )
        config = world.folder / "joined.toml"
        config.write_text(written + table(acme), encoding="utf-8")
        settings = load(config, environ={}, allow_literal_secrets=True)
        with LoopbackServers() as servers:
            vault = await asyncio.to_thread(servers.serve, create_app(settings), listener)
            token = Secret(world.issuer.mint("alice", azp=SAMPLE_AGENT, scope=ACCOUNT_SCOPES))
            yield Joined(vault, acme, token, f"{world.places.agent}/connected")


async def connect(there: Joined) -> str:
    """Connect by the accounts API with a browser at the provider's own pages; gives the account's id."""
    async with there.api() as api:
        wish = {"connection": "acme", "redirect_uri": there.redirect_uri, "state": "s1", "scopes": SCOPES}
        begun = (await api.post("connect", json=wish)).raise_for_status().json()
        query = await consent(f"{begun['connect_uri']}?ticket={begun['connect_params']['ticket']}", there.redirect_uri)
        completion = {
            "auth_session": begun["auth_session"],
            "connect_code": query["connect_code"][0],
            "redirect_uri": there.redirect_uri,
        }
        completed = await api.post("complete", json=completion)
        assert completed.status_code == 201, completed.text
        account: str = completed.json()["id"]
        return account


async def consent(url: str, redirect_uri: str) -> dict[str, list[str]]:
    async with Browser(stop_at=(redirect_uri,)) as browser:
        await go_on(browser, url)
        await browser.click("Sign-in", fields={"login": "alice-at-acme", "password": "anything"})
        page = await browser.click("Continue")
        assert page.url.startswith(redirect_uri), page.text
        return parse_qs(urlsplit(page.url).query)


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with start_world(synced=False) as started:
        yield started


async def test_connect_exchange_call_refresh_and_revoke(world: World) -> None:
    async with joined(world) as there:
        account = await connect(there)
        first = await exchanged(there)
        assert first["account"] == "alice-at-acme@example.test"
        known = await there.userinfo(first["access_token"])
        assert (known.status_code, known.json()["sub"]) == (200, "alice-at-acme")
        second = await expired_and_refreshed(there, first["access_token"])
        # Once more: only the rotated refresh token can do that here, the old one would end the grant.
        third = await expired_and_refreshed(there, second)
        await disconnected(there, account, third)


async def test_a7_fewer_scopes_by_its_own_narrowing(world: World) -> None:
    """RFC 6749 §6 by a server of another make: the narrowed token is worth less there, the grant is worth the same."""
    async with joined(world, ttl=60) as there:
        account = await connect(there)
        stored = await exchanged(there)
        narrowed = await exchanged(there, scope="api:read")
        assert narrowed["scope"] == "api:read"
        assert narrowed["access_token"] != stored["access_token"]
        assert (await there.userinfo(stored["access_token"])).json()["email"] == "alice-at-acme@example.test"
        assert (await there.userinfo(narrowed["access_token"])).status_code == 403, "it does not carry openid"
        # Its refresh tokens rotate, and each use of an old one would end the grant: this one was stored.
        again = await exchanged(there, scope="openid")
        assert again["scope"] == "openid"
        assert "email" not in (await there.userinfo(again["access_token"])).json()
        assert (await exchanged(there, scope="api:read"))["access_token"] == narrowed["access_token"]
        assert (await exchanged(there))["access_token"] == stored["access_token"]
        async with there.api() as api:
            assert (await api.delete(f"accounts/{account}")).status_code == 204
        async with asyncio.timeout(10):
            while (await there.userinfo(again["access_token"])).status_code != 401:
                await asyncio.sleep(0.05)


async def exchanged(there: Joined, scope: str | None = None) -> dict[str, str]:
    answer = await there.exchange(scope)
    assert answer.status_code == 200, answer.text
    body: dict[str, str] = answer.json()
    return body


async def expired_and_refreshed(there: Joined, before: str) -> str:
    await asyncio.sleep(TTL + 0.2)
    assert (await there.userinfo(before)).status_code == 401
    after = (await exchanged(there))["access_token"]
    assert after != before
    assert (await there.userinfo(after)).status_code == 200
    return after


async def disconnected(there: Joined, account: str, token: str) -> None:
    async with there.api() as api:
        assert (await api.delete(f"accounts/{account}")).status_code == 204
    refused = await there.exchange()
    assert (refused.status_code, refused.json()["reason"]) == (400, "reconnect_required")
    # Well before the token's own end, so that it is the revocation which ended it.
    async with asyncio.timeout(TTL - 1):
        while (await there.userinfo(token)).status_code != 401:
            await asyncio.sleep(0.05)
