"""The addresses of a provider that a test scripts: consent, tokens, the account, revocation."""

from __future__ import annotations

from abc import ABC, abstractmethod

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


class FourSteps(ABC):
    """The application; what is said at each address is for whoever extends it."""

    def __init__(self) -> None:
        self.app = Starlette(
            routes=[
                Route("/authorize", self._authorize),
                Route("/token", self._token, methods=["POST"]),
                Route("/userinfo", self._userinfo),
                Route("/revoke", self._revoke, methods=["POST"]),
            ]
        )

    @abstractmethod
    async def _authorize(self, request: Request) -> Response: ...

    @abstractmethod
    async def _token(self, request: Request) -> Response: ...

    @abstractmethod
    async def _userinfo(self, request: Request) -> Response: ...

    @abstractmethod
    async def _revoke(self, request: Request) -> Response: ...
