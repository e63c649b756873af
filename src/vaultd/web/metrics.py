"""GET /metrics, on a port of its own (api.md §5): plain ASGI, since nothing else is served there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from vaultd.telemetry.metrics import Exhibit
from vaultd.web.wire import NO_STORE

PATH = "/metrics"


class MetricsPage:
    """The exhibit as text. `look` is awaited before, for what is read from elsewhere."""

    def __init__(self, *, exhibit: Exhibit, look: Callable[[], Awaitable[None]]) -> None:
        # A registry of our own: the library's global one holds what others put there.
        self._registry = CollectorRegistry()
        self._registry.register(exhibit)
        ProcessCollector(registry=self._registry)
        self._look = look

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        await (await self._answer(scope))(scope, receive, send)

    async def _answer(self, scope: Scope) -> Response:
        if scope["path"] != PATH:
            return PlainTextResponse("Not found\n", 404)
        if scope["method"] != "GET":
            return PlainTextResponse("Method not allowed\n", 405, {"allow": "GET"})
        await self._look()
        headers = {"content-type": CONTENT_TYPE_PLAIN_0_0_4, **NO_STORE}
        return Response(generate_latest(self._registry), headers=headers)
