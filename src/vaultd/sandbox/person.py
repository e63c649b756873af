"""What a person of the sandbox does with their app and browser: connect accounts, list them, disconnect."""

from __future__ import annotations

from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import httpx

from vaultd.sandbox.browser import Browser
from vaultd.sandbox.dev_config import PROVIDER_SCOPES, SAMPLE_AGENT
from vaultd.sandbox.loopback import loopback_http
from vaultd.sandbox.people import Person
from vaultd.sandbox.world import World
from vaultd.terms import Secret

ACCOUNT_SCOPES = "create:me:connected_accounts read:me:connected_accounts delete:me:connected_accounts"


class StepFailed(Exception):
    """A step of the sandbox's story did not go as it should; the words say which and how."""


def expect(condition: object, otherwise: str) -> None:
    """Raise `StepFailed` unless the condition holds."""
    if not condition:
        raise StepFailed(otherwise)


class AppUser:
    """A signed-in user of the sample app. Close it by `async with`."""

    def __init__(self, world: World, person: Person) -> None:
        self._world = world
        self._person = person
        self._redirect_uri = f"{world.places.agent}/connected"
        self.session_token = Secret(world.issuer.mint(person.login, azp=SAMPLE_AGENT, scope=ACCOUNT_SCOPES))
        self._http = loopback_http(
            base_url=f"{world.places.vault}/me/v1/connected-accounts/",
            headers={"Authorization": f"Bearer {self.session_token.reveal()}"},
            timeout=15.0,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def connect(self, provider: str) -> dict[str, Any]:
        """Connect an account by the accounts API and a browser; gives the new account. Raises `StepFailed`."""
        wish = {
            "connection": provider,
            "redirect_uri": self._redirect_uri,
            "state": "app-state",
            "scopes": list(PROVIDER_SCOPES[provider]),
        }
        begun = _body(await self._http.post("connect", json=wish), 201, f"beginning to connect {provider}")
        came_back = await self._consent(f"{begun['connect_uri']}?ticket={begun['connect_params']['ticket']}")
        expect(came_back.get("state") == ["app-state"], "The browser came back with another state.")
        completion = {
            "auth_session": begun["auth_session"],
            "connect_code": came_back.get("connect_code", [""])[0],
            "redirect_uri": self._redirect_uri,
        }
        return _body(await self._http.post("complete", json=completion), 201, f"completing {provider}")

    async def accounts(self) -> list[dict[str, Any]]:
        """The user's connected accounts. Raises `StepFailed`."""
        accounts: list[dict[str, Any]] = _body(await self._http.get("accounts"), 200, "listing the accounts")[
            "accounts"
        ]
        return accounts

    async def disconnect(self, account_id: str) -> None:
        """Delete a connected account. Raises `StepFailed`."""
        answer = await self._http.delete(f"accounts/{account_id}")
        expect(answer.status_code == httpx.codes.NO_CONTENT, f"Disconnecting was answered with {answer.status_code}.")

    async def _consent(self, url: str) -> dict[str, list[str]]:
        """Go on, sign in at the provider, allow, and give what the app's page was called with."""
        async with Browser(stop_at=(self._redirect_uri,)) as browser:
            page = await browser.open(url)
            onward = next((name for name in page.links if name.startswith("Continue to ")), "Continue")
            for button in (onward, self._person.name, "Allow"):
                expect(page.status < httpx.codes.BAD_REQUEST, f"The browser sees {page.status}: {page.text[:300]}")
                page = await browser.click(button)
            expect(page.url.startswith(self._redirect_uri), f"The browser ended elsewhere: {page.text[:300]}")
            return parse_qs(urlsplit(page.url).query)


def _body(answer: httpx.Response, status: int, doing: str) -> dict[str, Any]:
    expect(answer.status_code == status, f"{doing}: status {answer.status_code} with {answer.text[:300]}")
    body: dict[str, Any] = answer.json()
    return body
