"""The sample agent's own page: a person asks for their briefing, and sees what the agent could not do for them.

An app would know who is signed in. Here a button says who it is, and the sandbox's issuer believes it.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from vaultd.sandbox.agent import AgentError, Briefing, InteractionNeeded, SampleAgent
from vaultd.sandbox.dev_config import SAMPLE_AGENT
from vaultd.sandbox.issuer import SandboxIssuer
from vaultd.sandbox.oauth import form_of
from vaultd.sandbox.pages import Pages
from vaultd.sandbox.people import PEOPLE, Person
from vaultd.terms import Secret


class BriefingPage:
    """`connections` is the address of vaultd's own page."""

    def __init__(self, *, agent: SampleAgent, issuer: SandboxIssuer, connections: str) -> None:
        self._agent = agent
        self._issuer = issuer
        self._connections = connections
        self._pages = Pages(service="Sample agent")
        self.routes = [Route("/", self._ask, methods=["GET"]), Route("/", self._give, methods=["POST"])]

    async def _ask(self, _: Request) -> Response:
        return self._show(None, Briefing(()))

    async def _give(self, request: Request) -> Response:
        person = PEOPLE.get((await form_of(request)).get("person", ""))
        if person is None:
            return self._show(None, Briefing(()))
        session_token = Secret(self._issuer.mint(person.login, azp=SAMPLE_AGENT))
        try:
            return self._show(person, await self._agent.briefing(session_token))
        except InteractionNeeded as needed:
            return self._show(person, Briefing(()), needed=needed)
        except AgentError as error:
            return self._show(person, Briefing(()), problem=str(error))

    def _show(
        self,
        person: Person | None,
        briefing: Briefing,
        *,
        needed: InteractionNeeded | None = None,
        problem: str | None = None,
    ) -> Response:
        return self._pages.briefing(
            person=person,
            people=list(PEOPLE.values()),
            sections=briefing.sections,
            needed=needed,
            problem=problem,
            connections=self._connections,
        )
