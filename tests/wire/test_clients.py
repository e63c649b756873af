"""Generic OAuth clients of other people's making can do the exchange, and understand its refusals."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from authlib.integrations.base_client import OAuthError

from tests.support import node
from tests.support.authlib_client import AsyncOAuth2Client
from tests.support.exchanging import make_healthy
from vaultd.sandbox.agent import ACCESS_TOKEN, TOKEN_EXCHANGE
from vaultd.sandbox.dev_config import BRIEFING_AGENT, SAMPLE_AGENT
from vaultd.sandbox.people import PEOPLE
from vaultd.sandbox.person import AppUser
from vaultd.sandbox.world import World, start_world


@pytest.fixture(scope="module")
def served() -> Iterator[World]:
    with start_world(synced=False) as world:
        yield world


@pytest.fixture
async def alice(served: World) -> AsyncIterator[AppUser]:
    make_healthy(served.providers["github"])
    async with AppUser(served, PEOPLE["alice"]) as user:
        if not await user.accounts():
            await user.connect("github")
        yield user


def by_authlib(world: World, *, secret: str | None = None, method: str = "client_secret_basic") -> AsyncOAuth2Client:
    return AsyncOAuth2Client(
        client_id=BRIEFING_AGENT,
        client_secret=secret or world.secrets.briefing_agent.reveal(),
        token_endpoint_auth_method=method,
        trust_env=False,
    )


async def fetch(client: AsyncOAuth2Client, world: World, user: AppUser, provider: str = "github") -> dict[str, Any]:
    async with client:
        return dict(
            await client.fetch_token(
                f"{world.places.vault}/oauth/token",
                grant_type=TOKEN_EXCHANGE,
                subject_token=user.session_token.reveal(),
                subject_token_type=ACCESS_TOKEN,
                audience=provider,
            )
        )


def by_oauth4webapi(world: World, user: AppUser, *, provider: str = "github", **changed: Any) -> dict[str, Any]:
    parameters = {
        "subject_token": user.session_token.reveal(),
        "subject_token_type": ACCESS_TOKEN,
        "audience": provider,
    }
    client = {"clientId": BRIEFING_AGENT, "clientSecret": world.secrets.briefing_agent.reveal()}
    return {"issuer": world.places.vault, **client, "parameters": parameters, **changed}


async def test_authlib_exchanges(served: World, alice: AppUser) -> None:
    token = await fetch(by_authlib(served), served, alice)
    assert served.providers["github"].grants.access(token["access_token"]) is not None
    assert token["token_type"] == "Bearer"
    assert token["issued_token_type"] == ACCESS_TOKEN
    assert token["connection"] == "github"
    assert set(token["scope"].split()) == {"repo", "read:user"}


async def test_authlib_understands_that_the_user_must_act(served: World, alice: AppUser) -> None:
    with pytest.raises(OAuthError) as refused:
        await fetch(by_authlib(served), served, alice, "slack")
    assert refused.value.error == "interaction_required"
    assert refused.value.description == "Slack is not connected. Connect it to continue."


async def test_authlib_understands_a_wrong_secret(served: World, alice: AppUser) -> None:
    with pytest.raises(OAuthError) as refused:
        await fetch(by_authlib(served, secret="not-the-secret-of-this-client-at-all"), served, alice)
    assert refused.value.error == "invalid_client"


async def test_a_client_must_use_the_method_it_was_given(served: World, alice: AppUser) -> None:
    with pytest.raises(OAuthError) as refused:
        await fetch(by_authlib(served, method="client_secret_post"), served, alice)
    assert refused.value.error == "invalid_client"


async def test_oauth4webapi_finds_the_endpoint_and_exchanges(served: World, alice: AppUser) -> None:
    outcome = await node.exchange(by_oauth4webapi(served, alice))
    assert outcome["ok"] is True, outcome
    result = outcome["result"]
    assert served.providers["github"].grants.access(result["access_token"]) is not None
    assert result["issued_token_type"] == ACCESS_TOKEN
    assert 0 < result["expires_in"] <= 300
    assert result["account"]


async def test_oauth4webapi_exchanges_without_a_secret(served: World, alice: AppUser) -> None:
    request = by_oauth4webapi(served, alice, clientId=SAMPLE_AGENT, clientSecret="", clientAuth="none")
    outcome = await node.exchange(request)
    assert outcome["ok"] is True, outcome
    assert outcome["result"]["connection"] == "github"


async def test_oauth4webapi_gets_the_whole_refusal(served: World, alice: AppUser) -> None:
    outcome = await node.exchange(by_oauth4webapi(served, alice, provider="slack"))
    assert (outcome["ok"], outcome["status"], outcome["error"]) == (False, 400, "interaction_required")
    assert outcome["body"]["reason"] == "not_connected"
    assert outcome["body"]["connect_uri"].startswith(f"{served.places.vault}/auth/connect/slack?")


async def test_oauth4webapi_gets_the_challenge_for_a_wrong_secret(served: World, alice: AppUser) -> None:
    wrong = by_oauth4webapi(served, alice, clientSecret="not-the-secret-of-this-client-at-all")
    outcome = await node.exchange(wrong)
    assert (outcome["ok"], outcome["status"]) == (False, 401)
    assert outcome["challenge"]["scheme"] == "basic"


async def test_oauth4webapi_understands_an_unknown_grant_type(served: World, alice: AppUser) -> None:
    outcome = await node.exchange(by_oauth4webapi(served, alice, grantType="urn:example:unknown"))
    assert (outcome["ok"], outcome["error"]) == (False, "unsupported_grant_type")
