"""An MCP server whose tools act for the user whose session token comes with the call.

It wants VAULTD_URL, VAULTD_CLIENT_ID, VAULTD_CLIENT_SECRET, the ISSUER of session tokens and a PORT in the environment:
python -m examples.mcp.server
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.auth.settings import AuthSettings
from mcp.server.mcpserver import MCPServer
from pydantic import AnyHttpUrl

from examples.mcp.sessions import SessionTokens
from examples.workday import REVIEWS, Places, messages, pull_requests, slack_refuses
from vaultd_client import AsyncVaultClient


def session() -> str:
    """The session token of the call that is being answered. It goes to the vault, and to no provider."""
    token = get_access_token()
    return token.token if token else ""


@asynccontextmanager
async def make_server(environ: Mapping[str, str]) -> AsyncIterator[MCPServer]:
    """The server and what it uses, until the end of the block."""
    places, url = Places.of(environ), f"http://127.0.0.1:{environ['PORT']}/mcp"
    async with AsyncExitStack() as stack:
        vault = await stack.enter_async_context(AsyncVaultClient(places.vault, auth=places.credentials))
        plain = await stack.enter_async_context(httpx.AsyncClient(timeout=15.0, trust_env=False))
        server = MCPServer(
            "Workday",
            token_verifier=SessionTokens(issuer=environ["ISSUER"], resource=url, http=plain),
            auth=AuthSettings(
                issuer_url=AnyHttpUrl(environ["ISSUER"]),
                resource_server_url=AnyHttpUrl(url),
                validate_token_resource=True,
            ),
        )
        # When the provider says 401 before a token's end, these tell the vault, which has another one then.
        auth = vault.auth("github", origins=[places.github], subject_token=session, scopes=["repo"])
        github = await stack.enter_async_context(httpx.AsyncClient(auth=auth, timeout=15.0, trust_env=False))
        auth = vault.auth(
            "slack",
            origins=[places.slack],
            refuses=slack_refuses,
            subject_token=session,
            scopes=["channels:history"],
        )
        slack = await stack.enter_async_context(httpx.AsyncClient(auth=auth, timeout=15.0, trust_env=False))

        @server.tool()
        @vault.tool("github")
        async def reviews() -> str:
            """Pull requests that wait for the user's review."""
            answer = await github.get(f"{places.github}/search/issues", params=REVIEWS)
            return pull_requests(answer.raise_for_status().json())

        @server.tool()
        @vault.tool("slack")
        async def chat(channel: str) -> str:
            """The latest messages in a channel of the user's Slack."""
            answer = await slack.get(f"{places.slack}/conversations.history", params={"channel": channel})
            return messages(answer.raise_for_status().json())

        yield server


async def main(environ: Mapping[str, str]) -> None:
    """Serve until stopped."""
    async with make_server(environ) as server:
        await server.run_streamable_http_async(host="127.0.0.1", port=int(environ["PORT"]))


if __name__ == "__main__":
    import asyncio

    asyncio.run(main(os.environ))
