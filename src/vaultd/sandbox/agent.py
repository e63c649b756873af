"""A sample agent backend: it holds no provider token, only asks vaultd for one at the moment it needs it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from vaultd.sandbox.loopback import loopback_http
from vaultd.sandbox.oauth import bearer_of
from vaultd.terms import Secret

TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"  # noqa: S105 - RFC 8693 §2.1
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - RFC 8693 §3


class AgentError(Exception):
    """The briefing cannot be given; the words are for a person."""


class ExchangeRefused(AgentError):
    """vaultd's OAuth error: `error`, its description, and the status it came with."""

    def __init__(self, error: str, description: str, *, status: int) -> None:
        self.error = error
        self.description = description
        self.status = status
        super().__init__(description or error)


class InteractionNeeded(ExchangeRefused):
    """The person must open `connect_uri`; `reason` says why (`not_connected`, `reconnect_required`, …)."""

    def __init__(self, body: Mapping[str, Any], *, status: int) -> None:
        self.reason = str(body.get("reason", ""))
        self.connection = str(body.get("connection", ""))
        self.connect_uri = str(body.get("connect_uri", ""))
        super().__init__("interaction_required", str(body.get("error_description", "")), status=status)


@dataclass(frozen=True, slots=True)
class ProviderToken:
    """What an exchange brought. `expires_in` is in seconds."""

    token: Secret
    expires_in: int
    scope: str
    account: str | None


@dataclass(frozen=True, slots=True)
class Section:
    """One part of a briefing, from one provider's API."""

    provider: str
    heading: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Briefing:
    """What the agent tells a person in the morning."""

    sections: tuple[Section, ...]

    @property
    def text(self) -> str:
        """As plain text."""
        return "\n\n".join(
            "\n".join((section.heading, *(f"  - {line}" for line in section.lines))) for section in self.sections
        )


class SampleAgent:
    """The agent `client_id` of the vault at `token_endpoint`.

    `apis` maps `github`, `google` and `slack` to the base URLs of their APIs. `app` serves `POST /briefing`, where the
    bearer token is the user's session token. `transport` replaces the network.
    """

    def __init__(
        self,
        *,
        token_endpoint: str,
        client_id: str,
        client_secret: Secret,
        apis: Mapping[str, str],
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._token_endpoint = token_endpoint
        self._client = (client_id, client_secret)
        self._apis = dict(apis)
        # No proxies from the environment: everything is on loopback.
        self._transport = transport
        self.app = Starlette(routes=[Route("/briefing", self._serve_briefing, methods=["POST"])])

    async def exchange(self, http: httpx.AsyncClient, session_token: Secret, provider: str) -> ProviderToken:
        """One token exchange (RFC 8693 §2.1).

        Raises:
            InteractionNeeded: the user must connect or reconnect first.
            ExchangeRefused: any other OAuth error.
            AgentError: vaultd did not answer, or not in its language.
        """
        form = {
            "grant_type": TOKEN_EXCHANGE,
            "subject_token": session_token.reveal(),
            "subject_token_type": ACCESS_TOKEN,
            "requested_token_type": ACCESS_TOKEN,
            "audience": provider,
        }
        client_id, secret = self._client
        try:
            answer = await http.post(self._token_endpoint, data=form, auth=(client_id, secret.reveal()))
        except httpx.HTTPError as error:
            raise AgentError(f"vaultd did not answer: {type(error).__name__}.") from error
        body = _object(answer, "vaultd")
        if answer.status_code != httpx.codes.OK:
            raise _refusal(body, answer.status_code)
        return ProviderToken(
            token=Secret(body["access_token"]),
            expires_in=body["expires_in"],
            scope=body["scope"],
            account=body.get("account"),
        )

    async def briefing(self, session_token: Secret) -> Briefing:
        """Three exchanges, three API calls, one text. Raises as `exchange` does, and `AgentError` for an API."""
        readers = {"github": _read_github, "google": _read_google, "slack": _read_slack}
        sections = []
        async with self.client() as http:
            for provider, read in readers.items():
                granted = await self.exchange(http, session_token, provider)
                sections.append(await read(_Api(http, self._apis[provider], granted.token)))
        return Briefing(tuple(sections))

    def client(self) -> httpx.AsyncClient:
        """A fresh HTTP client for a few calls; close it by `async with`."""
        return loopback_http(transport=self._transport, timeout=15.0)

    async def _serve_briefing(self, request: Request) -> Response:
        session_token = Secret(bearer_of(request.headers.get("authorization")))
        try:
            return PlainTextResponse((await self.briefing(session_token)).text + "\n")
        except InteractionNeeded as needed:
            body = {"error": needed.error, "error_description": needed.description, "reason": needed.reason}
            return JSONResponse({**body, "connect_uri": needed.connect_uri}, status_code=409)
        except AgentError as error:
            return JSONResponse({"error": "no_briefing", "error_description": str(error)}, status_code=502)


class _Api:
    """One provider's API with a token in hand."""

    def __init__(self, http: httpx.AsyncClient, base: str, token: Secret) -> None:
        self._http = http
        self._base = base.rstrip("/")
        self._token = token

    async def get(self, path: str, **params: str) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self._token.reveal()}"}
        try:
            answer = await self._http.get(self._base + path, params=params, headers=headers)
        except httpx.HTTPError as error:
            raise AgentError(f"{path} did not answer: {type(error).__name__}.") from error
        body = _object(answer, path)
        if answer.status_code != httpx.codes.OK or body.get("ok") is False:
            raise AgentError(f"{path} refused the token with status {answer.status_code}.")
        return body


async def _read_github(api: _Api) -> Section:
    found = await api.get("/search/issues", q="is:pr is:open review-requested:@me")
    lines = tuple(f"#{item['number']} {item['title']} ({item['user']['login']})" for item in found["items"])
    return Section("github", f"GitHub: {len(lines)} to review", lines)


async def _read_google(api: _Api) -> Section:
    found = await api.get("/calendar/v3/calendars/primary/events", singleEvents="true", orderBy="startTime")
    lines = tuple(f"{_time(event)} {event['summary']}" for event in found["items"])
    return Section("google", f"Calendar: {len(lines)} today", lines)


async def _read_slack(api: _Api) -> Section:
    found = await api.get("/conversations.history", channel="general")
    lines = tuple(f"{message['username']}: {message['text']}" for message in found["messages"])
    return Section("slack", f"Slack: {len(lines)} in #general", lines)


def _time(event: Mapping[str, Any]) -> str:
    return datetime.fromisoformat(event["start"]["dateTime"]).strftime("%H:%M")


def _object(answer: httpx.Response, who: str) -> dict[str, Any]:
    try:
        body = answer.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise AgentError(f"{who} answered with status {answer.status_code} and no JSON object.")
    return body


def _refusal(body: Mapping[str, Any], status: int) -> ExchangeRefused:
    if body.get("error") == "interaction_required":
        return InteractionNeeded(body, status=status)
    return ExchangeRefused(str(body.get("error")), str(body.get("error_description", "")), status=status)
