"""The switch on `/connections`: may this agent act for me while I am away?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response

from vaultd.audit.events import Draft, EventType
from vaultd.clients.registry import Clients
from vaultd.errors import NotFound
from vaultd.exchange.assertion import Assertions
from vaultd.subjects.away import AwaySwitch
from vaultd.subjects.store import KnownSubject
from vaultd.web.apps import Apps
from vaultd.web.peer import client_ip
from vaultd.web.refused import Refused
from vaultd.web.tickets import see_other
from vaultd.web.visitors import Visitors


@dataclass(frozen=True, slots=True)
class Agent:
    """A client that may be let act for a user who is away, and whether this user lets it: `places` are where."""

    client_id: str
    name: str
    places: list[str]
    allowed: bool


class AgentsWhileAway:
    """The agents that one user has a say about."""

    def __init__(self, *, assertions: Assertions, away: AwaySwitch, clients: Clients, apps: Apps) -> None:
        self._assertions = assertions
        self._away = away
        self._clients = clients
        self._apps = apps

    async def of(self, subject: KnownSubject) -> list[Agent]:
        """All of them, by name."""
        names = self._assertions.acting_for(subject.key.subject.issuer)
        refused = await self._away.refused_by(subject.id) if names else frozenset()
        return [self._agent(client_id, allowed=client_id not in refused) for client_id in names]

    def _agent(self, client_id: str, *, allowed: bool) -> Agent:
        client = self._clients.get(client_id)
        providers = client.config.assert_providers if client else ()
        places = [self._apps.provider_name(provider) or provider for provider in providers]
        return Agent(client_id, client.display_name if client else client_id, places, allowed)

    async def switch(self, subject: KnownSubject, client_id: str, *, allowed: bool, draft: Draft) -> None:
        """Allow or refuse one. Raises `NotFound` for a client that could not act for this user anyway."""
        if client_id not in self._assertions.acting_for(subject.key.subject.issuer):
            raise NotFound
        turn = self._away.allow if allowed else self._away.refuse
        await turn(subject.id, client_id, draft=draft)


def router(*, public_url: str, agents: AgentsWhileAway, visitors: Visitors, refused: Refused) -> APIRouter:
    """The switch's own route; the page shows its form."""
    recorded = refused.routes(EventType.PAGE_REFUSED)
    routes = APIRouter(tags=["browser"], include_in_schema=False, route_class=recorded)

    @routes.post("/connections/away")
    async def away(
        request: Request,
        client: Annotated[str, Form(max_length=255)],
        use: Annotated[Literal["allow", "refuse"], Form()],
        csrf: Annotated[str, Form()] = "",
    ) -> Response:
        subject = await visitors.sending(request, csrf)
        draft = Draft(
            type=EventType.AWAY_REFUSED,
            subject=subject.key,
            request_id=request.state.request_id,
            ip=client_ip(request),
        )
        await agents.switch(subject, client, allowed=use == "allow", draft=draft)
        told = {"status": "away_on" if use == "allow" else "away_off", "agent": client}
        return see_other(f"{public_url}/connections?{urlencode(told)}#away")

    return routes
