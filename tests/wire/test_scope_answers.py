"""Scopes as providers mean them, asked at a vault whose providers are as strict, and answer as freely, as real ones.

The tables are the catalogue's, at other addresses; `own` is one that the catalogue does not know.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import pytest_asyncio

from tests.conftest import DatabaseUrls
from tests.doubles.strict import StrictProvider
from tests.wire.town import Town, provider_table
from tests.wire.town import town as a_town
from tests.wire.vault import go_on, ticket_url
from vaultd.providers.catalogue import load_catalogue
from vaultd.sandbox.demands import Demands, joined
from vaultd.sandbox.world import World

CALENDAR = "https://www.googleapis.com/auth/calendar.readonly"
DRIVE = "https://www.googleapis.com/auth/drive.readonly"
LONG = {name: f"https://www.googleapis.com/auth/userinfo.{name}" for name in ("email", "profile")}
WHOLE_GRAPH = "https://graph.microsoft.com/.default"
LISTS: dict[str, dict[str, Any]] = {
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
        "lasting": ["read", "offline_access"],
        "shop": ["read_products", "write_products", "read_orders"],
        "portal": ["oauth", "crm.objects.contacts.read", "crm.objects.contacts.write"],
        "scopeless": [],
        "graph": {"scopes": [WHOLE_GRAPH], "on_wider_grant": "allow"},
    },
    "other-agent": {
        "graph": ["Mail.Read"],
        "calendar": [DRIVE],
        "own": ["read"],
        "scopeless": ["read"],
        "reading": [],
        "gmail": [],
    },
}
EXTENDS = {
    "gmail": "google",
    "calendar": "google",
    "entra": "microsoft",
    "mail": "microsoft",
    "graph": "microsoft",
    "linear": "linear",
    "strava": "strava",
    "hub": "github",
}
GOOGLE = Demands(identity=frozenset({"openid", "email", "profile"}), offline_params={"access_type": "offline"})
# Upper and lower case are one there.
CASES = dict.fromkeys(("MAIL.READ", "mail.Read", "mail.read"), "Mail.Read")
ENTRA = Demands(identity=frozenset({"openid"}), offline="offline_access", aliases=CASES)
COMMAS = Demands(commas=True)
DEMANDS = {
    "gmail": GOOGLE,
    "calendar": GOOGLE,
    "entra": ENTRA,
    "mail": ENTRA,
    "graph": ENTRA,
    "strava": COMMAS,
    "shop": COMMAS,
}
OWN: dict[str, dict[str, Any]] = {
    # Those whose accounts userinfo does not tell are given one here.
    "shop": {"scope_implies": load_catalogue()["shopify"]["scope_implies"], "scope_separator": ","},
    "portal": {key: load_catalogue()["hubspot"][key] for key in ("scopes", "identity_scopes", "scope_field")},
    "scopeless": {"scopes_of_app": "always"},
}


@pytest.fixture(scope="module")
def whole_town(world: World, module_database: DatabaseUrls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    names = {name for entries in LISTS.values() for name in entries}
    at = {name: StrictProvider(DEMANDS.get(name)) for name in names}
    tables = {name: provider_table(EXTENDS.get(name), own=OWN.get(name)) for name in names}
    folder = tmp_path_factory.mktemp("town")
    with a_town(world, module_database, folder, tables=tables, lists=LISTS, at=at) as town:
        yield town


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


async def test_what_entra_adds_up_over_consents_cannot_be_narrowed_and_is_refused(town: Town) -> None:
    """A refresh for less brings all of it there, whatever its answer says."""
    provider = town.at["mail"]
    provider.words = lambda granted: joined(granted | {"Mail.ReadWrite"})
    async with town.app() as app:
        await town.connected(app, "mail")
        provider.words = provider.refreshed = joined
        for scope in ({}, {"scope": "Mail.Read"}):
            assert await town.reason(await town.asked(app, "mail", **scope)) == "wider_grant"


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


async def test_what_two_answers_in_a_row_leave_out_sends_nobody_to_consent_a_third_time(town: Town) -> None:
    """Whether the provider never names it or the person does not want it, a third consent would change nothing."""
    provider = town.at["own"]
    provider.words = provider.refreshed = lambda granted: joined(granted - {"write"})
    async with town.app() as app:
        for reason in ("scope_missing", "scope_unclear", "scope_unclear"):
            await town.connected(app, "own", scopes=["read", "write"])
            refused = await town.asked(app, "own", scope="write")
            assert await town.reason(refused) == reason
            await town.given(app, "own", scope="read")
        provider.words = joined
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


@pytest.mark.parametrize("wish", [{}, {"scopes": [CALENDAR]}, {"scopes": [CALENDAR, "openid", "email"]}])
async def test_the_page_before_the_provider_says_what_vaultd_needs_itself(town: Town, wish: dict[str, Any]) -> None:
    """Also where it is named, as by the link of a refused exchange."""
    async with town.app() as app:
        begun = await app.begin("calendar", **wish)
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


async def test_a_scope_that_stands_for_whatever_was_granted_is_asked_for_alone_and_served_whole(town: Town) -> None:
    provider, own = town.at["graph"], {"openid", "profile", "email", "offline_access"}
    async with town.app() as app, town.app("other-agent", user=app.user) as mail:
        await town.connected(mail, "graph")
        await town.given(mail, "graph", agent="other-agent")
        provider.words = provider.refreshed = lambda _: "Mail.Read User.Read"
        await town.connected(app, "graph")
        assert provider.asked == [{"Mail.Read", *own}, {WHOLE_GRAPH, *own}]
        for scope in ({}, {"scope": WHOLE_GRAPH}, {"scope": ".default"}):
            assert "User.Read" in (await town.given(app, "graph", **scope))["scope"].split()
        await town.connected(mail, "graph")
        assert WHOLE_GRAPH not in provider.asked[-1], "beside others it is an error"


async def test_who_unticked_everything_granted_nothing(town: Town) -> None:
    """The redirect names no scope then, and says it; silence would mean all that was asked for."""
    provider = town.at["strava"]
    asked = ["read", "activity:read", "activity:read_all"]
    provider.in_redirect, provider.withheld = True, frozenset(asked)
    async with town.app() as app:
        assert (await town.connected(app, "strava", scopes=asked))["scopes"] == []
        assert await town.reason(await town.asked(app, "strava", scope="activity:read_all")) == "scope_missing"
        assert await town.reason(await town.asked(app, "strava")) == "grant_unknown"
        provider.withheld = frozenset()
        await town.connected(app, "strava", scopes=asked)
        await town.given(app, "strava", scope="activity:read_all")


async def test_the_scope_without_which_no_refresh_token_comes_was_granted_if_one_came(town: Town) -> None:
    """By no data: `own` is a provider that the catalogue does not know (OpenID Connect Core 1.0 §11)."""
    provider = town.at["lasting"]
    provider.words = provider.refreshed = lambda granted: joined(granted - {"offline_access"})
    provider.life = 30
    async with town.app() as app:
        await town.connected(app, "lasting", scopes=["read", "offline_access"])
        provider.life = 3600
        for _ in range(2):
            assert (await town.given(app, "lasting", scope="read offline_access"))["expires_in"] > 3000


@pytest.mark.parametrize("words", ["openid mail.read", "https://graph.microsoft.com/Mail.Read"])
async def test_upper_and_lower_case_are_one_at_entra(town: Town, words: str) -> None:
    town.at["mail"].words = lambda _: words
    async with town.app() as app:
        await town.connected(app, "mail", scopes=["MAIL.READ"])
        await town.given(app, "mail", scope="mail.Read")


async def test_a_write_scope_swallows_the_read_scope_of_a_shop(town: Town) -> None:
    town.at["shop"].words = lambda granted: ",".join(
        sorted(scope for scope in granted if scope.replace("read_", "write_") not in granted - {scope})
    )
    async with town.app() as app:
        await town.connected(app, "shop", scopes=["read_products", "write_products", "read_orders"])
        assert (await town.given(app, "shop", scope="read_products"))["scope"] == "read_orders write_products"


async def test_scopes_that_an_answer_names_elsewhere_are_heard(town: Town) -> None:
    """Of a list under another name, as HubSpot has it, the missing one is missing."""
    provider = town.at["portal"]
    provider.withheld = frozenset({"crm.objects.contacts.write"})
    provider.words, provider.scope_field = sorted, "scopes"
    async with town.app() as app:
        account = await town.connected(app, "portal")
        assert account["scopes"] == ["crm.objects.contacts.read", "oauth"]
        refused = await town.asked(app, "portal", scope="crm.objects.contacts.write")
        assert await town.reason(refused) == "scope_missing"


@pytest.mark.parametrize("words", ["", None])
async def test_a_list_without_scopes_is_served_where_there_are_none(town: Town, words: str | None) -> None:
    town.at["scopeless"].words = town.at["scopeless"].refreshed = lambda _: words
    town.at["scopeless"].life = 30
    async with town.app() as app:
        assert (await town.connected(app, "scopeless"))["scopes"] == []
        town.at["scopeless"].life = 3600
        assert (await town.given(app, "scopeless"))["expires_in"] > 3000
        refused = await town.asked(app, "scopeless", scope="read")
        assert refused.json()["error"] == "invalid_scope"


@pytest.mark.parametrize("words", ["", None])
async def test_a_list_with_scopes_is_not_served_where_nobody_can_say_what_tokens_may_do(
    town: Town, words: str | None
) -> None:
    town.at["scopeless"].words = lambda _: words
    async with town.app() as app, town.app("other-agent", user=app.user) as other:
        await town.connected(other, "scopeless")
        refused = await town.asked(other, "scopeless", agent="other-agent")
    assert await town.reason(refused) == "grant_unknown"


async def test_an_empty_list_is_not_served_where_a_provider_may_have_scopes(town: Town) -> None:
    town.at["reading"].words = lambda _: ""
    async with town.app() as app, town.app("other-agent", user=app.user) as other:
        await town.connected(app, "reading")
        refused = await town.asked(other, "reading", agent="other-agent")
    assert await town.reason(refused) == "wider_grant"


async def test_a_token_for_vaultds_own_needs_alone_is_not_handed_out(town: Town) -> None:
    town.at["calendar"].withheld = frozenset({CALENDAR})
    async with town.app() as app:
        await town.connected(app, "calendar")
        assert await town.reason(await town.asked(app, "calendar")) == "no_scope_in_common"
        assert await town.reason(await town.asked(app, "calendar", scope=CALENDAR)) == "scope_missing"


async def test_a_client_whose_list_is_empty_is_not_given_what_vaultd_needs_itself(town: Town) -> None:
    async with town.app("other-agent") as other:
        assert (await town.connected(other, "gmail"))["scopes"] == ["email", "openid"]
        refused = await town.asked(other, "gmail", agent="other-agent")
    assert await town.reason(refused) == "no_scope_in_common"


async def test_the_link_of_a_first_exchange_names_what_vaultd_needs_and_leads_to_a_working_consent(town: Town) -> None:
    async with town.app() as app:
        refused = await town.asked(app, "calendar", scope=CALENDAR)
        assert await town.reason(refused) == "not_connected"
        named = parse_qs(urlsplit(refused.json()["connect_uri"]).query)["scope"][0].split()
        assert set(named) == {CALENDAR, "openid", "email"}
        await town.connected(app, "calendar", scopes=named)
        await town.given(app, "calendar", scope=CALENDAR)


async def test_a_redirect_uri_that_is_not_registered_is_refused_by_the_strict_provider(town: Town) -> None:
    """So that these tests show that vaultd sends the registered one."""
    provider = town.at["own"]
    registered, provider.redirect_uri = provider.redirect_uri, "https://elsewhere.example/callback"
    try:
        async with town.app() as app:
            begun = await app.begin("own")
            async with app.browser() as browser:
                page = await go_on(browser, ticket_url(begun))
        assert page.status == 400
        assert provider.asked == []
    finally:
        provider.redirect_uri = registered


async def test_what_the_app_may_have_anyway_is_not_told_as_vaultds_own_need(town: Town) -> None:
    async with town.app() as app:
        begun = await app.begin("gmail")
        async with httpx.AsyncClient(trust_env=False) as browser:
            page = await browser.get(ticket_url(begun), headers={"accept": "text/html", "sec-fetch-site": "none"})
    assert "See your email address" in page.text
    assert "itself needs" not in page.text


async def test_a_scope_is_told_in_its_words_however_it_is_spelled(town: Town) -> None:
    async with town.app() as app:
        begun = await app.begin("gmail", scopes=[LONG["profile"], "openid", "email"])
        async with httpx.AsyncClient(trust_env=False) as browser:
            page = await browser.get(ticket_url(begun), headers={"accept": "text/html", "sec-fetch-site": "none"})
    assert load_catalogue()["google"]["scope_descriptions"]["profile"] in page.text


async def test_a_consent_asks_again_for_what_clients_may_have_and_not_for_words_of_the_answer(town: Town) -> None:
    """A provider may not take its own words: `urn:own:read`, or what comes along unasked."""
    provider = town.at["calendar"]
    provider.words = lambda granted: joined(granted | {"urn:unasked", "https://www.googleapis.com/auth/tasks"})
    async with town.app() as app, town.app("other-agent", user=app.user) as other:
        await town.connected(app, "calendar")
        await town.connected(other, "calendar")
    assert provider.asked == [{CALENDAR, "openid", "email"}, {CALENDAR, DRIVE, "openid", "email"}]


async def test_a_refresh_token_of_an_earlier_consent_brings_no_client_more_than_its_list(town: Town) -> None:
    """Of what it was given for, nobody has taken anything back: a later consent for less came without another."""
    provider = town.at["own"]
    async with town.app() as app, town.app("other-agent", user=app.user) as reader:
        await town.connected(app, "own", scopes=["read", "write"])
        assert await town.reason(await town.asked(reader, "own", agent="other-agent")) == "wider_grant"
        provider.renewable = False
        provider.refreshed = lambda _: None
        await town.connected(reader, "own")
        given = await town.given(reader, "own", agent="other-agent")
        assert given["scope"] == joined(provider.scopes_of(given["access_token"])) == "read"
        refused = given["access_token"]
        again = await town.asked(reader, "own", agent="other-agent", refused_token=refused)
        assert await town.reason(again) == "wider_grant"
        whole = await town.given(app, "own")
        assert whole["scope"] == joined(provider.scopes_of(whole["access_token"])) == "read write"
