"""Scopes as providers mean them, asked at a vault whose providers are as strict, and answer as freely, as real ones.

The tables are the catalogue's, at other addresses; `own` is one that the catalogue does not know.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import pytest_asyncio

from tests.conftest import DatabaseUrls
from tests.doubles.strict import SECRET, StrictProvider, joined
from tests.support.toml import written
from tests.wire.beside import vault_beside
from tests.wire.vault import App, Vault, bearer, go_on, query_of, ticket_url
from vaultd.providers.catalogue import load_catalogue
from vaultd.sandbox.person import ACCOUNT_SCOPES
from vaultd.sandbox.servers import LoopbackServers
from vaultd.sandbox.world import World

CALENDAR = "https://www.googleapis.com/auth/calendar.readonly"
DRIVE = "https://www.googleapis.com/auth/drive.readonly"
LONG = {name: f"https://www.googleapis.com/auth/userinfo.{name}" for name in ("email", "profile")}
LISTS: dict[str, dict[str, list[str]]] = {
    "first-agent": {
        "gmail": ["openid", "email", "profile"],
        "calendar": [CALENDAR],
        "entra": ["openid", "profile", "email", "offline_access", "User.Read"],
        "mail": ["Mail.Read"],
        "linear": ["issues:create"],
        "strava": ["read", "activity:read", "activity:read_all"],
        "hub": ["repo", "public_repo", "user", "read:user"],
        "own": ["read", "write"],
        "reading": ["read"],
    },
    "other-agent": {"calendar": [DRIVE], "own": ["read"]},
}
EXTENDS = {
    "gmail": "google",
    "calendar": "google",
    "entra": "microsoft",
    "mail": "microsoft",
    "linear": "linear",
    "strava": "strava",
    "hub": "github",
}
IDENTITY = {
    "gmail": ("openid", "email", "profile"),
    "calendar": ("openid", "email", "profile"),
    "entra": ("openid",),
    "mail": ("openid",),
}


@dataclass(frozen=True, slots=True)
class Town:
    """A vault, and one strict provider for each of its tables."""

    world: World
    at: dict[str, StrictProvider]

    def app(self, agent: str = "first-agent", user: str | None = None) -> App:
        app = App(self.world, user=user)
        app.session_token = self.world.issuer.mint(app.user, azp=agent, scope=ACCOUNT_SCOPES)
        app.http.headers.update(bearer(app.session_token))
        return app

    async def connected(self, app: App, name: str, **wish: Any) -> dict[str, Any]:
        """Connect, and give the account as the accounts API tells it."""
        begun = await app.begin(name, **wish)
        assert begun.status_code == 201, begun.text
        async with app.browser() as browser:
            page = await go_on(browser, ticket_url(begun))
        assert "connect_code" in page.url, page.url
        made = await app.complete(begun, query_of(page.url)["connect_code"])
        assert made.status_code == 201, made.text
        body: dict[str, Any] = made.json()
        return body

    async def asked(self, app: App, name: str, *, agent: str = "first-agent", **changes: str) -> httpx.Response:
        """An exchange by the agent."""
        async with Vault(self.world) as vault:
            vault.agent = (agent, SECRET)
            return await vault.exchange(app.session_token, audience=name, **changes)

    async def given(self, app: App, name: str, *, agent: str = "first-agent", **changes: str) -> dict[str, Any]:
        """The same, which must bring a token that the provider knows, for no more than the agent's list and own."""
        answer = await self.asked(app, name, agent=agent, **changes)
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    async def reason(self, answer: httpx.Response) -> str:
        async with Vault(self.world) as vault:
            (event,) = await vault.events_of(answer)
        return str(event["reason"])


def _tables(world: World, urls: dict[str, str]) -> str:
    catalogue = load_catalogue()

    def table(name: str) -> dict[str, Any]:
        # Not by `extends`: the sandbox has tables of its own by some of these names.
        known = catalogue[EXTENDS[name]] if name in EXTENDS else {"account_label_fields": ["email"]}
        if EXTENDS.get(name, "microsoft") != "microsoft":
            known = known | {"revocation_endpoint": f"{urls[name]}/revoke"}
        return known | {
            "client_id": "app",
            "client_secret": SECRET,
            "token_endpoint_auth_method": "client_secret_post",
            "allow_private_hosts": ["127.0.0.1"],
            "authorization_endpoint": f"{urls[name]}/authorize",
            "token_endpoint": f"{urls[name]}/token",
            "userinfo_endpoint": f"{urls[name]}/userinfo",
            "resources": [urls[name]],
        }

    clients = {
        agent: {
            "auth": "client_secret_basic",
            "secret": SECRET,
            "redirect_uris": [f"{world.places.agent}/connected"],
            "providers": lists,
        }
        for agent, lists in LISTS.items()
    }
    tables = written({"clients": clients, "providers": {name: table(name) for name in urls}})
    return tables.replace('["clients"]\n', "").replace('["providers"]\n', "")


