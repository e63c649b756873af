"""The door for a browser that an app has sent with a ticket (api.md §2).

A ticket is a link that anybody can be sent. So a person is shown whose vault it leads into and what for, and their
click on that page is what uses it up: not a mail program that looks where a link leads, nor a page elsewhere that leads
a browser here. The click carries a proof that only the browser to which the page was shown can have.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import Annotated
from urllib.parse import urlencode

from fastapi import Request
from fastapi.responses import RedirectResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from vaultd.clients.registry import Client, Clients
from vaultd.connect import Connect, Looked
from vaultd.errors import ConsentRefused
from vaultd.providers.registry import Providers
from vaultd.web.confirm import Confirming, Leaving, reads_pages
from vaultd.web.cookies import Cookies
from vaultd.web.inputs import query
from vaultd.web.visitors import Visitor, Visitors

_AHEAD = ("purpose", "sec-purpose", "x-purpose", "x-moz")
"""Headers of browsers and proxies that fetch a page which nobody has asked for yet."""
_LOOKS_AROUND = re.compile(r"bot\b|crawler|spider|preview|externalhit|whatsapp|embedly|unfurl", re.IGNORECASE)
"""Programs that look where a link leads, as they call themselves: those of chats, mail and search."""


class TicketQuery(BaseModel):
    """What `connect_uri` carries; apps may add to it."""

    model_config = ConfigDict(extra="ignore")
    ticket: Annotated[str, Field(max_length=128)]
    confirmed: Annotated[str, Field(max_length=128)] = ""


class Tickets:
    """Takes tickets."""

    def __init__(
        self,
        *,
        connect: Connect,
        clients: Clients,
        providers: Providers,
        visitors: Visitors,
        cookies: Cookies,
        confirming: Confirming,
    ) -> None:
        self._connect = connect
        self._clients = clients
        self._providers = providers
        self._visitors = visitors
        self._cookies = cookies
        self._confirming = confirming

    async def arrive(self, request: Request) -> Response:
        """Show a person what the ticket is for; on their click, or for a program at once, on to the provider."""
        browser = self._cookies.browser_or_new(request)
        response = await self._answer(request, query(request, TicketQuery), browser)
        self._cookies.set_browser(response, browser)
        return response

    async def _answer(self, request: Request, asked: TicketQuery, browser: str) -> Response:
        number: str = request.state.request_id
        ahead = request.method == "HEAD" or any(name in request.headers for name in _AHEAD)
        # Some browsers of people are called as programs that look around are; only people come to this proof.
        if not ahead and _is_proof(asked.confirmed, asked.ticket, browser):
            return see_other(await self._connect.visit(asked.ticket, browser, clicked=True, request_id=number))
        around = _LOOKS_AROUND.search(request.headers.get("user-agent", "")) is not None
        if ahead or around or reads_pages(request):
            looked = await self._connect.look(asked.ticket, request_id=number)
            client = self._client(looked)
            if ahead or around or client.config.confirm_connect:
                visitor = await self._visitors.find(request)
                leaving = self._leaving(looked, client, asked.ticket, browser, visitor)
                return self._confirming.page(request, visitor.person if visitor else None, leaving)
        return see_other(await self._connect.visit(asked.ticket, browser, request_id=number))

    def _leaving(self, looked: Looked, client: Client, ticket: str, browser: str, visitor: Visitor | None) -> Leaving:
        click = urlencode({"ticket": ticket, "confirmed": _proof(ticket, browser)})
        return Leaving(
            client=client,
            provider=self._providers.get(looked.provider),
            sought=looked.sought,
            settings=looked.settings,
            login_hint=looked.login_hint,
            to=f"/auth/connect?{click}",
            back=looked.back,
            cancel=looked.declined,
            vault_of=looked.subject.key.subject.sub,
            of_another=visitor is not None and visitor.subject.id != looked.subject.id,
        )

    def _client(self, looked: Looked) -> Client:
        client = self._clients.get(looked.client_id) if looked.client_id else None
        if client is None:
            raise ConsentRefused("This link names no app that is known here.", reason="client")
        return client


def see_other(url: str) -> RedirectResponse:
    """303, so that no method or body is ever repeated elsewhere (B4)."""
    return RedirectResponse(url, status_code=303, headers={"cache-control": "no-store"})


def _proof(ticket: str, browser: str) -> str:
    """What only the page shown to this browser says of this ticket: the cookie is secret, and readable by nobody."""
    return hmac.new(browser.encode(), f"confirmed {ticket}".encode(), hashlib.sha256).hexdigest()


def _is_proof(unverified: str, ticket: str, browser: str) -> bool:
    return hmac.compare_digest(unverified.encode(), _proof(ticket, browser).encode())
