"""npm's `oidc-provider`, as the tests of connect and exchange count on it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest

from tests.support.node import NodeError, OidcProvider, oidc_provider
from vaultd.sandbox.browser import Browser
from vaultd.sandbox.loopback import loopback_http

CALLBACK = "http://127.0.0.1:9/auth/callback/acme"
VERIFIER = "a-code-verifier-of-the-length-that-rfc-7636-asks-for"
TOKEN_TTL = 2


@pytest.fixture(scope="module")
async def provider() -> AsyncIterator[OidcProvider]:
    async with oidc_provider(redirect_uris=[CALLBACK], access_token_ttl=TOKEN_TTL) as running:
        yield running


@pytest.fixture
async def http(provider: OidcProvider) -> AsyncIterator[httpx.AsyncClient]:
    async with loopback_http(auth=(provider.client_id, provider.client_secret.reveal())) as client:
        yield client


def authorization_url(provider: OidcProvider, **changed: str) -> str:
    digest = hashlib.sha256(VERIFIER.encode()).digest()
    query = {
        "client_id": provider.client_id,
        "redirect_uri": CALLBACK,
        "response_type": "code",
        "scope": "openid email offline_access api:read",
        "state": "the-state",
        "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
        "code_challenge_method": "S256",
        **changed,
    }
    return f"{provider.endpoints['authorization_endpoint']}?{urlencode({k: v for k, v in query.items() if v})}"


async def consent(provider: OidcProvider) -> str:
    """Sign in and allow everything, as a person in a browser would; gives the code."""
    async with Browser(stop_at=[CALLBACK]) as browser:
        await browser.open(authorization_url(provider))
        await browser.click("Sign-in", fields={"login": "alice", "password": "anything"})
        page = await browser.click("Continue")
    answer = parse_qs(urlsplit(page.url).query)
    assert answer["state"] == ["the-state"]
    assert answer["iss"] == [provider.issuer]
    return answer["code"][0]


async def token(provider: OidcProvider, http: httpx.AsyncClient, form: Mapping[str, str]) -> httpx.Response:
    return await http.post(provider.endpoints["token_endpoint"], data=dict(form))


async def redeem(provider: OidcProvider, http: httpx.AsyncClient) -> dict[str, Any]:
    form = {"grant_type": "authorization_code", "redirect_uri": CALLBACK, "code_verifier": VERIFIER}
    answer = await token(provider, http, {**form, "code": await consent(provider)})
    granted: dict[str, Any] = answer.raise_for_status().json()
    return granted


async def userinfo(provider: OidcProvider, access_token: str) -> httpx.Response:
    async with loopback_http() as client:
        return await client.get(
            provider.endpoints["userinfo_endpoint"], headers={"Authorization": f"Bearer {access_token}"}
        )


async def test_discovery_names_the_issuer_and_its_endpoints(provider: OidcProvider) -> None:
    assert provider.endpoints["issuer"] == provider.issuer
    for name in ("authorization", "token", "revocation", "introspection", "userinfo"):
        assert provider.endpoints[f"{name}_endpoint"].startswith(provider.issuer + "/")
    assert provider.endpoints["code_challenge_methods_supported"] == ["S256"]
    assert provider.endpoints["authorization_response_iss_parameter_supported"] is True


async def test_a_person_consents_and_the_token_works_until_it_expires(
    provider: OidcProvider, http: httpx.AsyncClient
) -> None:
    granted = await redeem(provider, http)
    assert granted["expires_in"] == TOKEN_TTL
    # Asked for without `prompt=consent`, so `offline_access` is left out (OpenID Connect Core §11).
    assert set(granted["scope"].split()) == {"openid", "email", "api:read"}
    assert (await userinfo(provider, granted["access_token"])).json()["email"] == "alice@example.test"
    await asyncio.sleep(TOKEN_TTL + 1)
    assert (await userinfo(provider, granted["access_token"])).status_code == 401


async def test_refresh_tokens_rotate_and_an_old_one_ends_the_grant(
    provider: OidcProvider, http: httpx.AsyncClient
) -> None:
    granted = await redeem(provider, http)
    old = {"grant_type": "refresh_token", "refresh_token": granted["refresh_token"]}
    rotated = (await token(provider, http, old)).raise_for_status().json()
    assert rotated["refresh_token"] != granted["refresh_token"]
    assert (await token(provider, http, old)).json()["error"] == "invalid_grant"
    new = {"grant_type": "refresh_token", "refresh_token": rotated["refresh_token"]}
    assert (await token(provider, http, new)).json()["error"] == "invalid_grant"


async def test_a_revoked_refresh_token_is_refused(provider: OidcProvider, http: httpx.AsyncClient) -> None:
    granted = await redeem(provider, http)
    form = {"token": granted["refresh_token"], "token_type_hint": "refresh_token"}
    assert (await http.post(provider.endpoints["revocation_endpoint"], data=form)).status_code == 200
    refused = await token(provider, http, {"grant_type": "refresh_token", "refresh_token": granted["refresh_token"]})
    assert refused.json()["error"] == "invalid_grant"


async def test_a_request_without_pkce_is_sent_back(provider: OidcProvider) -> None:
    async with Browser(stop_at=[CALLBACK]) as browser:
        page = await browser.open(authorization_url(provider, code_challenge="", code_challenge_method=""))
    assert parse_qs(urlsplit(page.url).query)["error"] == ["invalid_request"]


async def test_the_server_ends_with_its_block() -> None:
    async with oidc_provider(redirect_uris=[CALLBACK]) as running:
        os.kill(running.pid, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(running.pid, 0)


async def test_a_server_that_cannot_start_says_why() -> None:
    with pytest.raises(NodeError, match="token_endpoint_auth_method"):
        async with oidc_provider(redirect_uris=[CALLBACK], client_auth="nonsense"):
            pass
