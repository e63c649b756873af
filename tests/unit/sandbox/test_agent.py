"""The sample agent against a stand-in for vaultd that exchanges for tokens of real sandbox providers."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from tests.unit.sandbox.conftest import CLIENT, make_provider
from vaultd.sandbox.agent import AgentError, ExchangeRefused, InteractionNeeded, SampleAgent
from vaultd.sandbox.apis import CALENDAR_SCOPE
from vaultd.sandbox.loopback import loopback_http
from vaultd.sandbox.oauth import form_of
from vaultd.sandbox.provider import SandboxProvider
from vaultd.sandbox.servers import LoopbackServers
from vaultd.terms import Secret

SCOPES = {"github": ["repo"], "google": [CALENDAR_SCOPE], "slack": ["channels:history"]}
SESSION = Secret("the user's session token")
NEEDED = {
    "error": "interaction_required",
    "error_description": "Slack access was revoked. Reconnect required.",
    "reason": "reconnect_required",
    "connection": "slack",
    "connect_uri": "http://vault.test/auth/connect/slack",
}


class StandInVault:
    """Answers exchanges out of the providers' hands; `refusals` are answers by audience instead."""

    def __init__(self) -> None:
        self.providers: dict[str, SandboxProvider] = {name: make_provider(name=name) for name in SCOPES}
        self.refusals: dict[str, tuple[int, dict[str, Any] | str]] = {}
        self.seen: list[tuple[dict[str, str], str]] = []
        self.app = Starlette(routes=[Route("/oauth/token", self.token, methods=["POST"])])

    async def token(self, request: Request) -> Response:
        form = await form_of(request)
        self.seen.append((form, request.headers["authorization"]))
        name = form["audience"]
        if name in self.refusals:
            status, body = self.refusals[name]
            return PlainTextResponse(body, status) if isinstance(body, str) else JSONResponse(body, status)
        issued = self.providers[name].issue(user="alice", client_id=CLIENT, scopes=SCOPES[name])
        return JSONResponse(issued | {"account": "alice"})


@pytest.fixture
def vault() -> StandInVault:
    return StandInVault()


@pytest.fixture
def agent(vault: StandInVault, servers: LoopbackServers) -> SampleAgent:
    return SampleAgent(
        token_endpoint=f"{servers.serve(vault.app)}/oauth/token",
        client_id="briefing-agent",
        client_secret=Secret("s"),
        apis={name: servers.serve(provider.app) for name, provider in vault.providers.items()},
    )


async def test_the_briefing(agent: SampleAgent, vault: StandInVault) -> None:
    briefing = await agent.briefing(SESSION)
    assert briefing.text == (
        "GitHub: 2 to review\n"
        "  - #42 Water the seedlings twice a day (bob)\n"
        "  - #57 Label every crate with its row (carol)\n\n"
        "Calendar: 2 today\n"
        "  - 09:30 Morning round\n"
        "  - 14:00 Harvest planning\n\n"
        "Slack: 2 in #general\n"
        "  - bob: The north gate sticks again.\n"
        "  - carol: New crates arrive on Thursday."
    )
    assert [form["audience"] for form, _ in vault.seen] == ["github", "google", "slack"]
    form, authorization = vault.seen[0]
    assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:token-exchange"
    assert form["subject_token"] == SESSION.reveal()
    assert authorization.startswith("Basic ")
    assert [provider.calls for provider in vault.providers.values()] == [{"api": 1}] * 3


async def test_interaction_required_is_typed(agent: SampleAgent, vault: StandInVault) -> None:
    vault.refusals["slack"] = (400, NEEDED)
    with pytest.raises(InteractionNeeded) as caught:
        await agent.briefing(SESSION)
    needed = caught.value
    assert (needed.reason, needed.connection, needed.status) == ("reconnect_required", "slack", 400)
    assert needed.connect_uri == "http://vault.test/auth/connect/slack"
    assert str(needed) == "Slack access was revoked. Reconnect required."


async def test_other_refusals(agent: SampleAgent, vault: StandInVault) -> None:
    vault.refusals["github"] = (401, {"error": "invalid_client"})
    with pytest.raises(ExchangeRefused, match="invalid_client"):
        await agent.briefing(SESSION)
    vault.refusals["github"] = (502, "<h1>Bad gateway</h1>")
    with pytest.raises(AgentError, match="no JSON object"):
        await agent.briefing(SESSION)


async def test_an_api_that_fails(agent: SampleAgent, vault: StandInVault) -> None:
    for name, fault in (("slack", "drop"), ("google", "down")):
        vault.providers[name].faults.api = fault  # type: ignore[assignment]  # literals of a tuple are plain str
        with pytest.raises(AgentError):
            await agent.briefing(SESSION)


async def test_the_agent_as_a_server(agent: SampleAgent, vault: StandInVault, servers: LoopbackServers) -> None:
    url = f"{servers.serve(agent.app)}/briefing"
    async with loopback_http(headers={"Authorization": f"Bearer {SESSION.reveal()}"}) as http:
        assert (await http.post(url)).text.startswith("GitHub: 2 to review\n")
        vault.refusals["slack"] = (400, NEEDED)
        answer = await http.post(url)
        assert (answer.status_code, answer.json()["connect_uri"]) == (409, NEEDED["connect_uri"])
        vault.refusals["slack"] = (500, {"error": "server_error"})
        assert (await http.post(url)).status_code == 502
