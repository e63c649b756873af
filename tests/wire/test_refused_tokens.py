"""A token that the provider's API refused before its end, told to the vault: once renewed, and never by mere say-so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from sqlalchemy import func, select, text

from tests.support.clock import HandClock
from tests.support.configured import changed_vault
from tests.support.exchanging import agent_http, events_of, exchange_form, make_healthy
from tests.wire.vault import FEDERATED_CONNECTION, App
from vaultd.db import Database
from vaultd.refresh.claims import MOST, MOST_OF_A_CLIENT, WINDOW
from vaultd.sandbox.dev_config import BRIEFING_AGENT, SAMPLE_AGENT
from vaultd.sandbox.provider import SandboxProvider
from vaultd.sandbox.world import World, start_world
from vaultd.terms import Secret

EVENTS = "/calendar/v3/calendars/primary/events"


@pytest.fixture(scope="module")
def world_of_ours() -> Iterator[World]:
    """A world of its own, since these tests switch its provider."""
    with start_world() as world:
        yield world


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def replicas(world_of_ours: World, clock: HandClock) -> Iterator[tuple[str, str]]:
    """Two on one database, at one time that is moved by hand."""
    with (
        changed_vault(world_of_ours, {}, clock=clock) as first,
        changed_vault(world_of_ours, {}, clock=clock) as second,
    ):
        yield first, second


@pytest.fixture
def google(world_of_ours: World) -> Iterator[SandboxProvider]:
    provider = world_of_ours.providers["google"]
    make_healthy(provider)
    provider.grants.ttl = timedelta(minutes=90)
    yield provider
    provider.grants.offline = True


class Reporting:
    """A user with a Google account, and an agent that says what Google's API refused."""

    def __init__(self, world: World, app: App, google: SandboxProvider, vault: str, clock: HandClock) -> None:
        self.world = world
        self.app = app
        self.clock = clock
        self.before: set[str] = set()
        self.google = google
        self.vault = vault
        self.session = Secret(app.session_token)
        self.briefing = (BRIEFING_AGENT, world.secrets.briefing_agent.reveal())

    async def ask(
        self, refused: str | None = None, *, at: str | None = None, briefing: bool = False, **changes: str
    ) -> httpx.Response:
        # So that events are in the order of the requests.
        self.clock.forward(milliseconds=1)
        form = exchange_form(self.session, "google") | changes
        if refused is not None:
            form["refused_token"] = refused
        async with agent_http() as http:
            auth = httpx.BasicAuth(*self.briefing) if briefing else httpx.Auth()
            return await http.post(f"{at or self.vault}/oauth/token", data=form, auth=auth)

    async def token(self, refused: str | None = None, **how: Any) -> str:
        answer = await self.ask(refused, **how)
        assert answer.status_code == 200, answer.text
        token: str = answer.json()["access_token"]
        return token

    async def works(self, token: str) -> bool:
        """Whether Google's API takes it."""
        async with agent_http() as http:
            url = f"{self.world.places.providers['google']}{EVENTS}"
            answer = await http.get(url, headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code in {200, 401}, answer.text
        return answer.status_code == 200

    async def newest(self, kind: str) -> dict[str, Any]:
        return next(event for event in await events_of(self.world, kind, "google") if event["id"] not in self.before)

    async def begin(self) -> None:
        """What happens from now on counts."""
        self.google.calls.clear()
        for kind in ("token.exchanged", "token.refused", "token.refreshed", "connection.broken"):
            self.before |= {event["id"] for event in await events_of(self.world, kind, "google")}

    @property
    def refreshes(self) -> int:
        return self.google.calls["refresh"]


@pytest.fixture
async def reporting(
    world_of_ours: World, google: SandboxProvider, replicas: tuple[str, str], clock: HandClock
) -> AsyncIterator[Reporting]:
    async with App(world_of_ours) as app:
        await app.connect("google")
        made = Reporting(world_of_ours, app, google, replicas[0], clock)
        await made.begin()
        yield made


async def test_a_token_that_dies_an_hour_before_its_end_is_replaced(reporting: Reporting, clock: HandClock) -> None:
    dead = await reporting.token()
    assert await reporting.works(dead)
    clock.forward(minutes=30)
    reporting.google.grants.end_access_tokens()
    assert not await reporting.works(dead)
    assert await reporting.token() == dead, "by its clock the vault cannot know"
    fresh = await reporting.token(dead)
    assert fresh != dead
    assert await reporting.works(fresh)
    assert await reporting.token() == fresh
    assert reporting.refreshes == 1


async def test_an_auditor_sees_who_reported_it_and_what_came_of_it(reporting: Reporting) -> None:
    dead = await reporting.token(briefing=True)
    assert "reported" not in await reporting.newest("token.exchanged")
    fresh = await reporting.token(dead, briefing=True)
    exchanged = await reporting.newest("token.exchanged")
    assert (exchanged["client_id"], exchanged["reported"]) == (BRIEFING_AGENT, "renewed")
    refreshed = await reporting.newest("token.refreshed")
    assert (refreshed["client_id"], refreshed["reason"]) == (BRIEFING_AGENT, "reported")
    assert (refreshed["revision"], exchanged["revision"]) == (2, 2)
    assert not [token for token in (dead, fresh) if token in repr((exchanged, refreshed))]


@pytest.mark.parametrize("shown", ["made up", "the first half", "with one more", "another user's", "an earlier one"])
async def test_a_token_that_would_not_be_given_renews_nothing(
    world_of_ours: World, reporting: Reporting, shown: str
) -> None:
    earlier = await reporting.token()
    current = await reporting.token(earlier)
    async with App(world_of_ours) as other:
        await other.connect("google")
        theirs_too = Reporting(world_of_ours, other, reporting.google, reporting.vault, reporting.clock)
        theirs = await theirs_too.token()
        refused = {
            "made up": "tokens-look-like-this",
            "the first half": current[: len(current) // 2],
            "with one more": f"{current}x",
            "another user's": theirs,
            "an earlier one": earlier,
        }[shown]
        reporting.google.calls.clear()
        assert await reporting.token(refused) == current
        assert (await reporting.newest("token.exchanged"))["reported"] == "not_current"
        assert await theirs_too.token() == theirs
    assert reporting.refreshes == 0


async def test_an_empty_parameter_is_absent(reporting: Reporting) -> None:
    await reporting.token("")
    assert "reported" not in await reporting.newest("token.exchanged")
    assert reporting.refreshes == 0


async def test_c5_fifty_reports_at_once_over_two_replicas_renew_once(
    reporting: Reporting, replicas: tuple[str, str]
) -> None:
    dead = await reporting.token()
    asks = (reporting.token(dead, at=replicas[turn % 2], briefing=turn % 4 > 1) for turn in range(50))
    tokens = set(await asyncio.gather(*asks))
    assert len(tokens) == 1
    assert dead not in tokens
    assert reporting.refreshes == 1
    assert not reporting.google.grants.families[-1].reuse_detected


async def test_c5_fifty_at_once_use_up_one_place_of_the_limit(reporting: Reporting, replicas: tuple[str, str]) -> None:
    token = await reporting.token()
    for renewals in range(1, MOST_OF_A_CLIENT + 1):
        asks = (reporting.token(token, at=replicas[turn % 2]) for turn in range(20))
        (token,) = set(await asyncio.gather(*asks))
        assert reporting.refreshes == renewals


async def test_a_client_renews_so_often_and_then_gets_what_there_is(
    reporting: Reporting, replicas: tuple[str, str], clock: HandClock
) -> None:
    token = await reporting.token()
    for turn in range(3 * MOST_OF_A_CLIENT):
        token = await reporting.token(token, at=replicas[turn % 2])
    assert reporting.refreshes == MOST_OF_A_CLIENT
    assert (await reporting.newest("token.exchanged"))["reported"] == "limit_reached"
    # It is good for everybody, and who does not report anything notices nothing.
    assert await reporting.works(token)
    assert await reporting.token() == token
    clock.forward(seconds=WINDOW.total_seconds())
    assert await reporting.token(token) != token


async def test_one_client_cannot_use_up_what_another_needs(reporting: Reporting) -> None:
    token = await reporting.token()
    for _ in range(2 * MOST):
        token = await reporting.token(token)
    reporting.google.grants.end_access_tokens()
    assert await reporting.token(token) == token
    fresh = await reporting.token(token, briefing=True)
    assert await reporting.works(fresh)
    assert await reporting.token(token) == fresh, "whom the limit had reached has it too"


async def test_all_clients_together_renew_no_more_than_so_often(reporting: Reporting) -> None:
    token = await reporting.token()
    for _ in range(MOST):
        for briefing in (False, True):
            token = await reporting.token(token, briefing=briefing)
    assert reporting.refreshes == MOST


async def test_c3_a_grant_that_is_over_asks_for_a_reconnection(reporting: Reporting) -> None:
    dead = await reporting.token()
    reporting.google.grants.families[-1].alive = False
    answer = await reporting.ask(dead)
    assert (answer.status_code, answer.json()["error"]) == (400, "interaction_required")
    assert answer.json()["reason"] == "reconnect_required"
    refused = await reporting.newest("token.refused")
    assert (refused["reason"], refused["reported"]) == ("reconnect_required", "ended")
    assert (await reporting.newest("connection.broken"))["reason"] == "invalid_grant"
    assert (await reporting.ask(dead)).json()["reason"] == "reconnect_required"
    assert reporting.refreshes == 1


@pytest.mark.parametrize("fault", ["down", "nonsense", "drop", "error_in_200"])
async def test_c4_a_provider_that_cannot_renew_it_now_costs_only_who_reported_it(
    reporting: Reporting, clock: HandClock, fault: str
) -> None:
    token = await reporting.token()
    reporting.google.faults.token = fault  # type: ignore[assignment]  # pydantic checks it
    answer = await reporting.ask(token)
    assert (answer.status_code, answer.json()["error"]) == (503, "temporarily_unavailable")
    assert int(answer.headers["retry-after"]) > 0
    refused = await reporting.newest("token.refused")
    assert (refused["client_id"], refused["reported"]) == (SAMPLE_AGENT, "not_renewed")
    assert await reporting.token(briefing=True) == token
    reporting.google.faults.clear()
    clock.forward(minutes=1)
    assert await reporting.token(token) != token


async def almost_over(reporting: Reporting, clock: HandClock) -> str:
    """A token that lives for half a minute yet."""
    reporting.google.grants.ttl = timedelta(minutes=10)
    await reporting.app.connect("google")
    token = await reporting.token()
    clock.forward(minutes=9, seconds=30)
    return token


async def test_a_stale_token_is_renewed_as_ever_and_uses_up_no_place(reporting: Reporting, clock: HandClock) -> None:
    token = await almost_over(reporting, clock)
    fresh = await reporting.token(token)
    assert fresh != token
    assert (await reporting.newest("token.exchanged"))["reported"] == "not_current"
    assert "reason" not in await reporting.newest("token.refreshed")


async def test_c4_a_stale_token_that_was_refused_is_not_good_enough(reporting: Reporting, clock: HandClock) -> None:
    token = await almost_over(reporting, clock)
    reporting.google.faults.token = "down"
    assert await reporting.token() == token
    answer = await reporting.ask(token)
    assert (answer.status_code, answer.json()["error"]) == (503, "temporarily_unavailable")
    assert (await reporting.newest("token.refused"))["reported"] == "not_renewed"


@pytest.fixture
async def unrenewable(
    world_of_ours: World, google: SandboxProvider, replicas: tuple[str, str], clock: HandClock
) -> AsyncIterator[Reporting]:
    """One whose account came without a refresh token."""
    google.grants.offline = False
    async with App(world_of_ours) as app:
        await app.connect("google")
        made = Reporting(world_of_ours, app, google, replicas[0], clock)
        await made.begin()
        yield made


async def test_without_a_refresh_token_a_word_alone_ends_nothing(unrenewable: Reporting) -> None:
    """The provider still takes it: whatever the client did wrong, others go on."""
    token = await unrenewable.token()
    for _ in range(2 * MOST_OF_A_CLIENT):
        assert await unrenewable.token(token) == token
    assert unrenewable.google.calls["userinfo"] == MOST_OF_A_CLIENT
    assert (await unrenewable.newest("token.exchanged"))["reported"] == "limit_reached"
    assert await unrenewable.token(briefing=True) == token


async def test_without_a_refresh_token_the_providers_own_word_ends_the_connection(unrenewable: Reporting) -> None:
    token = await unrenewable.token()
    unrenewable.google.grants.end_access_tokens()
    answer = await unrenewable.ask(token)
    assert (answer.status_code, answer.json()["reason"]) == (400, "reconnect_required")
    assert (await unrenewable.newest("token.refused"))["reported"] == "ended"
    assert (await unrenewable.newest("connection.broken"))["reason"] == "revoked_at_provider"
    assert (await unrenewable.ask()).json()["reason"] == "reconnect_required"


@pytest.mark.parametrize("fault", ["down", "nonsense", "drop", "slow_down"])
async def test_without_a_refresh_token_silence_of_the_provider_ends_nothing(unrenewable: Reporting, fault: str) -> None:
    token = await unrenewable.token()
    unrenewable.google.faults.userinfo = fault  # type: ignore[assignment]  # pydantic checks it
    assert await unrenewable.token(token) == token
    assert (await unrenewable.newest("token.exchanged"))["reported"] == "no_other"


async def test_in_the_words_of_auth0s_sdks_and_in_json(reporting: Reporting) -> None:
    dead = await reporting.token()
    form = exchange_form(reporting.session, "google") | {"refused_token": dead}
    form |= {"grant_type": FEDERATED_CONNECTION, "connection": "google"}
    async with agent_http() as http:
        answer = await http.post(f"{reporting.vault}/oauth/token", json=form)
    assert answer.status_code == 200, answer.text
    assert answer.json()["access_token"] != dead
    assert reporting.refreshes == 1


async def test_it_comes_once_and_is_no_longer_than_a_token(reporting: Reporting) -> None:
    answer = await reporting.ask("t" * (16 * 1024 + 1))
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    assert answer.json()["error_description"] == "refused_token is too long."
    form = [*exchange_form(reporting.session, "google").items(), ("refused_token", "a"), ("refused_token", "b")]
    async with agent_http() as http:
        twice = await http.post(
            f"{reporting.vault}/oauth/token",
            content=urlencode(form),
            headers={"Content-Type": "application/x-www-form-urlencoded"},
        )
    assert (twice.status_code, twice.json()["error"]) == (400, "invalid_request")
    assert twice.json()["error_description"] == "refused_token came twice."
    assert reporting.refreshes == 0


@pytest.mark.parametrize("who", ["a wrong secret", "no such client", "a made-up user", "no user", "no such provider"])
async def test_nobody_unknown_causes_anything_at_the_provider(reporting: Reporting, who: str) -> None:
    token = await reporting.token(briefing=True)
    secret = reporting.briefing[1]
    reporting.briefing = {
        "a wrong secret": (BRIEFING_AGENT, "guess"),
        "no such client": ("nobody", secret),
    }.get(who, reporting.briefing)
    changes = {
        "a made-up user": {"subject_token": "made-up"},
        "no user": {"subject_token": ""},
        "no such provider": {"audience": "nowhere"},
    }.get(who, {})
    for _ in range(3):
        answer = await reporting.ask(token, briefing=True, **changes)
        assert answer.status_code in {400, 401}
        assert token not in answer.text
    assert (reporting.refreshes, await reporting.works(token)) == (0, True)
    reporting.briefing = (BRIEFING_AGENT, secret)
    assert await reporting.token(token, briefing=True) != token, "and uses up no place"


async def test_what_is_shown_is_answered_alike_whether_it_is_the_token_or_a_guess(
    reporting: Reporting, clock: HandClock
) -> None:
    token = await reporting.token()
    for _ in range(MOST_OF_A_CLIENT):
        token = await reporting.token(token)
    answers = [(await reporting.ask(shown)).json() for shown in (token, f"{token[:-1]}x", "x", None)]
    assert [sorted(answer) for answer in answers] == [sorted(answers[0])] * 4
    assert {answer["access_token"] for answer in answers} == {token}


async def test_c4_a_host_that_is_left_alone_is_not_asked_by_anybodys_word(
    reporting: Reporting, replicas: tuple[str, str]
) -> None:
    token = await reporting.token()
    reporting.google.faults.token = "down"
    for _ in range(3 * MOST):
        for briefing in (False, True):
            answer = await reporting.ask(token, briefing=briefing)
            assert answer.status_code == 503
            assert int(answer.headers["retry-after"]) > 0
    assert reporting.refreshes <= MOST
    # Neither does it keep from anybody what is there.
    assert await reporting.token("a guess") == await reporting.token(briefing=True) == token
    reporting.google.faults.clear()


async def test_c7_no_token_after_a_disconnection_that_races_a_report(
    reporting: Reporting, replicas: tuple[str, str]
) -> None:
    earlier = len(reporting.google.grants.families)
    for round_ in range(10):
        account = await reporting.app.connect("google")
        token = await reporting.token()
        reports = [asyncio.create_task(reporting.ask(token, at=replicas[turn % 2])) for turn in range(4)]
        # From before the renewal is asked for to after it is stored, as the rounds go.
        await asyncio.sleep(0.004 * round_)
        assert (await reporting.app.http.delete(f"accounts/{account['id']}")).status_code == 204
        late = await asyncio.gather(*(reporting.ask(token, at=at) for at in replicas))
        assert {answer.json().get("reason") for answer in late} == {"reconnect_required"}
        assert {answer.status_code for answer in await asyncio.gather(*reports)} <= {200, 400}
    async with asyncio.timeout(20):
        while any(family.alive for family in reporting.google.grants.families[earlier:]):
            await asyncio.sleep(0.05)


async def test_what_is_shown_is_stored_nowhere(world_of_ours: World, reporting: Reporting) -> None:
    shown = ["a-made-up-token-to-look-for", await reporting.token()]
    for token in shown:
        await reporting.ask(token)
    reporting.google.faults.token = "down"
    await reporting.ask(await reporting.token(briefing=True))
    reporting.google.faults.clear()
    database = Database(world_of_ours.settings.database_url, pool_size=1)
    try:
        async with database.transaction() as connection:
            names = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
            tables = (await connection.execute(text(names))).scalars().all()
            readable = [
                table
                for table in tables
                if (await connection.execute(select(func.has_table_privilege(table, "SELECT")))).scalar_one()
            ]
            rows = [row for table in readable for row in (await connection.execute(text(everything(table)))).scalars()]
    finally:
        await database.aclose()
    assert {"replay", "connections"} <= set(readable)
    assert [table for table in readable if table.startswith("events")]
    for token in shown:
        assert not [row for row in rows if token in row or token.encode().hex() in row]


def everything(table: str) -> str:
    """Each row as text, bytes in hexadecimal digits."""
    return f"SELECT to_jsonb(each)::text FROM {table} AS each"  # noqa: S608 - the names are the database's own
