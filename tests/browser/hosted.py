"""A vault as its operator runs it, and what is around it.

`vaultd serve`, npm's `oidc-provider` to sign in at, the sandbox's providers to connect, and an app to come back to.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_urlsafe
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from playwright.async_api import Page
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from tests.support.chromium import HOSTS
from tests.support.node import OidcProvider, oidc_provider
from tests.support.processes import Running, install_text, serving
from tests.support.tls import Certificate, tls_before
from vaultd.keys.local import generate_keyring_file
from vaultd.sandbox.browser import Browser as SmallBrowser
from vaultd.sandbox.dev_config import (
    PROVIDER_SCOPES,
    SAMPLE_AGENT,
    VAULT_AT_ISSUER,
    VAULT_AT_PROVIDER,
    DevSecrets,
    Places,
    write_config,
)
from vaultd.sandbox.loopback import loopback_http
from vaultd.sandbox.person import ACCOUNT_SCOPES
from vaultd.sandbox.provider import SandboxProvider
from vaultd.sandbox.servers import LoopbackServers, listen
from vaultd.terms import Secret, system_clock

_VERIFIER = "a-code-verifier-of-the-length-that-rfc-7636-asks-for"


class App:
    """The app that sends its users to vaultd, or a page of somebody else's.

    `seen` are the requests that it got, with their headers. `pages` are bodies that it has at some paths.
    """

    def __init__(self) -> None:
        self.seen: list[Request] = []
        self.pages: dict[str, str] = {}
        self.app = Starlette(routes=[Route("/{path:path}", self._page)])

    async def _page(self, request: Request) -> Response:
        self.seen.append(request)
        body = self.pages.get(request.url.path, "<h1>The app</h1>")
        return HTMLResponse(f"<!doctype html><title>The app</title>{body}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hosted:
    """A running vault with what is around it. `places.vault` is its public URL, `running` its process."""

    places: Places
    secrets: DevSecrets
    issuer: OidcProvider
    providers: Mapping[str, SandboxProvider]
    app: App
    running: Running
    folder: Path
    tokens: dict[str, Secret] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """The vault's public URL, without a slash at its end."""
        return self.places.vault

    @property
    def back(self) -> str:
        """The app's page that is registered as a place to come back to."""
        return f"{self.places.agent}/connected"

    async def sign_in(self, page: Page, name: str, path: str = "/connections") -> None:
        """Open a page of vaultd's and sign in on the way. The issuer takes any name; a new one is a new user."""
        await page.goto(self.url + path)
        await sign_in_at_issuer(page, name)

    async def enter(self, page: Page, name: str, path: str = "/connections") -> None:
        """The same where the way in is not the matter: signed in by plain HTTP, and handed the cookie."""
        async with SmallBrowser() as browser:
            await browser.open(f"{self.running.url}/auth/login")
            await browser.click("Sign-in", fields={"login": name, "password": "anything"})
            await browser.click("Continue")
            session = browser.http.cookies["vaultd_session"]
        await page.context.add_cookies(
            [{"name": "vaultd_session", "value": session, "url": self.url, "httpOnly": True, "sameSite": "Lax"}]
        )
        await page.goto(self.url + path)

    async def connect(self, page: Page, provider: str, person: str = "Alice", **query: str) -> None:
        """Connect an account by a link, the browser being signed in already."""
        await page.goto(f"{self.url}/auth/connect/{provider}?{urlencode(query)}")
        await go_on(page)
        await allow_at_provider(page, person)

    async def session_token(self, name: str) -> Secret:
        """A token of this person's for agents, as their app has it."""
        if name not in self.tokens:
            self.tokens[name] = await self._new_token(name)
        return self.tokens[name]

    async def exchange(self, name: str, provider: str) -> httpx.Response:
        """The sample agent uses this person's account."""
        form = {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "subject_token": (await self.session_token(name)).reveal(),
            "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
            "audience": provider,
        }
        async with loopback_http(timeout=30.0) as http:
            return await http.post(f"{self.running.url}/oauth/token", data=form)

    async def ticket(self, name: str, provider: str = "github") -> str:
        """Where this person's app sends their browser, to connect an account."""
        wish = {"connection": provider, "redirect_uri": self.back, "state": "app-state"}
        headers = {"Authorization": f"Bearer {(await self.session_token(name)).reveal()}"}
        async with loopback_http(timeout=30.0, headers=headers) as http:
            answer = await http.post(f"{self.running.url}/me/v1/connected-accounts/connect", json=wish)
        begun = answer.raise_for_status().json()
        return f"{begun['connect_uri']}?ticket={begun['connect_params']['ticket']}"

    async def _new_token(self, name: str) -> Secret:
        query = {
            "client_id": SAMPLE_AGENT,
            "redirect_uri": self.back,
            "response_type": "code",
            "scope": f"openid {ACCOUNT_SCOPES}",
            "code_challenge": create_s256_code_challenge(_VERIFIER),
            "code_challenge_method": "S256",
        }
        async with SmallBrowser(stop_at=[self.back]) as browser:
            await browser.open(f"{self.issuer.endpoints['authorization_endpoint']}?{urlencode(query)}")
            await browser.click("Sign-in", fields={"login": name, "password": "anything"})
            page = await browser.click("Continue")
            form = {
                "grant_type": "authorization_code",
                "client_id": SAMPLE_AGENT,
                "redirect_uri": self.back,
                "code_verifier": _VERIFIER,
                "code": parse_qs(urlsplit(page.url).query)["code"][0],
            }
            answer = await browser.http.post(self.issuer.endpoints["token_endpoint"], data=form)
        return Secret(answer.raise_for_status().json()["access_token"])


