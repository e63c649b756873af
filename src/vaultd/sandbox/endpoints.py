"""Calls counted and switches obeyed: what stands before every endpoint of a sandbox server."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response

from vaultd.sandbox.faults import ANSWERING, WORKING, Faults, answer
from vaultd.sandbox.oauth import OAuthRefused, SentBack
from vaultd.sandbox.pages import Pages, see_other

Handler = Callable[[Request], Awaitable[Response]]
Refusal = Callable[[OAuthRefused], Response]


class Endpoints:
    """Wraps handlers. `calls` counts by endpoint, failing ones too; `faults` are the switches; `refusal` words a no."""

    def __init__(
        self,
        *,
        calls: Counter[str],
        faults: Faults,
        pages: Pages,
        issuer: str | None,
        refusal: Refusal = OAuthRefused.answer,
    ) -> None:
        self._calls = calls
        self._faults = faults
        self._pages = pages
        self._issuer = issuer
        self._refusal = refusal

    def counted(self, endpoint: str, handler: Handler) -> Handler:
        """Count the call, then do the work or whatever the switch says instead."""

        async def counted(request: Request) -> Response:
            self._calls[endpoint] += 1
            return await self.attempt(endpoint, handler, request)

        return counted

    async def attempt(self, endpoint: str, handler: Handler, request: Request) -> Response:
        """Do the work or whatever the switch of `endpoint` says instead, uncounted."""
        fault = getattr(self._faults, endpoint)
        if fault not in WORKING:
            return answer(fault)
        try:
            response = await handler(request)
        except OAuthRefused as refusal:
            response = self._refusal(refusal)
        return response if fault in ANSWERING else answer(fault)

    def page(self, handler: Handler) -> Handler:
        """Tell the app what is wrong, where the app is known, else the person."""

        async def page(request: Request) -> Response:
            try:
                return await handler(request)
            except SentBack as refusal:
                back = refusal.request.callback(
                    error=refusal.error, error_description=refusal.description, iss=self._issuer
                )
                return see_other(back)
            except OAuthRefused as refusal:
                return self._pages.message("This does not work", refusal.description, status=400)

        return page
