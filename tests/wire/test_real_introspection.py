"""An issuer that nobody of this project wrote: npm's certified `oidc-provider`, asked about its tokens (RFC 7662).

And a client that nobody of this project wrote: npm's `oauth4webapi`, with its proofs (RFC 9449).
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest
import pytest_asyncio

from tests.conftest import DatabaseUrls
from tests.support.node import OidcProvider, exchange, oidc_provider
from tests.support.proofs import ProofKey
from tests.wire.beside import vault_beside
from tests.wire.vault import App, Vault, bearer
from vaultd.sandbox.browser import Browser
from vaultd.sandbox.dev_config import BRIEFING_AGENT, SAMPLE_AGENT
from vaultd.sandbox.loopback import loopback_http
from vaultd.sandbox.person import ACCOUNT_SCOPES
from vaultd.sandbox.servers import listen
from vaultd.sandbox.world import World

CALLBACK = "http://127.0.0.1:9/signed-in"
VERIFIER = "a-code-verifier-of-the-length-that-rfc-7636-asks-for"
SCOPES = f"openid offline_access {ACCOUNT_SCOPES}"
TYPE = "urn:ietf:params:oauth:token-type:"
ACCOUNTS = "/me/v1/connected-accounts/accounts"


@dataclass(frozen=True, slots=True)
class Real:
    """The issuer, and a vault that asks it. The issuer's app is the sample agent."""

    issuer: OidcProvider
    vault: Vault

    def http(self) -> httpx.AsyncClient:
        """As the app authenticates at the issuer."""
        auth = (self.issuer.client_id, self.issuer.client_secret.reveal())
        return loopback_http(auth=auth, timeout=30.0)

    async def sign_in(self, person: str, proof: str | None = None) -> dict[str, Any]:
        """Tokens of a person who signs in and consents in a browser."""
        code = await self._consent(person)
        form = {
            "grant_type": "authorization_code",
            "redirect_uri": CALLBACK,
            "code_verifier": VERIFIER,
            "code": code,
        }
        headers = {} if proof is None else {"DPoP": proof}
        async with self.http() as http:
            answer = await http.post(self.issuer.endpoints["token_endpoint"], data=form, headers=headers)
        assert answer.status_code == 200, answer.text
        tokens: dict[str, Any] = answer.json()
        return tokens

    async def revoke(self, token: str) -> None:
        async with self.http() as http:
            answer = await http.post(self.issuer.endpoints["revocation_endpoint"], data={"token": token})
        assert answer.status_code == 200, answer.text

    async def reason(self, answer: httpx.Response) -> str:
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request"), answer.text
        (event,) = await self.vault.events_of(answer)
        reason: str = event["reason"]
        return reason

    async def _consent(self, person: str) -> str:
        challenge = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
        query = {
            "client_id": self.issuer.client_id,
            "redirect_uri": CALLBACK,
            "response_type": "code",
            "scope": SCOPES,
            "prompt": "consent",
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        async with Browser(stop_at=[CALLBACK]) as browser:
            await browser.open(f"{self.issuer.endpoints['authorization_endpoint']}?{urlencode(query)}")
            await browser.click("Sign-in", fields={"login": person, "password": "anything"})
            page = await browser.click("Continue")
        return parse_qs(urlsplit(page.url).query)["code"][0]


@pytest_asyncio.fixture(scope="module")
async def real(
    world: World, module_database: DatabaseUrls, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Real]:
    at = listen()
    async with oidc_provider(
        redirect_uris=[CALLBACK], client_id=SAMPLE_AGENT, scopes=SCOPES.split(), resource=at.url
    ) as issuer:
        name, secret = issuer.introspector

        def tables(vault: str) -> str:
            return f"""
[issuers.real]
issuer = "{issuer.issuer}"
audience = ["{vault}"]
allow_private_hosts = ["127.0.0.1"]
trusted_clients = ["{BRIEFING_AGENT}"]
required_claims = {{ client_id = "{SAMPLE_AGENT}" }}
[issuers.real.introspection]
client_id = "{name}"
client_secret = "{secret.reveal()}"
"""

        folder = tmp_path_factory.mktemp("real")
        with vault_beside(world, database_url=module_database.service, folder=folder, tables=tables, at=at) as beside:
            async with Vault(beside) as vault:
                yield Real(issuer, vault)


async def test_its_opaque_token_connects_exchanges_and_ends_when_it_is_revoked(real: Real) -> None:
    token = (await real.sign_in("alice"))["access_token"]
    async with App(real.vault.world) as app:
        app.http.headers.update(bearer(token))
        await app.connect()
        answer = await real.vault.exchange(token)
        assert answer.status_code == 200, answer.text
        assert answer.json()["connection"] == "github"
        await real.revoke(token)
        assert await real.reason(await real.vault.exchange(token)) == "inactive"
        assert (await app.http.get("accounts")).status_code == 401


async def test_its_refresh_token_is_one_and_nothing_else(real: Real) -> None:
    tokens = await real.sign_in("bob")
    refresh = tokens["refresh_token"]
    as_refresh = {"subject_token_type": TYPE + "refresh_token"}
    answer = await real.vault.exchange(refresh, **as_refresh)
    assert answer.json()["reason"] == "not_connected", answer.text
    # Named as what it is not, it is refused: `aud` and `token_type` tell the two apart in its answers.
    assert await real.reason(await real.vault.exchange(refresh)) == "missing_claim"
    assert (await real.vault.http.get(ACCOUNTS, headers=bearer(refresh))).status_code == 401
    # It names no audience, so that no client but a trusted one may present it.
    implicit = await real.vault.http.post("/oauth/token", data=real.vault.exchange_form(refresh, **as_refresh))
    assert (implicit.status_code, implicit.json()["error"]) == (400, "invalid_request")
    async with App(real.vault.world) as app:
        app.http.headers.update(bearer(tokens["access_token"]))
        await app.connect()
    assert (await real.vault.exchange(refresh, **as_refresh)).status_code == 200
    await real.revoke(refresh)
    assert await real.reason(await real.vault.exchange(refresh, **as_refresh)) == "inactive"


async def test_its_id_token_is_none_of_these(real: Real) -> None:
    """It refuses to introspect what is signed; that is the token's fault, and no outage."""
    id_token = (await real.sign_in("carol"))["id_token"]
    for token_type in ("access_token", "jwt", "refresh_token", "id_token"):
        answer = await real.vault.exchange(id_token, subject_token_type=TYPE + token_type)
        assert await real.reason(answer) == "wrong_type"


async def test_its_tokens_that_are_bound_to_a_key(real: Real) -> None:
    """RFC 9449 §6.2: the answer names the key, and the vault asks for a proof of it."""
    key = ProofKey()
    tokens = await real.sign_in("dave", key.proof(real.issuer.endpoints["token_endpoint"]))
    assert tokens["token_type"] == "DPoP"
    token = tokens["access_token"]
    assert await real.reason(await real.vault.exchange(token)) == "dpop_missing"
    assert (await real.vault.http.get(ACCOUNTS, headers=bearer(token))).status_code == 401
    url = f"{real.vault.world.places.vault}{ACCOUNTS}"
    headers = {"Authorization": f"DPoP {token}", "DPoP": key.proof(url, method="GET", token=token)}
    assert (await real.vault.http.get(ACCOUNTS, headers=headers)).status_code == 200
    outcome = await by_oauth4webapi(real, token, key)
    assert (outcome["status"], outcome["error"]) == (400, "interaction_required"), outcome


async def by_oauth4webapi(real: Real, token: str, key: ProofKey) -> dict[str, Any]:
    name, secret = real.vault.agent
    return await exchange(
        {
            "issuer": real.vault.world.places.vault,
            "clientId": name,
            "clientSecret": secret,
            "dpopKey": key.key.as_dict(private=True),
            "parameters": {"subject_token": token, "subject_token_type": TYPE + "access_token", "audience": "github"},
        }
    )


async def test_oauth4webapi_makes_proofs_that_are_believed(real: Real) -> None:
    key = ProofKey()
    async with App(real.vault.world) as app:
        await app.connect()
        token = real.vault.world.issuer.mint(app.user, azp=SAMPLE_AGENT, claims={"cnf": key.cnf})
        outcome = await by_oauth4webapi(real, token, key)
        assert outcome["ok"], outcome
        assert outcome["result"]["token_type"].lower() == "bearer"
        other = await by_oauth4webapi(real, token, ProofKey())
    assert (other["status"], other["error"]) == (400, "invalid_request")