async def sign_in_at_issuer(page: Page, name: str) -> None:
    """The issuer's two pages: who is it, and is it right."""
    await page.get_by_placeholder("Enter any login").fill(name)
    await page.get_by_placeholder("and password").fill("anything")
    await page.get_by_role("button", name="Sign-in").click()
    await page.get_by_role("button", name="Continue").click()


async def go_on(page: Page) -> None:
    """The vault's own page before the provider's."""
    await page.get_by_role("link", name="Continue to").click()


async def allow_at_provider(page: Page, person: str = "Alice", decision: str = "Allow") -> None:
    """The provider's two pages: which of its people, and what they say."""
    await page.get_by_role("button", name=person).click()
    await page.get_by_role("button", name=decision, exact=True).click()


@asynccontextmanager
async def hosted_vault(
    *,
    database_url: str,
    folder: Path,
    certificate: Certificate | None = None,
    changes: Mapping[str, str] | None = None,
    tables: str = "",
    userinfo: str | None = None,
) -> AsyncIterator[Hosted]:
    """Start one. With a `certificate` it is behind TLS, at a name of its own, else plain on loopback.

    `changes` are texts of its file to be replaced, `tables` are added to it; `userinfo` is where GitHub says whose an
    account is, if not at GitHub.
    """
    vault_at = listen()
    vault = vault_at.url if certificate is None else f"https://vault.{HOSTS}:{vault_at.port}"
    app, app_at = App(), listen()
    async with AsyncExitStack() as stack:
        issuer = await stack.enter_async_context(_issuer(vault, app_at.url))
        servers = stack.enter_context(LoopbackServers())
        secrets = DevSecrets(login=issuer.client_secret, provider=_new(), briefing_agent=_new(), operator=_new())
        at = {name: listen() for name in PROVIDER_SCOPES}
        places = Places(
            vault=vault, issuer=issuer.issuer, agent=app_at.url, providers={name: at[name].url for name in at}
        )
        providers = {name: _provider(name, places, secrets.provider) for name in at}
        for name, provider in providers.items():
            servers.serve(provider.app, at[name])
        servers.serve(app.app, app_at)
        text = _file(places, secrets, database_url, folder) + tables
        if userinfo is not None:
            text = text.replace(f"{places.providers['github']}/userinfo", userinfo)
        installation = install_text(folder, "hosted", text, changes)
        inner = vault_at if certificate is None else listen()
        plain_port = inner.port
        running = stack.enter_context(serving(installation, at=inner))
        if certificate is not None:
            await stack.enter_async_context(tls_before(plain_port, vault_at, certificate))
        yield Hosted(
            places=places,
            secrets=secrets,
            issuer=issuer,
            providers=providers,
            app=app,
            running=running,
            folder=folder,
        )


def _issuer(vault: str, app: str) -> AbstractAsyncContextManager[OidcProvider]:
    # As docs/sign-in.md says. Node.js would not take the certificate of a vault behind TLS, and nothing is told there.
    login = {
        "backchannel_logout_uri": f"{vault}/auth/login/backchannel",
        "backchannel_logout_session_required": True,
    }
    agent = {
        "client_id": SAMPLE_AGENT,
        "redirect_uris": [f"{app}/connected"],
        "grant_types": ["authorization_code"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
    }
    return oidc_provider(
        client_id=VAULT_AT_ISSUER,
        redirect_uris=[f"{vault}/auth/login/callback"],
        scopes=["openid", *ACCOUNT_SCOPES.split()],
        resource=vault,
        more={"accessTokenFormat": "jwt", "clients": [agent], "client": login},
    )


def _provider(name: str, places: Places, secret: Secret) -> SandboxProvider:
    return SandboxProvider(
        name=name,
        clients={VAULT_AT_PROVIDER: secret},
        issuer=places.providers[name],
        redirect_uris=[f"{places.vault}/auth/callback/{name}"],
        scopes=PROVIDER_SCOPES[name],
    )


def _file(places: Places, secrets: DevSecrets, database_url: str, folder: Path) -> str:
    keyring, draft = folder / "keyring.json", folder / "draft.toml"
    generate_keyring_file(keyring, now=system_clock())
    write_config(draft, places=places, secrets=secrets, database_url=database_url, keyring=keyring)
    text = draft.read_text(encoding="utf-8")
    draft.unlink()
    return text.replace('algorithms = ["ES256"]', 'algorithms = ["RS256"]\nclient_claim = "client_id"')


def _new() -> Secret:
    return Secret(token_urlsafe(32))
