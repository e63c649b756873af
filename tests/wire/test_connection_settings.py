"""A provider that is elsewhere for each user, from the link to the revocation (security C0, api.md §2, §3)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from urllib.parse import urlencode

import httpx
import pytest
import pytest_asyncio
from starlette.applications import Starlette
from starlette.routing import Mount

from tests.conftest import DatabaseUrls
from tests.unit.providers.test_templates import EVIL
from tests.wire.vault import App, Vault, query_of, ticket_url
from vaultd.app.factory import create_app
from vaultd.keys.local import generate_keyring_file
from vaultd.sandbox.browser import Browser
from vaultd.sandbox.dev_config import PROVIDER_SCOPES, SAMPLE_AGENT, VAULT_AT_ISSUER, VAULT_AT_PROVIDER, write_config
from vaultd.sandbox.issuer import SandboxIssuer
from vaultd.sandbox.loopback import loopback_http
from vaultd.sandbox.provider import SandboxProvider
from vaultd.sandbox.servers import LoopbackServers, listen
from vaultd.sandbox.world import World
from vaultd.settings import load
from vaultd.terms import system_clock

SETTINGS = """[providers.github]
connection_settings.shop = {pattern = "[a-z0-9][a-z0-9-]{0,62}", example = "my-shop", description = "Your shop"}
refresh_margin = 299
"""
"""Tokens of the sandbox live 300 seconds, so that one is renewed after a second."""
REFUSED = [value for value in EVIL if value not in {"", "shop-"}]
"""The gap is in a path here, where the last of them does no harm."""


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A vault whose GitHub is at `/my-shop` of some server, and nowhere else."""

    world: World
    github: SandboxProvider

    def app(self) -> App:
        return App(self.world)

    def door(self, **query: str) -> str:
        return f"{self.world.places.vault}/auth/connect/github?{urlencode({'client_id': SAMPLE_AGENT} | query)}"


@pytest.fixture(scope="module")
def elsewhere(
    world: World, module_database: DatabaseUrls, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Elsewhere]:
    vault, issuer_at, shops = listen(), listen(), listen()
    providers = {**world.places.providers, "github": f"{shops.url}/{{shop}}"}
    places = replace(world.places, vault=vault.url, issuer=issuer_at.url, providers=providers)
    issuer = SandboxIssuer(issuer=issuer_at.url, clients={VAULT_AT_ISSUER: world.secrets.login}, audience=vault.url)
    github = SandboxProvider(
        name="github",
        clients={VAULT_AT_PROVIDER: world.secrets.provider},
        redirect_uris=[f"{vault.url}/auth/callback/github"],
        scopes=PROVIDER_SCOPES["github"],
    )
    folder = tmp_path_factory.mktemp("elsewhere")
    config, keyring = folder / "vaultd.toml", folder / "keyring.json"
    generate_keyring_file(keyring, now=system_clock())
    write_config(config, places=places, secrets=world.secrets, database_url=module_database.service, keyring=keyring)
    text = config.read_text(encoding="utf-8").replace("[providers.github]\n", SETTINGS)
    for key in (f'issuer = "{providers["github"]}"\n', f'resources = ["{providers["github"]}"]\n'):
        assert key in text
        text = text.replace(key, "")
    config.write_text(text, encoding="utf-8")
    settings = load(config, environ={}, allow_literal_secrets=True)
    with LoopbackServers() as servers:
        servers.serve(issuer.app, issuer_at)
        servers.serve(Starlette(routes=[Mount("/my-shop", github.app)]), shops)
        servers.serve(create_app(settings), vault)
        beside = replace(world, places=places, settings=settings, issuer=issuer, folder=folder)
        yield Elsewhere(beside, github)


@pytest_asyncio.fixture
async def shop_app(elsewhere: Elsewhere) -> AsyncIterator[App]:
    async with elsewhere.app() as speaking:
        yield speaking


@pytest_asyncio.fixture
async def shop_vault(elsewhere: Elsewhere) -> AsyncIterator[Vault]:
    async with Vault(elsewhere.world) as speaking:
        yield speaking


@pytest_asyncio.fixture
async def browser(elsewhere: Elsewhere) -> AsyncIterator[Browser]:
    """Of a person who has signed in."""
    async with Browser(stop_at=(f"{elsewhere.world.places.agent}/connected",)) as opened:
        await opened.open(f"{elsewhere.world.places.vault}/connections")
        page = await opened.click("Carol")
        assert page.status == 200, page.text
        yield opened


async def connected(app: App) -> str:
    begun = await app.begin(authorization_params={"shop": "my-shop"})
    came_back = await app.returned(begun)
    made = await app.complete(begun, came_back["connect_code"])
    assert made.status_code == 201, made.text
    account: str = made.json()["id"]
    return account


