"""A LangChain agent with three tools that act for whoever asks.

It wants VAULTD_URL, VAULTD_CLIENT_ID, VAULTD_CLIENT_SECRET and a user's SESSION_TOKEN in the environment, and a MODEL
as `init_chat_model` takes it: python -m examples.langchain.briefing
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack

import httpx
from langchain.agents import create_agent
from langchain.tools import BaseTool, tool
from langchain_core.language_models import BaseChatModel

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
from vaultd_client import VaultClient, acting_for


def make_tools(vault: VaultClient, places: Places, stack: ExitStack) -> list[BaseTool]:
    """The tools, made once: whom they act for is said when they are called.

    Each API has an HTTP client that puts the user's token on its requests. When the provider says 401 before a token's
    end, it tells the vault, which has another one then.
    """

    def client(connection: str, api: str, *scopes: str) -> httpx.Client:
        refuses = slack_refuses if connection == "slack" else None
        auth = vault.auth(connection, origins=[api], refuses=refuses, scopes=scopes)
        return stack.enter_context(httpx.Client(auth=auth, timeout=15.0, trust_env=False))

    github = client("github", places.github, "repo")
    google = client("google", places.google, CALENDAR)
    slack = client("slack", places.slack, "channels:history")

    @tool
    @vault.tool("github")
    def reviews() -> str:
        """Pull requests that wait for the user's review."""
        answer = github.get(f"{places.github}/search/issues", params=REVIEWS)
        return pull_requests(answer.raise_for_status().json())

    @tool
    @vault.tool("google", label="Google Calendar")
    def agenda() -> str:
        """The events in the user's calendar."""
        answer = google.get(f"{places.google}/calendar/v3/calendars/primary/events", params=AGENDA)
        return events(answer.raise_for_status().json())

    @tool
    @vault.tool("slack")
    def chat(channel: str) -> str:
        """The latest messages in a channel of the user's Slack."""
        answer = slack.get(f"{places.slack}/conversations.history", params={"channel": channel})
        return messages(answer.raise_for_status().json())

    return [reviews, agenda, chat]


def main(model: str | BaseChatModel, environ: Mapping[str, str]) -> str:
    """Ask once, for the user of the session token."""
    places = Places.of(environ)
    with ExitStack() as stack:
        vault = stack.enter_context(VaultClient(places.vault, auth=places.credentials))
        agent = create_agent(model, make_tools(vault, places, stack), system_prompt=INSTRUCTIONS)
        # In a web application, this is around the handling of a request.
        with acting_for(environ["SESSION_TOKEN"]):
            done = agent.invoke({"messages": [{"role": "user", "content": QUESTION}]})
    return str(done["messages"][-1].text)


if __name__ == "__main__":
    print(main(os.environ["MODEL"], os.environ))  # noqa: T201 - the result
