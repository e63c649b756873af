"""A LangChain agent with three tools that act for whoever asks.

It wants VAULTD_URL, VAULTD_CLIENT_ID, VAULTD_CLIENT_SECRET and a user's SESSION_TOKEN in the environment, and a MODEL
as `init_chat_model` takes it: python -m examples.langchain.briefing
"""

from __future__ import annotations

import os
from collections.abc import Mapping

import httpx
from langchain.agents import create_agent
from langchain.tools import BaseTool, tool
from langchain_core.language_models import BaseChatModel

from examples.workday import AGENDA, CALENDAR, INSTRUCTIONS, QUESTION, REVIEWS, Places, events, messages, pull_requests
from vaultd_client import AccessToken, VaultClient, acting_for


def make_tools(vault: VaultClient, places: Places, http: httpx.Client) -> list[BaseTool]:
    """The tools, made once: whom they act for is said when they are called."""

    def get(url: str, token: AccessToken, params: Mapping[str, str]) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token.access_token}"}
        return http.get(url, params=params, headers=headers).raise_for_status()

    @tool
    @vault.tool("github", scopes=["repo"])
    def reviews(token: AccessToken) -> str:
        """Pull requests that wait for the user's review."""
        return pull_requests(get(f"{places.github}/search/issues", token, REVIEWS).json())

    @tool
    @vault.tool("google", scopes=[CALENDAR], label="Google Calendar")
    def agenda(token: AccessToken) -> str:
        """The events in the user's calendar."""
        return events(get(f"{places.google}/calendar/v3/calendars/primary/events", token, AGENDA).json())

    @tool
    @vault.tool("slack", scopes=["channels:history"])
    def chat(channel: str, token: AccessToken) -> str:
        """The latest messages in a channel of the user's Slack."""
        return messages(get(f"{places.slack}/conversations.history", token, {"channel": channel}).json())

    return [reviews, agenda, chat]


def main(model: str | BaseChatModel, environ: Mapping[str, str]) -> str:
    """Ask once, for the user of the session token."""
    places = Places.of(environ)
    with (
        VaultClient(places.vault, auth=places.credentials) as vault,
        httpx.Client(timeout=15.0, trust_env=False) as http,
    ):
        agent = create_agent(model, make_tools(vault, places, http), system_prompt=INSTRUCTIONS)
        # In a web application, this is around the handling of a request.
        with acting_for(environ["SESSION_TOKEN"]):
            done = agent.invoke({"messages": [{"role": "user", "content": QUESTION}]})
    return str(done["messages"][-1].text)


if __name__ == "__main__":
    print(main(os.environ["MODEL"], os.environ))  # noqa: T201 - the result