class TestTheAccountsApi:
    @pytest.mark.parametrize("shop", [*REFUSED, "a.b"])
    async def test_c0_evil_values_are_refused_and_nothing_is_sent(
        self, shop: str, elsewhere: Elsewhere, shop_app: App
    ) -> None:
        before = dict(elsewhere.github.calls)
        answer = await shop_app.begin(authorization_params={"shop": shop})
        assert answer.status_code == 400
        assert "evil" not in answer.json()["detail"]
        assert dict(elsewhere.github.calls) == before

    async def test_a_missing_one_is_named(self, shop_app: App) -> None:
        answer = await shop_app.begin()
        assert answer.status_code == 400
        assert answer.json()["detail"] == "shop is missing. It looks like this: my-shop."

    async def test_parameters_beside_it_are_the_table_s_as_before(self, shop_app: App) -> None:
        answer = await shop_app.begin(authorization_params={"shop": "my-shop", "login_hint": "bob"})
        assert answer.status_code == 201
        answer = await shop_app.begin(authorization_params={"shop": "my-shop", "state": "x"})
        assert answer.json()["detail"] == "authorization_params may not carry: state."

    async def test_it_travels_no_further_than_the_address(self, elsewhere: Elsewhere, shop_app: App) -> None:
        begun = await shop_app.begin(authorization_params={"shop": "my-shop"})
        async with loopback_http() as client:
            sent_to = httpx.URL((await client.get(ticket_url(begun))).headers["location"])
        assert sent_to.path == "/my-shop/authorize"
        assert "shop" not in sent_to.params


async def test_from_the_link_to_the_revocation(elsewhere: Elsewhere, shop_app: App, shop_vault: Vault) -> None:
    """Redeemed, refreshed and revoked at the one place that the user's setting says; handed out as metadata."""
    account, calls = await connected(shop_app), elsewhere.github.calls
    refreshed, revoked = calls["refresh"], calls["revoke"]
    first = await shop_vault.exchange(shop_app.session_token)
    assert first.json()["connection_metadata"] == {"shop": "my-shop"}, first.text
    await asyncio.sleep(1.1)
    second = await shop_vault.exchange(shop_app.session_token)
    assert second.status_code == 200, second.text
    assert calls["refresh"] > refreshed
    assert second.json()["access_token"] != first.json()["access_token"]
    assert second.json()["connection_metadata"] == {"shop": "my-shop"}
    assert elsewhere.github.grants.access(second.json()["access_token"]) is not None
    assert (await shop_app.http.delete(f"accounts/{account}")).status_code == 204
    async with asyncio.timeout(10):
        while elsewhere.github.grants.access(second.json()["access_token"]) is not None:
            await asyncio.sleep(0.05)
    assert calls["revoke"] > revoked


async def test_a_grant_that_is_given_back_is_given_back_there(
    elsewhere: Elsewhere, shop_app: App, shop_vault: Vault
) -> None:
    """B3: completed by somebody else, it is revoked at the place where it was made."""
    begun = await shop_app.begin(authorization_params={"shop": "my-shop"})
    came_back = await shop_app.returned(begun)
    revoked = elsewhere.github.calls["revoke"]
    async with elsewhere.app() as other:
        assert (await other.complete(begun, came_back["connect_code"])).status_code == 403
    async with asyncio.timeout(10):
        while elsewhere.github.calls["revoke"] == revoked:
            await asyncio.sleep(0.05)


class TestTheDoor:
    async def test_a_link_that_says_where(self, elsewhere: Elsewhere, browser: Browser) -> None:
        back = f"{elsewhere.world.places.agent}/connected"
        page = await browser.open(elsewhere.door(shop="my-shop", return_to=back, scope="repo"))
        assert "Your shop my-shop" in page.text
        page = await browser.click("Continue to GitHub")
        assert "/my-shop/" in page.url, page.text
        await browser.click("Bob")
        page = await browser.click("Allow")
        assert query_of(page.url) == {"connection": "github", "status": "connected"}

    async def test_a_link_that_does_not_is_asked_for_it(self, elsewhere: Elsewhere, browser: Browser) -> None:
        """The form comes back here, and the provider is behind a link: CSP's form-action binds redirects too."""
        back = f"{elsewhere.world.places.agent}/connected"
        page = await browser.open(elsewhere.door(return_to=back, scope="repo", login_hint="bob"))
        assert (page.status, "Your shop" in page.text) == (200, True)
        bare = await browser.http.get(elsewhere.door())
        assert "form-action 'self'" in bare.headers["content-security-policy"]
        page = await browser.click("Continue", fields={"shop": "my-shop"})
        assert page.url.startswith(elsewhere.world.places.vault)
        page = await browser.click("Continue to GitHub")
        assert "/my-shop/" in page.url, page.text
        await browser.click("Bob")
        page = await browser.click("Allow")
        assert page.url.startswith(back)

    async def test_an_evil_value_is_asked_for_again(self, elsewhere: Elsewhere, browser: Browser) -> None:
        page = await browser.open(elsewhere.door())
        page = await browser.click("Continue", fields={"shop": "evil.com/"})
        assert page.status == 400
        assert "This is not accepted. It looks like this: my-shop" in page.text
        shown = await browser.http.get(elsewhere.door(shop='"><script>'))
        assert (shown.status_code, "<script>" in shown.text, "&lt;script&gt;" in shown.text) == (400, False, True)
        page = await browser.click("Continue", fields={"shop": "my-shop"})
        assert page.status == 200

    @pytest.mark.parametrize("shop", REFUSED)
    async def test_c0_evil_values_lead_nowhere(self, shop: str, elsewhere: Elsewhere, browser: Browser) -> None:
        before = dict(elsewhere.github.calls)
        page = await browser.open(elsewhere.door(shop=shop))
        assert (page.status, page.url.startswith(elsewhere.world.places.vault)) == (400, True)
        assert dict(elsewhere.github.calls) == before

    async def test_nobody_is_asked_about_a_provider_that_is_not_the_app_s(
        self, elsewhere: Elsewhere, browser: Browser
    ) -> None:
        url = elsewhere.door().replace("/connect/github", "/connect/none")
        assert "Your shop" not in (await browser.open(url)).text
