"""Credentials for httpx: each request to the provider carries a token of the user's, got when it is needed."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterable
from functools import partial
from typing import TypedDict, Unpack

import httpx

from vaultd_client.errors import OriginNotAllowed
from vaultd_client.places import Origin, origin_of, origins_of
from vaultd_client.subjects import SubjectSource
from vaultd_client.values import AccessToken


class Whose(TypedDict, total=False):
    """Whose token, which scopes, which of the user's accounts: as for `get_access_token`."""

    subject_token: SubjectSource
    scopes: Iterable[str] | None
    login_hint: str | None


Refuses = Callable[[httpx.Response], bool]
"""Whether an answer, all of which was read, says that the API did not take the token."""


class _Bound:
    """Where the token may go, and when another is asked for."""

    def __init__(self, connection: str, origins: Iterable[str], refuses: Refuses | None) -> None:
        self._connection = connection
        self._origins: frozenset[Origin] = origins_of(origins)
        self._refuses = refuses

    def check(self, request: httpx.Request) -> None:
        """Before the token is even asked for. Raises `OriginNotAllowed`."""
        if origin_of(request.url) not in self._origins:
            raise OriginNotAllowed(
                f"The token for {self._connection} is not for {request.url.scheme}://{request.url.netloc.decode()}."
            )

    def put_on(self, request: httpx.Request, token: AccessToken) -> httpx.Request:
        """RFC 6750 §2.1. A redirect to another origin loses the header: httpx takes it off."""
        request.headers["Authorization"] = f"Bearer {token.access_token}"
        return request

    def is_read(self, request: httpx.Request, response: httpx.Response) -> bool:
        """Whether `is_refusal` looks at the body."""
        other = response.status_code != httpx.codes.UNAUTHORIZED
        return other and self._refuses is not None and _is_of(request, response)

    def is_refusal(self, request: httpx.Request, response: httpx.Response) -> bool:
        """Whether the provider itself refused the token."""
        if self._refuses is not None and self.is_read(request, response):
            return self._refuses(response)
        return response.status_code == httpx.codes.UNAUTHORIZED and _is_of(request, response)

    @staticmethod
    def goes_again(request: httpx.Request, refused: AccessToken, another: AccessToken) -> bool:
        """Whether to send it once more: not with that very token, and a body that was a stream is gone."""
        return another.access_token != refused.access_token and isinstance(request.stream, httpx.ByteStream)


def _is_of(request: httpx.Request, response: httpx.Response) -> bool:
    """Behind a redirect to elsewhere nobody has seen the token."""
    return origin_of(response.request.url) == origin_of(request.url)


class VaultAuth(httpx.Auth):
    """For `httpx.Client`. On the provider's 401 the vault is told, and if it has another token, that is used, once.

    With `refuses` also where an answer says so in another way; then each answer is read as a whole first.
    """

    def __init__(
        self,
        get_access_token: Callable[..., AccessToken],
        connection: str,
        *,
        origins: Iterable[str],
        refuses: Refuses | None = None,
        **whose: Unpack[Whose],
    ) -> None:
        self._bound = _Bound(connection, origins, refuses)
        self._get = partial(get_access_token, connection, **whose)

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Called by httpx. Raises as `get_access_token` does, and `OriginNotAllowed`."""
        self._bound.check(request)
        token = self._get()
        response = yield self._bound.put_on(request, token)
        if self._bound.is_read(request, response):
            response.read()
        if self._bound.is_refusal(request, response):
            # Also for a request that cannot be sent again: the next one would be refused too.
            another = self._get(instead_of=token)
            if self._bound.goes_again(request, token, another):
                yield self._bound.put_on(request, another)

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """A thread's credentials would hold up the event loop. Raises `TypeError`."""
        raise TypeError("For an httpx.AsyncClient take the auth of an AsyncVaultClient.")
        yield request  # makes this a generator, as httpx expects


class AsyncVaultAuth(httpx.Auth):
    """The same for `httpx.AsyncClient`."""

    def __init__(
        self,
        get_access_token: Callable[..., Awaitable[AccessToken]],
        connection: str,
        *,
        origins: Iterable[str],
        refuses: Refuses | None = None,
        **whose: Unpack[Whose],
    ) -> None:
        self._bound = _Bound(connection, origins, refuses)
        self._get = partial(get_access_token, connection, **whose)

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Called by httpx. Raises as `get_access_token` does, and `OriginNotAllowed`."""
        self._bound.check(request)
        token = await self._get()
        response = yield self._bound.put_on(request, token)
        if self._bound.is_read(request, response):
            await response.aread()
        if self._bound.is_refusal(request, response):
            another = await self._get(instead_of=token)
            if self._bound.goes_again(request, token, another):
                yield self._bound.put_on(request, another)

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Raises `TypeError`: nothing waits for the event loop here."""
        raise TypeError("For an httpx.Client take the auth of a VaultClient.")
        yield request  # makes this a generator, as httpx expects
