"""Both clients spoken to in one way, and what they sent: every test of a behaviour is run on each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Literal

import httpx

from vaultd.sandbox.dev_config import BRIEFING_AGENT
from vaultd.sandbox.loopback import loopback_http
from vaultd.sandbox.world import World
from vaultd_client import AsyncVaultClient, ClientSecretBasic, VaultClient

Kind = Literal["threads", "asyncio"]


class Wire(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """The network as it is, with a record of what went over it. `meanwhile` is called before each sending."""

    def __init__(self, meanwhile: Callable[[httpx.Request], None] = lambda _: None) -> None:
        self.sent: list[tuple[httpx.Request, httpx.Response]] = []
        self.meanwhile = meanwhile
        self._threads = httpx.HTTPTransport()
        self._tasks = httpx.AsyncHTTPTransport()

    @property
    def exchanges(self) -> int:
        return len([request for request, _ in self.sent if request.url.path == "/oauth/token"])

    @property
    def looks(self) -> list[int]:
        """The statuses that looking up accounts was answered with."""
        return [answer.status_code for request, answer in self.sent if request.url.path.endswith("/accounts")]

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.meanwhile(request)
        answer = self._threads.handle_request(request)
        self.sent.append((request, answer))
        return answer

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.meanwhile(request)
        answer = await self._tasks.handle_async_request(request)
        self.sent.append((request, answer))
        return answer

    def close(self) -> None:
        self._threads.close()

    async def aclose(self) -> None:
        await self._tasks.aclose()


class Speaker:
    """A client of either kind; what it is asked blocks no event loop."""

    def __init__(
        self,
        kind: Kind,
        url: str,
        *,
        transport: Any = None,
        sleep: Callable[[float], None] | None = None,
        **options: Any,
    ) -> None:
        self.kind = kind
        self.wire = transport or Wire()
        self.client: Any
        if kind == "threads":
            more: dict[str, Any] = {"sleep": sleep} if sleep else {}
            self.client = VaultClient(url, transport=self.wire, **more, **options)
        else:
            more = {"sleep": _later(sleep)} if sleep else {}
            self.client = AsyncVaultClient(url, transport=self.wire, **more, **options)

    async def get(self, connection: str = "github", **options: Any) -> Any:
        return await self("get_access_token", connection, **options)

    async def __call__(self, method: str, *args: Any, **options: Any) -> Any:
        return await self.run(getattr(self.client, method), *args, **options)

    async def run(self, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """A function of the client's kind."""
        if self.kind == "threads":
            return await asyncio.to_thread(function, *args, **options)
        return await function(*args, **options)

    async def provider_call(self, url: str, auth: httpx.Auth, **options: Any) -> httpx.Response:
        """One request by an httpx client of the same kind."""
        if self.kind == "threads":
            with httpx.Client(auth=auth, trust_env=False, **options) as http:
                return await asyncio.to_thread(http.get, url)
        async with loopback_http(auth=auth, **options) as http:
            return await http.get(url)

    async def close(self) -> None:
        if self.kind == "threads":
            self.client.close()
        else:
            await self.client.aclose()


def _later(sleep: Callable[[float], None]) -> Callable[[float], Any]:
    async def wait(seconds: float) -> None:
        sleep(seconds)

    return wait


def again(answer: httpx.Response) -> httpx.Response:
    """The same answer, not read yet."""
    return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)


def agent(world: World) -> ClientSecretBasic:
    """The credentials of the agent's backend in the sandbox."""
    return ClientSecretBasic(BRIEFING_AGENT, world.secrets.briefing_agent.reveal())
