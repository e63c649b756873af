"""Issue 7, item 3: the examples, each run by its framework with the framework's own scripted or fake model."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from agents import set_tracing_disabled
from agents.testing import ScriptedModel, assistant_message, function_call
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.outputs import ChatResult
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import TextContent

from examples.langchain import briefing as langchain_briefing
from examples.openai_agents import briefing as openai_briefing
from tests.wire.vault import App, Vault, bearer
from vaultd.sandbox.dev_config import BRIEFING_AGENT, SAMPLE_AGENT
from vaultd.sandbox.servers import listen
from vaultd.sandbox.world import World

ROOT = Path(__file__).parents[3]
CALLS = {"reviews": {}, "agenda": {}, "chat": {"channel": "general"}}
SEEN = {"github": "#42 Water the seedlings", "google": "Harvest planning", "slack": "The north gate sticks again."}
MISSING = "Slack is not connected. Connect it in Settings to include Slack data. "


@pytest.fixture
def environ(world: World, app: App) -> dict[str, str]:
    """What the examples read from their environment."""
    return {
        "VAULTD_URL": world.places.vault,
        "VAULTD_CLIENT_ID": BRIEFING_AGENT,
        "VAULTD_CLIENT_SECRET": world.secrets.briefing_agent.reveal(),
        "SESSION_TOKEN": app.session_token,
        "ISSUER": world.places.issuer,
        **{f"{name.upper()}_API": url for name, url in world.places.providers.items()},
    }


class FakeModel(GenericFakeChatModel):
    """The framework's fake model, which also lets tools be bound to it, and keeps what it was told."""

    told: list[list[BaseMessage]]

    def bind_tools(self, tools: Sequence[Any], **_: Any) -> FakeModel:
        assert [each.name for each in tools] == list(CALLS)
        # What the model is offered: no tool has a token to fill in.
        assert [list(each.args) for each in tools] == [list(arguments) for arguments in CALLS.values()]
        return self

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        self.told.append(messages)
        return super()._generate(messages, *args, **kwargs)


def fake_model() -> FakeModel:
    calls = [{"name": name, "args": args, "id": name, "type": "tool_call"} for name, args in CALLS.items()]
    return FakeModel(messages=iter([AIMessage("", tool_calls=calls), AIMessage("A busy day.")]), told=[])


async def langchain(environ: Mapping[str, str]) -> tuple[str, dict[str, str], str]:
    model = fake_model()
    # In a thread, where its sync tools run in threads of their own.
    answer = await asyncio.to_thread(langchain_briefing.main, model, environ)
    last = model.told[-1]
    results = {str(each.name): str(each.content) for each in last if isinstance(each, ToolMessage)}
    return answer, results, repr(model.told)


async def openai_agents(environ: Mapping[str, str]) -> tuple[str, dict[str, str], str]:
    set_tracing_disabled(True)
    calls = [function_call(name, args, call_id=name) for name, args in CALLS.items()]
    model = ScriptedModel([calls, [assistant_message("A busy day.")]])
    answer = await openai_briefing.main(model, environ)
    model.assert_complete()
    assert model.last_call is not None
    results = {each["call_id"]: each["output"] for each in model.last_call.input if each.get("output") is not None}
    return answer, results, repr(model.calls)


RUNS = {"langchain": langchain, "openai_agents": openai_agents}


@pytest.mark.parametrize("framework", RUNS)
async def test_an_agent_says_what_is_missing_and_then_sees_it(
    world: World, vault: Vault, app: App, environ: dict[str, str], framework: str
) -> None:
    for name in ("github", "google"):
        await app.connect(name)
    answer, results, _ = await RUNS[framework](environ)
    assert answer == "A busy day."
    assert SEEN["github"] in results["reviews"]
    assert SEEN["google"] in results["agenda"]
    assert results["chat"].startswith(f"{MISSING}{world.places.vault}/auth/connect/slack?")
    await app.connect("slack")
    _, results, whole = await RUNS[framework](environ)
    assert SEEN["slack"] in results["chat"]
    # Every use is in the log, and nothing that the model has read is a token.
    assert await exchanged(world, vault, app) == {"github": 2, "google": 2, "slack": 1}
    tokens = [(await vault.exchange(app.session_token, audience=name)).json()["access_token"] for name in SEEN]
    assert not [token for token in (*tokens, app.session_token, environ["VAULTD_CLIENT_SECRET"]) if token in whole]


