"""An agent of the OpenAI Agents SDK with three tools that act for whoever asks.

It wants VAULTD_URL, VAULTD_CLIENT_ID, VAULTD_CLIENT_SECRET and a user's SESSION_TOKEN in the environment, and a MODEL
with its OPENAI_API_KEY: python -m examples.openai_agents.briefing
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from contextlib import AsyncExitStack

import httpx
from agents import Agent, Model, Runner, Tool, function_tool

from examples.workday import (
    AGENDA,
    CALENDAR,
    INSTRUCTIONS,
    QUESTION,
    REVIEWS,
    Places,
    events,
    messages,
    pull_requests,
    slack_refuses,
)
from vaultd_client import AsyncVaultClient, acting_for


async def make_tools(vault: AsyncVaultClient, places: Places, stack: AsyncExitStack) -> list[Tool]:
    """The tools, made once: whom they act for is said when they are called.

    Each API has an HTTP client that puts the user's token on its requests. When the provider says 401 before a token's
    end, it tells the vault, which has another one then.
    """

    async def client(connection: str, api: str, *scopes: str) -> httpx.AsyncClient:
        refuses = slack_refuses if connection == "slack" else None
        auth = vault.auth(connection, origins=[api], refuses=refuses, scopes=scopes)
        return await stack.enter_async_context(httpx.AsyncClient(auth=auth, timeout=15.0, trust_env=False))

    github = await client("github", places.github, "repo")
    google = await client("google", places.google, CALENDAR)
    slack = await client("slack", places.slack, "channels:history")

    @function_tool
    @vault.tool("github")
    async def reviews() -> str:
        """Pull requests that wait for the user's review."""
        answer = await github.get(f"{places.github}/search/issues", params=REVIEWS)
        return pull_requests(answer.raise_for_status().json())

    @function_tool
    @vault.tool("google", label="Google Calendar")
    async def agenda() -> str:
        """The events in the user's calendar."""
        answer = await google.get(f"{places.google}/calendar/v3/calendars/primary/events", params=AGENDA)
        return events(answer.raise_for_status().json())

    @function_tool
    @vault.tool("slack")
    async def chat(channel: str) -> str:
        """The latest messages in a channel of the user's Slack."""
        answer = await slack.get(f"{places.slack}/conversations.history", params={"channel": channel})
        return messages(answer.raise_for_status().json())

    return [reviews, agenda, chat]


async def main(model: str | Model, environ: Mapping[str, str]) -> str:
    """Ask once, for the user of the session token."""
    places = Places.of(environ)
    async with AsyncExitStack() as stack:
        vault = await stack.enter_async_context(AsyncVaultClient(places.vault, auth=places.credentials))
        tools = await make_tools(vault, places, stack)
        agent = Agent(name="Briefing", instructions=INSTRUCTIONS, model=model, tools=tools)
        # In a web application, this is around the handling of a request.
        with acting_for(environ["SESSION_TOKEN"]):
            done = await Runner.run(agent, QUESTION)
    return str(done.final_output)


if __name__ == "__main__":
    print(asyncio.run(main(os.environ["MODEL"], os.environ)))  # noqa: T201 - the result
