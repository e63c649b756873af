"""A provider of yet another make: npm's `@node-oauth/oauth2-server`, plain OAuth 2 without OpenID Connect."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import DatabaseUrls
from tests.support.node import NodeOAuth, node_oauth
from tests.wire.beside import vault_beside
from tests.wire.vault import App, Vault, bearer, go_on, query_of, ticket_url
from vaultd.sandbox.loopback import loopback_http
from vaultd.sandbox.person import ACCOUNT_SCOPES
from vaultd.sandbox.servers import listen
from vaultd.sandbox.world import World

TTL = 3
"""Seconds that its access tokens live; vaultd renews them one second before that."""
AGENT = ("acme-agent", "the made-up secret of the agent, long enough")


@asynccontextmanager
async def joined(world: World, database_url: str, folder: Path, auth: str) -> AsyncIterator[tuple[World, NodeOAuth]]:
    at = listen()
    async with node_oauth(redirect_uris=[f"{at.url}/auth/callback/acme"], access_token_ttl=TTL) as acme:

        def tables(vault: str) -> str:
            return f"""
[clients.{AGENT[0]}]
auth = "client_secret_basic"
secret = "{AGENT[1]}"
redirect_uris = ["{world.places.agent}/connected"]
[clients.{AGENT[0]}.providers]
acme = ["notes:read", "notes:write"]

[providers.acme]
client_id = "{acme.client_id}"
client_secret = "{acme.client_secret.reveal()}"
token_endpoint_auth_method = "{auth}"
authorization_endpoint = "{acme.url}/authorize"
token_endpoint = "{acme.url}/token"
userinfo_endpoint = "{acme.url}/userinfo"
account_id_field = "id"
account_label_fields = ["login"]
scopes = ["notes:read", "notes:write"]
revocation = "none"
expires = true
refresh_margin = 1
allow_private_hosts = ["127.0.0.1"]
"""

        with vault_beside(world, database_url=database_url, folder=folder, tables=tables, at=at) as running:
            yield running, acme


async def exchanged(world: World, token: str) -> dict[str, Any]:
    async with Vault(world) as vault:
        vault.agent = AGENT
        answer = await vault.exchange(token, audience="acme")
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def login_of(acme: NodeOAuth, token: str) -> tuple[int, Any]:
    async with loopback_http() as http:
        answer = await http.get(f"{acme.url}/userinfo", headers=bearer(token))
    return answer.status_code, answer.json().get("login")


@pytest.mark.parametrize("auth", ["client_secret_basic", "client_secret_post"])
async def test_connect_exchange_and_refresh(
    world: World, database_urls: DatabaseUrls, tmp_path: Path, auth: str
) -> None:
    """Codes once, PKCE checked, refresh tokens that change: by a server that shares no line with the other one."""
    async with joined(world, database_urls.service, tmp_path, auth) as (there, acme), App(there) as app:
        app.session_token = there.issuer.mint(app.user, azp=AGENT[0], scope=ACCOUNT_SCOPES)
        app.http.headers.update(bearer(app.session_token))
        begun = await app.begin("acme")
        async with app.browser() as browser:
            page = await go_on(browser, ticket_url(begun))
        made = await app.complete(begun, query_of(page.url)["connect_code"])
        assert made.status_code == 201, made.text
        tokens = []
        for _ in range(3):
            body = await exchanged(there, app.session_token)
            assert (body["account"], body["scope"]) == ("ada", "notes:read notes:write")
            assert await login_of(acme, body["access_token"]) == (200, "ada")
            tokens.append(body["access_token"])
            # Past the token's end. A refresh token is good once here: the second refresh needs what the first brought.
            await asyncio.sleep(TTL + 0.2)
            assert (await login_of(acme, body["access_token"]))[0] == 401
        assert len(set(tokens)) == 3