@pytest.mark.parametrize("framework", RUNS)
async def test_an_agent_goes_on_when_a_token_dies_before_its_end(
    world: World, vault: Vault, app: App, environ: dict[str, str], framework: str
) -> None:
    for name in SEEN:
        await app.connect(name)
    github = world.providers["github"]
    github.grants.end_access_tokens()
    github.calls.clear()
    _, results, _ = await RUNS[framework](environ)
    assert SEEN["github"] in results["reviews"]
    assert github.calls["refresh"] == 1
    assert await exchanged(world, vault, app) == {"github": 2, "google": 1, "slack": 1}
    assert await reported(world, vault, app) == ["renewed"]


async def reported(world: World, vault: Vault, app: App) -> list[str]:
    who = {"subject_issuer": world.places.issuer, "subject": app.user, "type": "token.exchanged"}
    return [event["reported"] for event in (await vault.audit(**who))["events"] if "reported" in event]


async def exchanged(world: World, vault: Vault, app: App) -> dict[str, int]:
    who = {"subject_issuer": world.places.issuer, "subject": app.user, "type": "token.exchanged"}
    found = [event["connection"] for event in (await vault.audit(**who))["events"]]
    return {name: found.count(name) for name in sorted(set(found))}


@contextmanager
def mcp_server(environ: Mapping[str, str]) -> Iterator[str]:
    """The example as it is started by hand; gives its URL."""
    with listen().socket as free:
        port = free.getsockname()[1]
    paths = os.pathsep.join(str(ROOT / folder) for folder in (".", "clients/python/src"))
    whole = {"PATH": os.environ["PATH"], "PYTHONPATH": paths, "PORT": str(port), **environ}
    command = [sys.executable, "-m", "examples.mcp.server"]
    with subprocess.Popen(command, env=whole, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            # uvicorn says when it listens, and why it does not.
            said = next((line for line in process.stderr if "Uvicorn running" in line), None)
            assert said is not None
            yield f"http://127.0.0.1:{port}/mcp"
        finally:
            process.terminate()
            process.communicate(timeout=15)


async def called(url: str, token: str, name: str, **arguments: str) -> str:
    """One call by the SDK's own client, over HTTP."""
    async with (
        httpx2.AsyncClient(headers=bearer(token), trust_env=False, timeout=30.0) as http,
        Client(streamable_http_client(url, http_client=http)) as client,
    ):
        tools = (await client.list_tools()).tools
        assert {each.name: list(each.input_schema["properties"]) for each in tools} == {
            "reviews": [],
            "chat": ["channel"],
        }
        result = await client.call_tool(name, arguments)
    assert not result.is_error, result
    (content,) = result.content
    assert isinstance(content, TextContent)
    return content.text


async def test_an_mcp_server_acts_for_whoever_calls(
    world: World, vault: Vault, app: App, environ: dict[str, str]
) -> None:
    """Each call with the session of its own user; the server keeps nothing of one for another."""
    await app.connect("github")
    async with App(world) as other:
        with mcp_server(environ) as url:
            mine, theirs = (session(world, each, url) for each in (app, other))
            assert SEEN["github"] in await called(url, mine, "reviews")
            link = f"{world.places.vault}/auth/connect/github?client_id={BRIEFING_AGENT}&scope=repo"
            assert await called(url, theirs, "reviews") == (
                f"GitHub is not connected. Connect it in Settings to include GitHub data. {link}"
            )
            assert (await called(url, mine, "chat", channel="general")).startswith(MISSING)
            await app.connect("slack")
            assert SEEN["slack"] in await called(url, mine, "chat", channel="general")
            # Its own copy of the token is dead before its end, and so is the vault's.
            world.providers["github"].grants.end_access_tokens()
            assert SEEN["github"] in await called(url, mine, "reviews")
            assert await reported(world, vault, app) == ["renewed"]
            # Without a session there is no server to speak to; nor with one that is for the vault alone.
            async with httpx2.AsyncClient(trust_env=False) as http:
                for headers in ({}, bearer("x"), bearer(app.session_token)):
                    assert (await http.post(url, json={}, headers=headers)).status_code == 401
    assert await exchanged(world, vault, app) == {"github": 2, "slack": 1}


def session(world: World, app: App, url: str) -> str:
    """A session token of the user's for both, this server and the vault."""
    return world.issuer.mint(app.user, aud=[world.places.vault, url], azp=SAMPLE_AGENT)
