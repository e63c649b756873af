"""Security A12: nothing secret in any answer but the one `access_token`, nothing cached, the headers on all of them."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.support.configured import changed_vault
from tests.wire.answers import check_headers
from tests.wire.vault import App, Vault, bearer

ANY = "a1b2c3d4-0000-4000-8000-000000000000"
UNCACHED: list[tuple[str, str, dict[str, Any]]] = [
    ("POST", "/oauth/token", {}),
    ("POST", "/oauth/token", {"data": {"grant_type": "x"}}),
    ("POST", "/oauth/token", {"content": b"a" * 70_000}),
    ("POST", "/oauth/token/", {"data": {"grant_type": "x"}}),
    ("GET", "/oauth/token", {}),
    ("HEAD", "/oauth/token", {}),
    ("OPTIONS", "/oauth/token", {}),
    ("PUT", "/oauth/token", {}),
    ("GET", "/", {}),
    ("GET", "/nowhere", {}),
    ("GET", "/oauth/token/../../etc/passwd", {}),
    ("GET", "/v1/audit/events", {}),
    ("GET", "/v1/audit/events?limit=many", {}),
    ("DELETE", "/v1/audit/events", {}),
    ("GET", "/me/v1/connected-accounts/accounts", {}),
    ("POST", "/me/v1/connected-accounts/connect", {"json": {}}),
    ("DELETE", f"/me/v1/connected-accounts/accounts/{ANY}", {}),
    ("GET", "/health/live", {}),
    ("GET", "/health/ready", {}),
    ("GET", "/connections", {}),
    ("POST", f"/connections/{ANY}/disconnect", {}),
    ("GET", "/auth/login", {}),
    ("GET", "/auth/login/callback", {}),
    ("GET", "/auth/connect", {}),
    ("GET", "/auth/connect/github", {}),
    ("GET", "/auth/callback/github?state=x&code=y", {}),
    ("GET", "/openapi.json", {}),
    ("GET", "/docs", {}),
]


@pytest.mark.parametrize(("method", "path", "more"), UNCACHED, ids=lambda value: str(value)[:60])
async def test_a12_refusals_and_pages_are_not_cached(
    vault: Vault, method: str, path: str, more: dict[str, Any]
) -> None:
    answer = await vault.http.request(method, path, **more)
    check_headers(answer)
    assert answer.status_code != 422
    assert answer.status_code < 500
    if path == "/oauth/token":
        assert answer.headers["pragma"] == "no-cache"


async def test_no_redirect_leads_where_a_host_header_says(vault: Vault) -> None:
    for path in ("/oauth/token/", "/v1/audit/events/", "/connections/", "/health/live/"):
        answer = await vault.http.post(path, headers={"Host": "evil.example"})
        assert answer.status_code in {404, 405}
        assert "location" not in answer.headers


async def test_a12_the_answer_with_a_token_is_not_cached_either(vault: Vault, app: App) -> None:
    await app.connect()
    answer = await vault.exchange(app.session_token)
    assert answer.status_code == 200
    check_headers(answer)
    assert answer.headers["pragma"] == "no-cache"


async def test_a12_what_everyone_may_know_may_be_kept(vault: Vault) -> None:
    for path in ("oauth-authorization-server", "openid-configuration", "jwks.json"):
        answer = await vault.http.get(f"/.well-known/{path}")
        assert answer.headers["cache-control"] == "public, max-age=300"
        assert answer.headers["x-content-type-options"] == "nosniff"


async def test_a12_no_answer_repeats_what_it_was_sent(vault: Vault, app: App) -> None:
    """A token, a secret or a password that came by mistake is not carried on into an answer, where it may be logged."""
    await app.connect()
    secret = "CaNaRy-2c8e41d07b"
    marked = vault.world.issuer.mint(app.user, azp="sample-agent", claims={"note": secret, "iss": "https://x.example"})
    form = vault.exchange_form(app.session_token)
    answers: list[httpx.Response] = [
        await vault.exchange(marked),
        await vault.exchange(secret),
        *[await vault.exchange(app.session_token, **{name: secret}) for name in form if name != "subject_token"],
        *[await vault.exchange(app.session_token, **{name: secret}) for name in ("scope", "resource", "login_hint")],
        await vault.exchange(app.session_token, actor_token=secret, actor_token_type=secret),
        await vault.http.post("/oauth/token", data=form, auth=(secret, secret)),
        await vault.http.post("/oauth/token", data=form | {"client_id": "a", "client_secret": secret}),
        await vault.http.post("/oauth/token", data=form, headers={"Authorization": f"Basic {secret}"}),
        await vault.http.post("/oauth/token", data=form, headers=bearer(secret)),
        await vault.http.post(f"/oauth/token?password={secret}", data=form),
        await vault.http.post("/oauth/token", content=f'{{"{secret}": 1}}', headers={"Content-Type": secret}),
        await vault.http.get("/v1/audit/events", headers=bearer(secret)),
        await vault.http.get("/v1/audit/events", params={"limit": secret}, headers=bearer(secret)),
        await vault.http.get("/me/v1/connected-accounts/accounts", headers=bearer(marked)),
        await vault.http.get(f"/auth/connect?ticket={secret}"),
        await vault.http.get(f"/auth/callback/github?state={secret}&code={secret}"),
    ]
    tokens = [app.session_token, marked, *vault.agent[1:], *vault.operator[1:]]
    for answer in answers:
        told = answer.text + str(answer.headers)
        assert answer.status_code >= 400 or answer.json().get("access_token")
        assert secret not in told
        assert not [token for token in tokens if token in told]


async def test_hsts_is_on_every_answer_where_the_vault_is_reached_by_https(vault: Vault) -> None:
    """B7; behind a proxy that ends TLS, `public_url` says so."""
    own = f'public_url = "{vault.world.places.vault}"'
    with changed_vault(vault.world, {own: 'public_url = "https://vault.example.com"'}) as url:
        for path in ("/health/live", "/nowhere", "/oauth/token"):
            answer = await vault.http.get(url + path)
            assert answer.headers["strict-transport-security"].startswith("max-age=31536000")
    assert "strict-transport-security" not in (await vault.http.get("/health/live")).headers
