"""The clients: `VaultClient` for threads, `AsyncVaultClient` for asyncio. They send and wait; `core` does the rest."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Self, TypedDict, TypeVar, Unpack

import httpx

from vaultd_client.core import Conversation, Core, Retry
from vaultd_client.credentials import ClientAuth
from vaultd_client.errors import VaultUnreachable
from vaultd_client.flights import TaskFlights, ThreadFlights
from vaultd_client.kept import Keep
from vaultd_client.places import trusts_environment
from vaultd_client.provider_auth import AsyncVaultAuth, Refuses, VaultAuth, Whose
from vaultd_client.requests import Requests, SubjectTokenType, Wish
from vaultd_client.subjects import SubjectSource
from vaultd_client.tools import AsyncTool, Say, Tool, async_tool, sentence, sync_tool
from vaultd_client.values import AccessToken, Account, Clock, Status, system_clock

T = TypeVar("T")
LIMITS = httpx.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=3.0)
"""httpx's own, but for how long an idle connection is kept: the vault closes it after five seconds, and a request that
is sent at that very moment is lost."""


class Options(TypedDict, total=False):
    """What both clients take beside their `auth`.

    `subject_token_type` says what the app's session tokens are; `keep` and `retry` are the rules of those names;
    `clock` replaces the machine's.
    """

    subject_token_type: SubjectTokenType
    keep: Keep
    retry: Retry
    clock: Clock


class _Client:
    """What needs no network."""

    def __init__(
        self,
        url: str,
        *,
        auth: ClientAuth,
        subject_token_type: SubjectTokenType = "access_token",  # noqa: S107 - the name of a type
        keep: Keep | None = None,
        retry: Retry | None = None,
        clock: Clock = system_clock,
    ) -> None:
        requests = Requests(url, auth=auth, subject_token_type=subject_token_type)
        self._url = requests.url
        self._core = Core(requests, keep=keep or Keep(), retry=retry or Retry(), clock=clock)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._url!r})"

    def connect_url(
        self,
        connection: str,
        *,
        return_to: str | None = None,
        scopes: Iterable[str] | None = None,
        login_hint: str | None = None,
    ) -> str:
        """Where the user's browser goes to connect. `return_to` must be registered for this client, exactly."""
        return self._core.requests.connect_url(connection, return_to=return_to, scopes=scopes, login_hint=login_hint)

    def _wish(
        self,
        connection: str,
        instead_of: AccessToken | None,
        *,
        subject_token: SubjectSource = None,
        scopes: Iterable[str] | None = None,
        login_hint: str | None = None,
    ) -> Wish:
        wish = self._core.wish(connection, subject_token, scopes, login_hint)
        return wish if instead_of is None else self._core.drop(wish, instead_of)


