"""Revocations whose requests have names, headers and methods of their own, as the providers' own sources have them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.doubles.acting import connect, disconnected, token_in
from tests.doubles.provider import ProviderDouble
from tests.doubles.stage import APP_AT_PROVIDER, Stage

CLIENT_ID, SECRET = APP_AT_PROVIDER
ASKED: dict[str, tuple[str, str, dict[str, Any], dict[str, str]]] = {
    "miro": (
        "POST",
        "api.miro.com",
        {"accessToken": "<token>", "clientId": CLIENT_ID, "clientSecret": SECRET},
        {"content-type": "application/json"},
    ),
    "hubspot": (
        "POST",
        "api.hubapi.com",
        {"client_id": CLIENT_ID, "client_secret": SECRET, "token": "<token>", "token_type_hint": "refresh_token"},
        {"content-type": "application/x-www-form-urlencoded"},
    ),
    "shopify": (
        "DELETE",
        "my-shop.myshopify.com",
        {},
        {"x-shopify-access-token": "<token>", "content-type": "application/json", "accept": "application/json"},
    ),
    "intercom": (
        "POST",
        "api.intercom.io",
        {},
        {"authorization": "Bearer <token>", "content-type": "application/json", "accept": "application/json"},
    ),
}
"""Method, host, the parameters, and what the headers must have."""


@pytest.mark.parametrize("name", ASKED)
async def test_the_request_is_the_one_that_the_source_shows(stage: Stage, double: ProviderDouble, name: str) -> None:
    method, host, params, headers = ASKED[name]
    async with stage.app() as app:
        account = await connect(app, name)
        await disconnected(stage, app, account["id"], name)
    asked = double.of("revocation")
    tokens = {str(token_in(name, "token", "refresh_token" if name == "hubspot" else "access_token"))}
    if name in {"miro", "shopify"}:
        tokens.add(str(token_in(name, "refresh")))
    assert {each.method for each in asked} == {method}
    assert {each.host for each in asked} == {host}
    for each in asked:
        assert any(dict(each.params) == _with(params, token) for token in tokens)
        assert any(dict(each.headers).items() >= _with(headers, token).items() for token in tokens)
    assert ("authorization" in asked[0].headers) == (name == "intercom")
    assert double.complaints == []


def _with(values: dict[str, Any], token: str) -> dict[str, Any]:
    return {name: value.replace("<token>", token) for name, value in values.items()}
