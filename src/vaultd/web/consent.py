"""The browser's redirects of a consent: by plain link, and back from the provider (api.md §3)."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Path, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field, field_validator

from vaultd.audit.events import EventType
from vaultd.clients.registry import Client, Clients
from vaultd.connect import Connect, Returned, Wish
from vaultd.errors import ConsentRefused
from vaultd.policy import entry_at
from vaultd.providers.registry import Provider, Providers
from vaultd.sessions.store import Sessions
from vaultd.sizes import LONGEST_LINK_SCOPE
from vaultd.terms import Scopes
from vaultd.web.asking import CHOSEN, Asking
from vaultd.web.confirm import Confirming, Leaving, wanted_by
from vaultd.web.cookies import Cookies
from vaultd.web.inputs import query
from vaultd.web.refused import Refused
from vaultd.web.standing import standing
from vaultd.web.tickets import Tickets, see_other
from vaultd.web.visitors import Visitors
from vaultd.web.wire import READ

# PostgreSQL has no NUL in text: such a name would look like a failing database.
Name = Annotated[str, Path(max_length=255, pattern=r"^[^\x00]+$")]
Url = Annotated[str, Field(max_length=2048, pattern=r"^[\x21-\x7e]+$")]


class DoorQuery(BaseModel):
    """A plain link's parameters."""

    model_config = ConfigDict(extra="ignore")
    client_id: Annotated[str, Field(max_length=255)] | None = None
    return_to: Url | None = None
    scope: Annotated[str, Field(max_length=LONGEST_LINK_SCOPE, pattern=r"^[\x20-\x7e]*$")] | None = None
    login_hint: Annotated[str, Field(max_length=512)] | None = None


class AnswerQuery(BaseModel):
    """What an authorization server sends the browser back with (RFC 6749 §4.1.2, RFC 9207); there may be more."""

    model_config = ConfigDict(extra="ignore")
    state: Annotated[str, Field(max_length=4096)] = ""
    code: Annotated[str, Field(max_length=4096)] | None = None
    error: Annotated[str, Field(max_length=4096)] | None = None
    iss: Annotated[str, Field(max_length=4096)] | None = None

    @field_validator("code", "error", "iss")
    @classmethod
    def _without_value(cls, given: str | None) -> str | None:
        """RFC 6749 §3.1: a parameter without a value counts as one that was left out."""
        return given or None


class Doors:
    """What each of the browser's doors does."""

    def __init__(
        self,
        *,
        public_url: str,
        connect: Connect,
        clients: Clients,
        sessions: Sessions,
        visitors: Visitors,
        cookies: Cookies,
        providers: Providers,
        asking: Asking,
        confirming: Confirming,
        default_client: str | None,
        allowed_return_urls: tuple[str, ...],
    ) -> None:
        self._public_url = public_url
        self._connect = connect
        self._clients = clients
        self._sessions = sessions
        self._visitors = visitors
        self._cookies = cookies
        self._providers = providers
        self._asking = asking
        self._confirming = confirming
        self._default_client = default_client
        self._allowed_return_urls = allowed_return_urls

    async def door(self, request: Request, provider: Name) -> Response:
        """By a plain link: sign in, say where the provider is, confirm, and on."""
        standing(request).connection = self._known(provider)
        # 1. which app asks, and may it have the browser back there (B4)
        asked = query(request, DoorQuery)
        client = _client(self._clients, asked.client_id or self._default_client)
        back = self._checked_return(client, asked.return_to)
        # 2. who is it
        visitor = await self._visitors.find(request)
        if visitor is None:
            here = f"{request.url.path}?{request.url.query}" if request.url.query else request.url.path
            return see_other(f"{self._public_url}/auth/login?{urlencode({'continue': here})}")
        # 3. where is the provider, if that is another place for each user
        target = self._allowed(client, provider)
        form = self._asking.page(request, visitor.person, target)
        if form is not None:
            return form
        # 4. the consent begins; nothing comes of it before the provider has asked the person
        wish = Wish(
            client=client,
            provider=provider,
            redirect_uri=back,
            scopes=Scopes.parse(asked.scope) if asked.scope else None,
            params={"login_hint": asked.login_hint} if asked.login_hint else None,
            settings=request.query_params,
        )
        browser = self._cookies.browser_or_new(request)
        sent = await self._connect.door(visitor.subject, wish, browser)
        # 5. to the provider: by the person's own click, or for a program at once; never by a form's redirect
        response: Response = see_other(sent.to)
        if wanted_by(request, client) or CHOSEN in request.query_params:
            leaving = Leaving(
                client=client,
                provider=target,
                sought=sent.sought,
                settings=target.settings_from(request.query_params),
                login_hint=asked.login_hint,
                to=sent.to,
                back=back,
            )
            response = self._confirming.page(request, visitor.person, leaving)
        self._cookies.set_browser(response, browser)
        return response

    def _allowed(self, client: Client, name: str) -> Provider:
        # As for an exchange: one that is unknown and one that the client may not use are told alike.
        entry_at(client.config.providers, name)
        return self._providers.get(name)

    def _checked_return(self, client: Client, return_to: str | None) -> str:
        if return_to is None or return_to == "/connections":
            return f"{self._public_url}/connections"
        # Exact, character by character: nothing is normalised, so nothing can be disguised.
        if return_to in client.config.redirect_uris or return_to in self._allowed_return_urls:
            return return_to
        raise ConsentRefused("This link leads back to a place that is not allowed.", reason="return_to")

    def _known(self, name: str) -> str | None:
        # What a stranger made up is not kept, and not counted as a kind of its own.
        return name if name in {provider.name for provider in self._providers.all()} else None

    async def callback(self, request: Request, provider: Name) -> Response:
        """Back from the provider: on to the app."""
        standing(request).connection = self._known(provider)
        session = await self._sessions.find(self._cookies.session(request))
        answer = query(request, AnswerQuery)
        returned = Returned(
            provider=provider,
            unverified_state=answer.state,
            unverified_code=answer.code,
            unverified_error=answer.error,
            unverified_issuer=answer.iss,
            unverified_query=request.query_params,
            browser=self._cookies.browser(request),
            session_subject=session.subject_id if session else None,
            request_id=request.state.request_id,
        )
        return see_other(await self._connect.callback(returned))


def router(doors: Doors, tickets: Tickets, *, refused: Refused) -> APIRouter:
    """The routes.

    Nobody counts as proven here, signed in or not: anyone can write a link, and lead any browser to it.
    """
    recorded = refused.routes(EventType.CONNECTION_REFUSED)
    routes = APIRouter(tags=["browser"], include_in_schema=False, route_class=recorded)
    routes.add_api_route("/auth/connect", tickets.arrive, methods=READ)
    routes.add_api_route("/auth/connect/{provider}", doors.door)
    routes.add_api_route("/auth/callback/{provider}", doors.callback)
    return routes


def _client(clients: Clients, client_id: str | None) -> Client:
    client = clients.get(client_id) if client_id else None
    if client is None:
        raise ConsentRefused("This link names no app that is known here.", reason="client")
    return client
