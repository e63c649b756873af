"""Apps that call Auth0's My Account API work here with the domain changed (api.md §2).

The requests are those of the public SDKs and apps: auth0-spa-js and nextjs-auth0 begin with PKCE and complete, Auth0's
server SDK for Python pages through the accounts, and ends them by id. npm's auth0-spa-js itself runs against the vault
here, and whole, in a browser, in tests/browser.
"""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import Any

import pytest
from authlib.oauth2.rfc7636 import create_s256_code_challenge

from tests.support.node import ask
from tests.wire.vault import App, consent, query_of

VERIFIER = secrets.token_urlsafe(48)
COMPLETE_RESPONSE = {"id": str, "connection": str, "access_type": str, "scopes": list, "created_at": str}
"""What the clients' types require; `expires_at` is "when the refresh token expires", where it does."""


async def spa(app: App, call: str, token: str | None = None, **params: object) -> dict[str, Any]:
    return await ask(
        "my-account.mjs",
        {"domain": app.world.places.vault, "token": token or app.session_token, "call": call, "params": params},
    )


async def test_api_2_auth0_spa_js_connects_an_account(app: App) -> None:
    redirect_uri, state = app.redirect_uri, secrets.token_urlsafe(32)
    begun = await spa(
        app,
        "connectAccount",
        connection="github",
        scopes=["repo"],
        redirect_uri=redirect_uri,
        state=state,
        code_challenge=create_s256_code_challenge(VERIFIER),
        code_challenge_method="S256",
        authorization_params={"prompt": "consent"},
    )
    assert begun["ok"], begun
    result = begun["result"]
    assert set(result) == {"auth_session", "connect_uri", "connect_params", "expires_in"}
    # The client puts the ticket into the query of `connect_uri`, whatever else is there.
    assert query_of(result["connect_uri"]) == {}
    async with app.browser() as browser:
        page = await consent(browser, f"{result['connect_uri']}?ticket={result['connect_params']['ticket']}")
    came_back = query_of(page.url)
    assert came_back["state"] == state
    completion = {
        "auth_session": result["auth_session"],
        "connect_code": came_back["connect_code"],
        "redirect_uri": redirect_uri,
        "code_verifier": VERIFIER,
    }
    made = await spa(app, "completeAccount", **completion)
    assert made["ok"], made
    account = made["result"]
    assert {name: type(value) for name, value in account.items()} == COMPLETE_RESPONSE
    assert (account["connection"], account["access_type"], account["scopes"]) == ("github", "offline", ["repo"])
    assert datetime.fromisoformat(account["created_at"]).tzinfo is not None
    again = await spa(app, "completeAccount", **completion)
    assert (again["kind"], again["status"]) == ("MyAccountApiError", 400)


@pytest.mark.parametrize(
    ("params", "token", "status", "title"),
    [
        ({"connection": "nowhere"}, None, 400, "Invalid target"),
        ({"connection": "github", "scopes": ["admin:org"]}, None, 400, "Invalid scope"),
        ({"connection": "github", "scopes": "repo"}, None, 400, "Invalid request"),
        ({"connection": "github"}, "x", 401, "Invalid token"),
    ],
    ids=str,
)
async def test_api_2_auth0_spa_js_reads_every_refusal_as_its_own_error(
    app: App, params: dict[str, Any], token: str | None, status: int, title: str
) -> None:
    refused = await spa(app, "connectAccount", token, redirect_uri=app.redirect_uri, **params)
    assert not refused["ok"]
    assert (refused["kind"], refused["status"], refused["title"]) == ("MyAccountApiError", status, title)
    assert refused["type"].startswith("urn:vaultd:error:")
    assert refused["message"] == refused["detail"] != ""
    if title == "Invalid request":
        assert [error["pointer"] for error in refused["validation_errors"]] == ["/scopes"]


async def test_api_2_nulls_and_headers_as_apps_send_them(app: App) -> None:
    """Some send the optional members as null, and a content type or an accept with a GET."""
    nothing: dict[str, Any] = {"state": None, "scopes": None, "authorization_params": None, "code_challenge": None}
    begun = await app.begin(**nothing, code_challenge_method=None)
    assert begun.status_code == 201, begun.text
    code = (await app.returned(begun))["connect_code"]
    assert (await app.complete(begun, code, code_verifier=None)).status_code == 201
    headers = {"Content-Type": "application/json", "Accept": "application/json", "Auth0-Client": "eyJuYW1lIjoieCJ9"}
    answer = await app.http.get("accounts", params={"connection": "github"}, headers=headers)
    (account,) = answer.json()["accounts"]
    gone = await app.http.delete(f"accounts/{account['id']}", headers=headers)
    assert (gone.status_code, gone.content) == (204, b"")


async def test_api_2_a_paging_client_goes_on_while_there_is_a_next(app: App) -> None:
    for provider in ("github", "google", "slack"):
        await app.connect(provider)
    seen: list[str] = []
    params: dict[str, str] = {"take": "2"}
    while params:
        body = (await app.http.get("accounts", params=params)).json()
        seen += [account["connection"] for account in body["accounts"]]
        params = {"take": "2", "from": body["next"]} if body.get("next") else {}
    assert seen == ["github", "google", "slack"]
