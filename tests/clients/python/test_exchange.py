"""Issue 7, item 1: getting tokens from a real vault, and what is raised when there is none."""

from __future__ import annotations

import asyncio
import copy
import pickle
from datetime import timedelta
from typing import Any

import pytest

from tests.clients.python.conftest import Open
from tests.clients.python.speaking import Speaker, agent
from tests.support.clock import HandClock
from tests.support.configured import changed_vault
from tests.wire.vault import App, Vault, consent, fresh, query_of, ticket_url
from vaultd.sandbox.dev_config import PROVIDER_SCOPES
from vaultd.sandbox.loopback import loopback_http
from vaultd.sandbox.world import World
from vaultd.terms import system_clock
from vaultd_client import (
    AccessToken,
    AccountAmbiguous,
    AwayUser,
    ClientSecretBasic,
    InteractionRequired,
    InvalidClient,
    InvalidRequest,
    InvalidScope,
    InvalidTarget,
    NoSubject,
    NotConnected,
    RateLimited,
    ReconnectRequired,
    Retry,
    ScopeMissing,
    TemporarilyUnavailable,
    VaultUnreachable,
    acting_for,
)

FOR_IDENTITY = {"google": ("openid", "https://www.googleapis.com/auth/userinfo.email")}
"""What vaultd itself asks for besides, as Google spells it."""

CALLS = {
    "github": "/user",
    "google": "/calendar/v3/calendars/primary/events",
    "slack": "/conversations.history?channel=general",
}


async def test_three_connections_three_tokens_that_the_providers_take(
    world: World, vault: Vault, app: App, speaker: Speaker
) -> None:
    for name in CALLS:
        await app.connect(name)
    tokens = await asyncio.gather(*(speaker.get(name, subject_token=app.session_token) for name in CALLS))
    async with loopback_http() as http:
        for (name, path), token in zip(CALLS.items(), tokens, strict=True):
            headers = {"Authorization": f"Bearer {token.access_token}"}
            answer = await http.get(world.places.providers[name] + path, headers=headers)
            assert (answer.status_code, answer.json().get("ok", True)) == (200, True), answer.text
            assert (token.connection, token.account) == (name, "alice@example.com")
            assert token.scopes == {*PROVIDER_SCOPES[name], *FOR_IDENTITY.get(name, ())}
            assert timedelta(0) < token.expires_at - system_clock() <= timedelta(seconds=300)
            assert token.connection_metadata == {}
    # Three exchanges, three audit events of this user's.
    who = {"subject_issuer": world.places.issuer, "subject": app.user, "type": "token.exchanged"}
    assert {event["connection"] for event in (await vault.audit(**who))["events"]} == set(CALLS)
    assert speaker.wire.exchanges == 3


async def test_the_user_may_stand_in_the_context(app: App, speaker: Speaker) -> None:
    await app.connect()
    with acting_for(app.session_token):
        assert (await speaker.get()).connection == "github"
    with pytest.raises(NoSubject):
        await speaker.get()
    assert (await speaker.get(subject_token=lambda: app.session_token)).connection == "github"


async def test_what_is_missing_is_said_with_reason_connection_and_link(app: App, speaker: Speaker) -> None:
    """api.md §1.5: `interaction_required`."""
    with pytest.raises(NotConnected) as missing:
        await speaker.get("slack", subject_token=app.session_token, scopes=["channels:history"])
    error = missing.value
    assert isinstance(error, InteractionRequired)
    assert (error.error, error.reason, error.connection, error.status) == (
        "interaction_required",
        "not_connected",
        "slack",
        400,
    )
    assert str(error) == "Slack is not connected. Connect it to continue."
    wanted = speaker.client.connect_url("slack", scopes=["channels:history"])
    assert error.connect_uri == wanted
    assert error.request_id
    # As any other error, it survives a pool of processes.
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    assert (type(again), again.connect_uri, str(again)) == (NotConnected, error.connect_uri, str(error))