@pytest.fixture(scope="module")
def whole_town(world: World, module_database: DatabaseUrls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    at = {
        name: StrictProvider(
            identity=frozenset(IDENTITY.get(name, ())), offline="offline_access" if name in {"entra", "mail"} else None
        )
        for name in LISTS["first-agent"]
    }
    with LoopbackServers() as servers:
        urls = {name: servers.serve(provider.app) for name, provider in at.items()}
        with vault_beside(
            world,
            database_url=module_database.service,
            folder=tmp_path_factory.mktemp("town"),
            tables=lambda _: _tables(world, urls),
        ) as beside:
            yield Town(beside, at)


@pytest_asyncio.fixture
async def town(whole_town: Town) -> AsyncIterator[Town]:
    for provider in whole_town.at.values():
        provider.reset()
    yield whole_town


async def test_the_long_names_that_google_answers_are_what_was_asked(town: Town) -> None:
    town.at["gmail"].words = lambda granted: joined(frozenset(LONG.get(scope, scope) for scope in granted))
    async with town.app() as app:
        account = await town.connected(app, "gmail")
        answered = " ".join(sorted(["openid", *LONG.values()]))
        assert account["scopes"] == answered.split()
        for scope in ("openid email profile", "email", LONG["profile"]):
            if scope in {"email", "openid email profile"}:
                await town.given(app, "gmail", scope=scope)
        assert (await town.given(app, "gmail"))["scope"] == answered


async def test_what_entra_grants_and_never_names_is_granted(town: Town) -> None:
    town.at["entra"].words = lambda _: "User.Read"
    async with town.app() as app:
        await town.connected(app, "entra")
        await town.given(app, "entra", scope="offline_access User.Read")
        assert "offline_access" in (await town.given(app, "entra"))["scope"].split()


async def test_what_stands_before_a_scope_of_entra_and_what_it_adds_changes_nothing(town: Town) -> None:
    town.at["mail"].words = lambda _: "https://graph.microsoft.com/Mail.Read openid profile email"
    async with town.app() as app:
        await town.connected(app, "mail")
        await town.given(app, "mail", scope="Mail.Read")


async def test_what_linear_always_adds_is_no_reason_to_refuse(town: Town) -> None:
    town.at["linear"].words = lambda granted: joined(granted | {"read"})
    async with town.app() as app:
        await town.connected(app, "linear")
        assert (await town.given(app, "linear"))["scope"] == "issues:create read"
        await town.given(app, "linear", scope="issues:create")
        refused = await town.asked(app, "linear", scope="read")
    assert refused.json()["error"] == "invalid_scope", "coming along is not being on the list"


async def test_a_wider_scope_that_swallowed_the_narrower_is_good_for_both(town: Town) -> None:
    town.at["hub"].words = lambda _: "repo,user"
    async with town.app() as app:
        await town.connected(app, "hub", scopes=["repo", "public_repo", "user", "read:user"])
        assert (await town.given(app, "hub", scope="public_repo read:user"))["scope"] == "repo user"


async def test_b6_what_the_person_withheld_is_missing_and_can_be_given_later(town: Town) -> None:
    town.at["own"].withheld = frozenset({"write"})
    async with town.app() as app:
        await town.connected(app, "own")
        refused = await town.asked(app, "own", scope="write")
        assert (refused.json()["error"], await town.reason(refused)) == ("interaction_required", "scope_missing")
        town.at["own"].withheld = frozenset()
        await town.connected(app, "own", scopes=["write"])
        await town.given(app, "own", scope="write")


async def test_an_answer_in_words_that_nobody_knows_sends_nobody_to_consent_again(town: Town) -> None:
    town.at["own"].words = lambda granted: joined(frozenset(f"urn:own:{scope}" for scope in granted))
    town.at["own"].refreshed = town.at["own"].words
    town.at["own"].life = 30
    async with town.app() as app:
        account = await town.connected(app, "own")
        assert account["scopes"] == ["urn:own:read", "urn:own:write"]
        town.at["own"].life = 3600
        for _ in range(2):
            refused = await town.asked(app, "own", scope="read")
            assert (refused.json()["error"], await town.reason(refused)) == ("invalid_scope", "scope_unclear")
        assert await town.reason(await town.asked(app, "own")) == "wider_grant"


@pytest.mark.parametrize("words", ["", None])
async def test_a_refresh_that_names_no_scope_leaves_the_grant_as_it_was(town: Town, words: str | None) -> None:
    town.at["own"].life = 30
    town.at["own"].refreshed = lambda _: words
    async with town.app() as app, town.app("other-agent", user=app.user) as other:
        await town.connected(app, "own")
        town.at["own"].life = 3600
        assert (await town.given(app, "own"))["scope"] == "read write"
        refused = await town.asked(other, "own", agent="other-agent")
        assert (refused.json()["error"], await town.reason(refused)) == ("invalid_scope", "wider_grant")


async def test_a_first_answer_with_an_empty_scope_means_what_was_asked(town: Town) -> None:
    town.at["own"].words = lambda _: ""
    async with town.app() as app, town.app("other-agent", user=app.user) as other:
        assert (await town.connected(app, "own"))["scopes"] == ["read", "write"]
        await town.given(app, "own", scope="write")
        refused = await town.asked(other, "own", agent="other-agent")
    assert await town.reason(refused) == "wider_grant"


async def test_the_readmes_google_list_connects_though_it_names_no_identity(town: Town) -> None:
    async with town.app() as app:
        account = await town.connected(app, "calendar")
        assert account["scopes"] == sorted([CALENDAR, "email", "openid"])
        assert town.at["calendar"].asked == [{CALENDAR, "openid", "email"}]
        await town.given(app, "calendar")


async def test_a_microsoft_list_without_offline_access_is_renewed_all_the_same(town: Town) -> None:
    town.at["mail"].life = 30
    async with town.app() as app:
        await town.connected(app, "mail")
        town.at["mail"].life = 3600
        assert (await town.given(app, "mail"))["expires_in"] > 3000


async def test_two_tools_with_a_scope_each_are_asked_for_once_each(town: Town) -> None:
    async with town.app() as app:
        await town.connected(app, "own", scopes=["read"])
        refused = await town.asked(app, "own", scope="write")
        link = parse_qs(urlsplit(refused.json()["connect_uri"]).query)
        assert link["scope"] == ["read write"], "the link names what the consent will ask for"
        await town.connected(app, "own", scopes=["write"])
        for scope in ("read", "write", "read"):
            await town.given(app, "own", scope=scope)
    assert town.at["own"].asked == [{"read"}, {"read", "write"}]


async def test_a_second_agents_consent_does_not_take_the_first_agents_tokens_away(town: Town) -> None:
    provider = town.at["calendar"]
    async with town.app() as app, town.app("other-agent", user=app.user) as other:
        await town.connected(app, "calendar")
        await town.connected(other, "calendar")
        assert provider.asked[-1] == {CALENDAR, DRIVE, "openid", "email"}
        for at, agent, scope in ((app, "first-agent", CALENDAR), (other, "other-agent", DRIVE)):
            body = await town.given(at, "calendar", agent=agent)
            assert provider.scopes_of(body["access_token"]) == {scope}


async def test_the_page_before_the_provider_says_what_vaultd_needs_itself(town: Town) -> None:
    async with town.app() as app:
        begun = await app.begin("calendar")
        async with httpx.AsyncClient(trust_env=False) as browser:
            page = await browser.get(ticket_url(begun), headers={"accept": "text/html", "sec-fetch-site": "none"})
    assert "itself needs" in page.text
    assert page.text.index("See your calendars") < page.text.index("itself needs")
    assert page.text.index("itself needs") < page.text.index("See your email address")


async def test_scopes_in_the_redirect_are_what_was_granted(town: Town) -> None:
    provider = town.at["strava"]
    provider.in_redirect, provider.withheld = True, frozenset({"activity:read_all"})
    async with town.app() as app:
        account = await town.connected(app, "strava", scopes=["read", "activity:read", "activity:read_all"])
        assert account["scopes"] == ["activity:read", "read"]
        assert (await town.given(app, "strava"))["scope"] == "activity:read read"
        refused = await town.asked(app, "strava", scope="activity:read_all")
        assert await town.reason(refused) == "scope_missing"