class VaultClient(_Client):
    """One client of one vault. Make one for the whole program, share it among threads, `close` it at the end.

    `url` is the vault's `public_url`. `timeout` is in seconds, for connecting, sending and reading each. `transport`
    replaces httpx's own, for a proxy or a private CA; `sleep` how it waits before it asks again.
    """

    def __init__(
        self,
        url: str,
        *,
        auth: ClientAuth,
        timeout: float = 10.0,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(url, auth=auth, **options)
        self._sleep = sleep
        self._flights: ThreadFlights[AccessToken] = ThreadFlights()
        trust_env = trusts_environment(self._url)
        self._http = httpx.Client(
            timeout=timeout, transport=transport, trust_env=trust_env, follow_redirects=False, limits=LIMITS
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def get_access_token(
        self, connection: str, *, instead_of: AccessToken | None = None, **whose: Unpack[Whose]
    ) -> AccessToken:
        """A token for the provider's API, in the user's name: one that is kept, or from the vault.

        Without `subject_token` it is for whom `acting_for` names. `scopes` are all that were granted unless given;
        `login_hint` says which account, where the user has several. `instead_of` is a token that the provider
        refused: it is forgotten, and the vault is told, so that it gets another where there is one to be had.

        Raises:
            InteractionRequired: the user must connect, reconnect, allow more or choose; its kinds say which.
            VaultRefused: any other error answer.
            VaultUnreachable: no answer.
            UnexpectedAnswer: none of a vault's.
            NoSubject: nobody is named.
        """
        wish = self._wish(connection, instead_of, **whose)
        return self._core.kept(wish) or self._flights.join(
            wish.flight, lambda: self._core.kept(wish) or self._converse(self._core.exchange(wish))
        )

    def accounts(self, *, subject_token: SubjectSource = None) -> tuple[Account, ...]:
        """The user's connected accounts, looked up once, and again after an answer that the user must act.

        The user's token needs the scope `read:me:connected_accounts`, unless its issuer is configured without.
        Raises as `get_access_token` does, and `InvalidToken` or `InsufficientScope`.
        """
        return self._converse(self._core.accounts(self._core.user(subject_token)))

    def status(self, connection: str, *, subject_token: SubjectSource = None) -> Status:
        """Of one connection. `connected` is believed as `accounts` is; of any other the vault is asked again."""
        return self._converse(self._core.status(self._core.user(subject_token), connection))

    def auth(
        self, connection: str, *, origins: Iterable[str], refuses: Refuses | None = None, **whose: Unpack[Whose]
    ) -> VaultAuth:
        """Credentials for an `httpx.Client`, which go to these origins only, such as `https://api.github.com`.

        `refuses` is for an API that says under another status than 401 that it does not take the token.
        """
        return VaultAuth(self.get_access_token, connection, origins=origins, refuses=refuses, **whose)

    def tool(
        self, connection: str, *, label: str | None = None, say: Say = sentence, **whose: Unpack[Whose]
    ) -> Callable[[Callable[..., T]], Tool[T]]:
        """Make a function a tool for agents that needs this connection.

        A parameter `token` is filled in with an `AccessToken` and hidden from the framework. A connection that is
        missing, at the start or in the middle, becomes a sentence with a link instead of an error: made by `say`, with
        the provider's name as people know it (`label`).
        """

        def token() -> AccessToken:
            return self.get_access_token(connection, **whose)

        return lambda function: sync_tool(function, token=token, refused=lambda error: say(error, label))

    def _converse(self, conversation: Conversation[T]) -> T:
        try:
            step = next(conversation)
            while True:
                if isinstance(step, httpx.Request):
                    step = conversation.send(self._send(step))
                else:
                    self._sleep(step)
                    step = next(conversation)
        except StopIteration as done:
            result: T = done.value
            return result

    def _send(self, request: httpx.Request) -> httpx.Response:
        try:
            return self._http.send(request, auth=None)
        except httpx.RequestError as error:
            failed = _unreachable(error)
        # Not from within the handler: httpx's error holds the request, and with it the credentials.
        raise failed


class AsyncVaultClient(_Client):
    """The same for asyncio, within one event loop; `aclose` it at the end.

    Tasks that ask for the same token at once share one exchange, which goes on when one of them is cancelled.
    """

    def __init__(
        self,
        url: str,
        *,
        auth: ClientAuth,
        timeout: float = 10.0,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(url, auth=auth, **options)
        self._sleep = sleep
        self._flights: TaskFlights[AccessToken] = TaskFlights()
        trust_env = trusts_environment(self._url)
        self._http = httpx.AsyncClient(
            timeout=timeout, transport=transport, trust_env=trust_env, follow_redirects=False, limits=LIMITS
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End what is under way and close the connections."""
        await self._flights.aclose()
        await self._http.aclose()

    async def get_access_token(
        self, connection: str, *, instead_of: AccessToken | None = None, **whose: Unpack[Whose]
    ) -> AccessToken:
        """As `VaultClient.get_access_token`."""
        wish = self._wish(connection, instead_of, **whose)
        return self._core.kept(wish) or await self._flights.join(
            wish.flight, lambda: self._converse(self._core.exchange(wish))
        )

    async def accounts(self, *, subject_token: SubjectSource = None) -> tuple[Account, ...]:
        """As `VaultClient.accounts`."""
        return await self._converse(self._core.accounts(self._core.user(subject_token)))

    async def status(self, connection: str, *, subject_token: SubjectSource = None) -> Status:
        """As `VaultClient.status`."""
        return await self._converse(self._core.status(self._core.user(subject_token), connection))

    def auth(
        self, connection: str, *, origins: Iterable[str], refuses: Refuses | None = None, **whose: Unpack[Whose]
    ) -> AsyncVaultAuth:
        """As `VaultClient.auth`, for an `httpx.AsyncClient`."""
        return AsyncVaultAuth(self.get_access_token, connection, origins=origins, refuses=refuses, **whose)

    def tool(
        self, connection: str, *, label: str | None = None, say: Say = sentence, **whose: Unpack[Whose]
    ) -> Callable[[Callable[..., Awaitable[T]]], AsyncTool[T]]:
        """As `VaultClient.tool`, for a coroutine function."""

        async def token() -> AccessToken:
            return await self.get_access_token(connection, **whose)

        return lambda function: async_tool(function, token=token, refused=lambda error: say(error, label))

    async def _converse(self, conversation: Conversation[T]) -> T:
        try:
            step = next(conversation)
            while True:
                if isinstance(step, httpx.Request):
                    step = conversation.send(await self._send(step))
                else:
                    await self._sleep(step)
                    step = next(conversation)
        except StopIteration as done:
            result: T = done.value
            return result

    async def _send(self, request: httpx.Request) -> httpx.Response:
        try:
            return await self._http.send(request, auth=None)
        except httpx.RequestError as error:
            failed = _unreachable(error)
        raise failed


def _unreachable(error: httpx.RequestError) -> VaultUnreachable:
    return VaultUnreachable(f"The vault did not answer: {type(error).__name__}: {error}")