async def test_disconnected_is_another_kind_than_never_connected(app: App, speaker: Speaker) -> None:
    account = await app.connect()
    assert (await app.http.delete(f"accounts/{account['id']}")).status_code == 204
    with pytest.raises(ReconnectRequired, match="Reconnect required"):
        await speaker.get(subject_token=app.session_token)


async def test_a_scope_that_was_not_granted_is_missing(world: World, app: App, speaker: Speaker) -> None:
    await _connect_with(app, ["read:user"])
    with pytest.raises(ScopeMissing) as missing:
        await speaker.get(subject_token=app.session_token, scopes=["repo"])
    assert missing.value.reason == "scope_missing"


async def _connect_with(app: App, scopes: list[str]) -> None:
    begun = await app.begin(scopes=scopes)
    came_back = await app.returned(begun)
    assert (await app.complete(begun, came_back["connect_code"])).status_code == 201


async def test_several_accounts_are_told_apart_by_a_hint(app: App, speaker: Speaker) -> None:
    for person in ("Alice", "Bob"):
        begun = await app.begin()
        async with app.browser() as browser:
            page = await consent(browser, ticket_url(begun), person=person)
        assert (await app.complete(begun, query_of(page.url)["connect_code"])).status_code == 201
    with pytest.raises(AccountAmbiguous) as several:
        await speaker.get(subject_token=app.session_token)
    assert several.value.accounts == ("alice@example.com", "bob@example.com")
    for hint in several.value.accounts:
        # Each under a name of its own in the cache.
        assert (await speaker.get(subject_token=app.session_token, login_hint=hint)).account == hint


@pytest.mark.parametrize(
    ("expected", "changes"),
    [
        (InvalidTarget, {"connection": "nowhere"}),
        (InvalidScope, {"scopes": ["admin:org"]}),
        (InvalidRequest, {"subject_token": "not a token"}),
    ],
)
async def test_refusals_have_a_type_each(
    app: App, speaker: Speaker, expected: type[Exception], changes: dict[str, Any]
) -> None:
    with pytest.raises(expected) as refused:
        await speaker.get(**({"subject_token": app.session_token} | changes))
    assert type(refused.value) is expected


async def test_a_wrong_secret_is_an_invalid_client(app: App, opened: Open) -> None:
    with pytest.raises(InvalidClient):
        await opened(auth=ClientSecretBasic("briefing-agent", "w" * 43)).get(subject_token=app.session_token)


async def test_no_answer_is_no_refusal_and_holds_no_secret(world: World, app: App, opened: Open) -> None:
    with pytest.raises(VaultUnreachable, match="ConnectError") as failed:
        await opened("http://127.0.0.1:9").get(subject_token=app.session_token)
    assert failed.value.__cause__ is None
    assert failed.value.__context__ is None
    for secret in (app.session_token, world.secrets.briefing_agent.reveal()):
        assert secret not in repr(failed.value)


async def test_nothing_that_is_handed_out_shows_its_secret(world: World, app: App, speaker: Speaker) -> None:
    await app.connect()
    token = await speaker.get(subject_token=app.session_token)
    seen = f"{token!r} {token} {speaker.client!r} {agent(world)!r}"
    for secret in (token.access_token, app.session_token, world.secrets.briefing_agent.reveal()):
        assert secret not in seen
    for keep in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError, match="not pickled"):
            keep(token)


async def test_a_limit_is_waited_out_as_the_vault_says(world: World, app: App, opened: Open) -> None:
    """429 `slow_down` with `Retry-After`, by a vault with a limit."""
    await app.connect()
    clock, slept = HandClock(), list[float]()

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock.forward(seconds=seconds)

    limit = "[clients.briefing-agent]"
    with changed_vault(world, {limit: limit + "\nlimits = {per_second = 0.1, burst = 1}"}, clock=clock) as url:
        patient = opened(url, clock=clock, sleep=sleep)
        assert await patient.get(subject_token=app.session_token)
        assert await patient.get(subject_token=app.session_token, scopes=["repo"])
        assert slept == [10]
        hasty = opened(url, clock=clock, sleep=sleep, retry=Retry(longest=9))
        with pytest.raises(RateLimited) as refused:
            await hasty.get(subject_token=app.session_token)
    assert (refused.value.retry_after, refused.value.error, slept) == (10, "slow_down", [10])
    assert hasty.wire.exchanges == 1


