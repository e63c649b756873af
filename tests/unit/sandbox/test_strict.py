"""The double by which configurations are tried refuses what a stranger may send."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import pytest_asyncio

from tests.doubles.strict import APP, SECRET, StrictProvider
from tests.unit.sandbox.conftest import CALLBACK, CHALLENGE, VERIFIER
from vaultd.sandbox.demands import Demands

ASKED = {"response_type": "code", "client_id": APP, "redirect_uri": CALLBACK, "state": "s", "scope": "read"}
PROVED = {"code_challenge": CHALLENGE, "code_challenge_method": "S256"}
PROOF = {"client_id": APP, "client_secret": SECRET}


@pytest.fixture
def provider() -> StrictProvider:
    strict = StrictProvider(Demands(identity=frozenset({"read"})))
    strict.redirect_uri = CALLBACK
    return strict


@pytest_asyncio.fixture
async def http(provider: StrictProvider) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=provider.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://strict.test") as client:
        yield client


async def asked(http: httpx.AsyncClient, query: Mapping[str, str]) -> httpx.Response:
    return await http.get("/authorize", params=query)


async def code(http: httpx.AsyncClient) -> dict[str, str]:
    """The members of a good request for tokens."""
    back = parse_qs(urlsplit((await asked(http, ASKED | PROVED)).headers["location"]).query)
    form = {"grant_type": "authorization_code", "code": back["code"][0], "redirect_uri": CALLBACK}
    return {**form, "code_verifier": VERIFIER, **PROOF}


async def told(http: httpx.AsyncClient, form: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
    answer = await http.post("/token", data=form)
    body: dict[str, Any] = answer.json()
    assert ("error" in body) is (answer.status_code != 200)
    return answer.status_code, body


async def is_good(http: httpx.AsyncClient, token: str) -> bool:
    return (await http.get("/userinfo", headers={"authorization": f"Bearer {token}"})).status_code == 200


@pytest.mark.parametrize(
    "uri",
    [
        CALLBACK.replace("https", "http"),
        CALLBACK + "/",
        CALLBACK + "?x=1",
        CALLBACK.replace(".com", ".com:443"),
        CALLBACK.replace("vault", "VAULT"),
        CALLBACK.removesuffix("github") + "Github",
        "",
    ],
)
async def test_one_redirect_uri_is_good(http: httpx.AsyncClient, uri: str) -> None:
    assert (await asked(http, ASKED | PROVED | {"redirect_uri": uri})).status_code == 400


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": ""}, "invalid_request"),
        ({"code": ""}, "invalid_request"),
        ({"redirect_uri": ""}, "invalid_request"),
        ({"redirect_uri": CALLBACK + "/"}, "invalid_grant"),
        ({"code": "made up"}, "invalid_grant"),
        ({"code_verifier": ""}, "invalid_grant"),
        ({"code_verifier": "w" * 64}, "invalid_grant"),
        ({"client_secret": "guess"}, "invalid_client"),
        ({"client_secret": ""}, "invalid_client"),
        ({"client_id": "other"}, "invalid_client"),
        ({"grant_type": "refresh_token"}, "invalid_request"),
        ({"grant_type": "refresh_token", "refresh_token": "made up"}, "invalid_grant"),
    ],
    ids=str,
)
async def test_a_request_that_is_not_as_it_was_asked_is_refused(
    http: httpx.AsyncClient, changes: dict[str, str], error: str
) -> None:
    _, body = await told(http, await code(http) | changes)
    assert body["error"] == error


async def test_a_code_that_comes_again_costs_its_tokens(http: httpx.AsyncClient) -> None:
    form = await code(http)
    _, body = await told(http, form)
    assert await is_good(http, body["access_token"])
    assert (await told(http, form))[1]["error"] == "invalid_grant"
    assert not await is_good(http, body["access_token"])
    again = {"grant_type": "refresh_token", "refresh_token": body["refresh_token"], **PROOF}
    assert (await told(http, again))[1]["error"] == "invalid_grant"


async def test_each_token_is_good_for_its_own_purpose_and_until_it_is_revoked(http: httpx.AsyncClient) -> None:
    _, body = await told(http, await code(http))
    access, refresh = body["access_token"], body["refresh_token"]
    again = {"grant_type": "refresh_token", **PROOF}
    assert (await told(http, again | {"refresh_token": access}))[1]["error"] == "invalid_grant"
    assert not await is_good(http, refresh)
    assert (await told(http, again | {"refresh_token": refresh, "scope": "read write"}))[1]["error"] == "invalid_scope"
    assert (await told(http, again | {"refresh_token": refresh}))[0] == 200
    await http.post("/revoke", data={"token": refresh})
    assert not await is_good(http, access)
    assert (await told(http, again | {"refresh_token": refresh}))[1]["error"] == "invalid_grant"
