"""What the tests of this folder say to a running vaultd, and how they read its answers."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import httpx

from tests.support.conformance import Conformance
from vaultd.sandbox.browser import Browser
from vaultd.sandbox.dev_config import BRIEFING_AGENT, OPERATOR, PROVIDER_SCOPES, SAMPLE_AGENT
from vaultd.sandbox.loopback import loopback_http
from vaultd.sandbox.page import Page
from vaultd.sandbox.person import ACCOUNT_SCOPES
from vaultd.sandbox.world import World

TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
FEDERATED_CONNECTION = "urn:auth0:params:oauth:grant-type:token-exchange:federated-connection-access-token"
FEDERATED_TOKEN = "http://auth0.com/oauth/token-type/federated-connection-access-token"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"


def fresh(prefix: str) -> str:
    """A name that no other test uses."""
    return f"{prefix}-{uuid4().hex}"


@cache
def conformance(vault: str) -> Conformance:
    """What every answer in these tests is held against: the vault's own OpenAPI document (api.md §5)."""
    return Conformance(httpx.get(f"{vault}/openapi.json", trust_env=False).raise_for_status().json())


class Vault:
    """The token endpoint and the audit API, as a client of theirs sees them; the world's own unless `url` says else."""

    def __init__(self, world: World, *, url: str | None = None) -> None:
        self.world = world
        self.http = loopback_http(
            base_url=url or world.places.vault,
            event_hooks={"response": [conformance(world.places.vault).check]},
            timeout=30.0,
        )
        self.agent = (BRIEFING_AGENT, world.secrets.briefing_agent.reveal())
        self.operator = (OPERATOR, world.secrets.operator.reveal())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.aclose()

    def exchange_form(self, subject_token: str, **changes: str | None) -> dict[str, str]:
        """The request of api.md §1.1; a change to None leaves the parameter out."""
        form: dict[str, str | None] = {
            "grant_type": TOKEN_EXCHANGE,
            "subject_token": subject_token,
            "subject_token_type": ACCESS_TOKEN,
            "requested_token_type": ACCESS_TOKEN,
            "audience": "github",
            **changes,
        }
        return {name: value for name, value in form.items() if value is not None}

    async def exchange(self, subject_token: str, **changes: str | None) -> httpx.Response:
        """An exchange by the agent's backend, with a request id of its own."""
        form = self.exchange_form(subject_token, **changes)
        return await self.http.post("/oauth/token", data=form, auth=self.agent, headers=request_id())

    async def operator_token(self, scope: str = "audit:read") -> str:
        """A token for the operators' API."""
        form = {"grant_type": "client_credentials", "scope": scope}
        answer = await self.http.post("/oauth/token", data=form, auth=self.operator)
        assert answer.status_code == 200, answer.text
        token: str = answer.json()["access_token"]
        return token

    async def audit(self, **params: str | int) -> dict[str, Any]:
        """One page of the audit log."""
        headers = bearer(await self.operator_token())
        answer = await self.http.get("/v1/audit/events", params=params, headers=headers)
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    async def events_of(self, answer: httpx.Response) -> list[dict[str, Any]]:
        """The events that the request behind an answer left in the log."""
        events: list[dict[str, Any]] = (await self.audit(limit=300))["events"]
        return [event for event in events if event.get("request_id") == answer.headers["x-request-id"]]


class App:
    """An app that acts for one user at the accounts API."""

    def __init__(self, world: World, *, user: str | None = None, scope: str = ACCOUNT_SCOPES) -> None:
        self.world = world
        self.user = user or fresh("user")
        self.redirect_uri = f"{world.places.agent}/connected"
        self.session_token = world.issuer.mint(self.user, azp=SAMPLE_AGENT, scope=scope)
        self.http = loopback_http(
            base_url=f"{world.places.vault}/me/v1/connected-accounts/",
            headers=bearer(self.session_token),
            event_hooks={"response": [conformance(world.places.vault).check]},
            timeout=30.0,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.aclose()

    async def begin(self, provider: str = "github", **changes: object) -> httpx.Response:
        wish: dict[str, object] = {"connection": provider, "redirect_uri": self.redirect_uri, "state": "app-state"}
        return await self.http.post("connect", json=wish | changes)

    async def complete(self, begun: httpx.Response, connect_code: str, **changes: object) -> httpx.Response:
        completion: dict[str, object] = {
            "auth_session": begun.json()["auth_session"],
            "connect_code": connect_code,
            "redirect_uri": self.redirect_uri,
        }
        return await self.http.post("complete", json=completion | changes)

    def browser(self, *also: str) -> Browser:
        """The user's browser; it stops where the app takes over, and at `also`."""
        return Browser(stop_at=(self.redirect_uri, *also))

    async def returned(self, begun: httpx.Response, *, decision: str = "Allow") -> dict[str, str]:
        """Go through the provider's pages; gives what the app's page was called with."""
        assert begun.status_code == 201, begun.text
        async with self.browser() as browser:
            page = await consent(browser, ticket_url(begun), decision=decision)
        assert page.url.startswith(self.redirect_uri), page.text
        return query_of(page.url)

    async def connect(self, provider: str = "github") -> dict[str, Any]:
        """Connect an account by the whole way; gives the account."""
        begun = await self.begin(provider, scopes=list(PROVIDER_SCOPES[provider]))
        came_back = await self.returned(begun)
        made = await self.complete(begun, came_back["connect_code"])
        assert made.status_code == 201, made.text
        account: dict[str, Any] = made.json()
        return account


async def consent(browser: Browser, url: str, *, person: str = "Alice", decision: str = "Allow") -> Page:
    """Go on from the vault's page, sign in at the provider and decide."""
    page = await go_on(browser, url)
    assert page.status == 200, page.text
    await browser.click(person)
    return await browser.click(decision)


async def go_on(browser: Browser, url: str) -> Page:
    """Open a link, and where the vault asks before leaving for the provider, go on."""
    page = await browser.open(url)
    onward = next((name for name in page.links if name.startswith("Continue to ")), None)
    return await browser.click(onward) if onward else page


def ticket_url(begun: httpx.Response) -> str:
    """Where the app sends the browser."""
    body = begun.json()
    return f"{body['connect_uri']}?ticket={body['connect_params']['ticket']}"


def query_of(url: str) -> dict[str, str]:
    """The query's parameters; none of them twice."""
    return {name: value for name, (value,) in parse_qs(urlsplit(url).query).items()}


def request_id() -> Mapping[str, str]:
    """A header by which the request is found in the audit log."""
    return {"X-Request-Id": uuid4().hex}


def from_elsewhere() -> Mapping[str, str]:
    """A header of a proxy's, that says that a request comes from an address that no other test uses."""
    number = uuid4().int
    return {"X-Forwarded-For": f"127.{number % 250 + 1}.{number // 250 % 250}.{number // 62_500 % 250}"}


def bearer(token: str) -> dict[str, str]:
    """RFC 6750 §2.1."""
    return {"Authorization": f"Bearer {token}"}