async def test_a_provider_that_is_down_is_asked_for_again_so_often(world: World, app: App, opened: Open) -> None:
    """503 `temporarily_unavailable`: the stored token has ended and the provider refreshes none."""
    await app.connect()
    clock, slept = HandClock(), list[float]()
    github = world.providers["github"]

    def mend(seconds: float) -> None:
        slept.append(seconds)
        clock.forward(seconds=seconds)
        if len(slept) == 3:
            github.faults.clear()

    clock.forward(minutes=10)
    github.faults.token = "down"
    try:
        with changed_vault(world, {}, clock=clock) as url:
            speaker = opened(url, clock=clock, sleep=mend, retry=Retry(times=1, longest=60))
            with pytest.raises(TemporarilyUnavailable) as refused:
                await speaker.get(subject_token=app.session_token)
            assert (len(slept), speaker.wire.exchanges) == (1, 2)
            assert refused.value.retry_after
            patient = opened(url, clock=clock, sleep=mend, retry=Retry(times=3, longest=60))
            assert (await patient.get(subject_token=app.session_token)).connection == "github"
            assert (len(slept), patient.wire.exchanges) == (3, 3)
    finally:
        github.faults.clear()


def test_links_to_the_door_are_made_without_asking(world: World, speaker: Speaker) -> None:
    """api.md §3."""
    url = speaker.client.connect_url(
        "github", return_to=f"{world.places.agent}/connected", scopes=["repo", "read:user"]
    )
    assert str(url).startswith(f"{world.places.vault}/auth/connect/github?")
    assert query_of(url) == {
        "client_id": "briefing-agent",
        "return_to": f"{world.places.agent}/connected",
        "scope": "read:user repo",
    }
    odd = speaker.client.connect_url("a/../b?c", login_hint="bob@example.com")
    assert (
        odd == f"{world.places.vault}/auth/connect/a%2F..%2Fb%3Fc?client_id=briefing-agent&login_hint=bob%40example.com"
    )
    assert not speaker.wire.sent


async def test_the_link_opens_the_door(world: World, app: App, speaker: Speaker) -> None:
    """The vault takes `return_to` and scopes as they are written, and sends the browser to sign in."""
    url = speaker.client.connect_url("github", return_to=f"{world.places.agent}/connected", scopes=["repo"])
    async with loopback_http() as http:
        answer = await http.get(url)
    assert (answer.status_code, answer.headers["location"].partition("?")[0]) == (
        303,
        f"{world.places.vault}/auth/login",
    )


@pytest.mark.parametrize(
    "url", ["http://vault.example.com", "https://u:p@vault.example.com", "ftp://127.0.0.1", "vault"]
)
def test_a_vault_that_others_could_listen_to_is_refused(opened: Open, url: str) -> None:
    with pytest.raises(ValueError, match=r"https|no user"):
        opened(url)


async def test_mistakes_of_the_programmer_are_named(app: App, speaker: Speaker) -> None:
    with pytest.raises(TypeError, match="a list of scopes"):
        await speaker.get(subject_token=app.session_token, scopes="repo")
    with pytest.raises(TypeError, match="PrivateKeyJwt"):
        await speaker.get(subject_token=AwayUser("alice"))


async def test_a_session_of_another_app_gets_nothing(world: World, speaker: Speaker) -> None:
    stranger = world.issuer.mint(fresh("user"), azp="another-app")
    with pytest.raises(InvalidRequest):
        await speaker.get(subject_token=stranger)


def test_a_token_is_a_value() -> None:
    at = system_clock()
    one, two = (AccessToken(access_token="t", expires_at=at, scope="b a", connection="x") for _ in range(2))
    assert one == two
    assert one.scopes == {"a", "b"}
