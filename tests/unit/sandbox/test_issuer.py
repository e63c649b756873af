"""The sandbox issuer: sign-in by a click, and the tokens it mints."""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import urlencode

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from tests.unit.sandbox.conftest import CHALLENGE, CLIENT_SECRET, VERIFIER, HandClock, query_of
from vaultd.sandbox.browser import Browser
from vaultd.sandbox.issuer import SandboxIssuer

BACK = "https://vault.example.com/auth/login/callback"


@pytest.fixture
async def http(issuer: SandboxIssuer) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=issuer.app)
    async with httpx.AsyncClient(transport=transport, base_url=issuer.issuer) as client:
        yield client


def read(issuer: SandboxIssuer, token: str) -> jwt.Token:
    return jwt.decode(token, KeySet.import_key_set(issuer.jwks()), algorithms=["ES256"])  # type: ignore[arg-type]


async def sign_in(issuer: SandboxIssuer, *clicks: str, **changes: str) -> Browser:
    query = {
        "response_type": "code",
        "client_id": "vaultd",
        "redirect_uri": BACK,
        "scope": "openid profile",
        "state": "s",
        "nonce": "n",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
    } | changes
    async with Browser(transport=httpx.ASGITransport(app=issuer.app), stop_at=[BACK]) as browser:
        await browser.open(f"{issuer.issuer}/authorize?{urlencode(query)}")
        for what in clicks:
            await browser.click(what)
        return browser


async def test_sign_in(issuer: SandboxIssuer, http: httpx.AsyncClient, clock: HandClock) -> None:
    back = query_of((await sign_in(issuer, "Alice")).page.url)
    assert (back["state"], back["iss"]) == ("s", issuer.issuer)
    form = {"grant_type": "authorization_code", "code": back["code"], "redirect_uri": BACK, "code_verifier": VERIFIER}
    answer = await http.post("/token", data=form, auth=("vaultd", CLIENT_SECRET))
    token = read(issuer, answer.json()["id_token"])
    assert token.header["typ"] == "JWT"
    expected = {"sub": "alice", "aud": "vaultd", "nonce": "n", "iss": issuer.issuer, "email": "alice@example.com"}
    assert token.claims.items() >= expected.items()
    assert token.claims["exp"] == int(clock().timestamp()) + 3600
    again = await http.post("/token", data=form, auth=("vaultd", CLIENT_SECRET))
    assert again.json()["error"] == "invalid_grant"


@pytest.mark.parametrize(
    "changes", [{"code_verifier": "w" * 64}, {"redirect_uri": BACK + "/"}, {"code": "x"}, {"grant_type": "password"}]
)
async def test_a_code_is_bound(issuer: SandboxIssuer, http: httpx.AsyncClient, changes: dict[str, str]) -> None:
    code = query_of((await sign_in(issuer, "Alice")).page.url)["code"]
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": BACK, "code_verifier": VERIFIER}
    assert (await http.post("/token", data=form | changes, auth=("vaultd", CLIENT_SECRET))).status_code == 400


async def test_a_public_client_and_an_expired_code(
    issuer: SandboxIssuer, http: httpx.AsyncClient, clock: HandClock
) -> None:
    form = {"grant_type": "authorization_code", "redirect_uri": BACK, "code_verifier": VERIFIER, "client_id": "spa"}
    code = query_of((await sign_in(issuer, "Bob", client_id="spa")).page.url)["code"]
    assert (await http.post("/token", data=form | {"code": code})).status_code == 200
    code = query_of((await sign_in(issuer, "Bob", client_id="spa")).page.url)["code"]
    clock.forward(61)
    assert (await http.post("/token", data=form | {"code": code})).status_code == 400


@pytest.mark.parametrize(
    ("clicks", "changes", "error"),
    [
        (("Cancel",), {}, "access_denied"),
        ((), {"prompt": "none"}, "login_required"),
        ((), {"scope": "profile"}, "invalid_scope"),
    ],
)
async def test_errors_go_back(
    issuer: SandboxIssuer, clicks: tuple[str, ...], changes: dict[str, str], error: str
) -> None:
    assert query_of((await sign_in(issuer, *clicks, **changes)).page.url)["error"] == error


async def test_minted_session_tokens(issuer: SandboxIssuer, clock: HandClock) -> None:
    token = read(issuer, issuer.mint("bob", azp="web-app", scope="read:me:connected_accounts", claims={"jti": None}))
    assert token.header["typ"] == "at+jwt"
    now = int(clock().timestamp())
    assert dict(token.claims) == {
        "iss": issuer.issuer,
        "sub": "bob",
        "aud": "https://vault.example.com",
        "azp": "web-app",
        "client_id": "web-app",
        "scope": "read:me:connected_accounts",
        "iat": now,
        "exp": now + 3600,
    }
    assert read(issuer, issuer.mint("bob", ttl=-5)).claims["exp"] == now - 5


async def test_discovery_and_keys(issuer: SandboxIssuer, http: httpx.AsyncClient) -> None:
    metadata = (await http.get("/.well-known/openid-configuration")).json()
    assert metadata["issuer"] == issuer.issuer
    old = (await http.get(metadata["jwks_uri"])).json()["keys"]
    assert "d" not in old[0]
    issuer.rotate_key()
    assert len(issuer.jwks()["keys"]) == 2
    issuer.rotate_key(forget_old=True)
    assert [key["kid"] for key in issuer.jwks()["keys"]] != [key["kid"] for key in old]
    issuer.faults.jwks = "down"
    assert (await http.get("/jwks")).status_code == 503
    assert issuer.calls == {"discovery": 1, "jwks": 2}


async def test_sign_out_and_tokens_for_curl(issuer: SandboxIssuer, http: httpx.AsyncClient) -> None:
    assert (await http.get("/end_session")).status_code == 200
    away = await http.get("/end_session", params={"post_logout_redirect_uri": BACK, "state": "x"})
    assert (away.status_code, away.headers["location"]) == (303, BACK + "?state=x")
    bad = await http.get("/end_session", params={"post_logout_redirect_uri": "javascript:1"})
    assert bad.status_code == 400
    minted = await http.get("/_sandbox/token/alice", params={"azp": "web-app"})
    assert read(issuer, minted.text).claims["azp"] == "web-app"
    assert (await http.get("/_sandbox/token/mallory")).status_code == 400
