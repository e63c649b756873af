"""Issue 7, item 1: tokens are kept in memory until shortly before their end, and asked for once by many at a time."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import httpx
import pytest

from tests.clients.python.conftest import Open
from tests.clients.python.speaking import Kind, Speaker, Wire, agent
from tests.support.clock import HandClock
from tests.wire.vault import App
from vaultd.sandbox.dev_config import SAMPLE_AGENT
from vaultd.sandbox.world import World
from vaultd_client import AccessToken, AsyncVaultClient, Keep, NotConnected, VaultClient, VaultUnreachable


async def test_the_same_wish_is_met_from_memory_and_another_is_not(world: World, app: App, speaker: Speaker) -> None:
    await app.connect()
    mine = {"subject_token": app.session_token}
    token = await speaker.get(**mine)
    assert await speaker.get(**mine) is token
    assert await speaker.get(**mine, scopes=[]) is token
    assert speaker.wire.exchanges == 1
    narrow = await speaker.get(**mine, scopes=["repo", "read:user"])
    assert await speaker.get(**mine, scopes=["read:user", "repo", "repo"]) is narrow
    assert speaker.wire.exchanges == 2
    await speaker.get(**mine, login_hint="alice@example.com")
    assert speaker.wire.exchanges == 3
    # The same user with another session token has to show it to the vault first.
    await speaker.get(subject_token=world.issuer.mint(app.user, azp=SAMPLE_AGENT))
    assert speaker.wire.exchanges == 4


async def test_a_refusal_is_not_kept(app: App, speaker: Speaker) -> None:
    with pytest.raises(NotConnected):
        await speaker.get(subject_token=app.session_token)
    await app.connect()
    assert await speaker.get(subject_token=app.session_token)


async def test_a_token_is_kept_until_shortly_before_its_end(app: App, opened: Open) -> None:
    """GitHub's live 300 seconds in the sandbox: a tenth of that is 30, as is the margin."""
    await app.connect()
    clock = HandClock()
    speaker = opened(clock=clock)
    token = await speaker.get(subject_token=app.session_token)
    left = (token.expires_at - clock.now).total_seconds()
    clock.forward(seconds=left - left / 10 - 1)
    assert await speaker.get(subject_token=app.session_token) is token
    clock.forward(seconds=2)
    await speaker.get(subject_token=app.session_token)
    assert speaker.wire.exchanges == 2


@pytest.mark.parametrize(
    ("keep", "life", "subject_ends", "kept"),
    [
        (Keep(), 3600, None, 3570),
        (Keep(), 100, None, 90),
        (Keep(margin=5), 100, None, 95),
        (Keep(longest=60), 3600, None, 60),
        (Keep(), 3600, 10, 10),
        (Keep(), 0, None, 0),
    ],
)
def test_how_long(keep: Keep, life: int, subject_ends: int | None, kept: int) -> None:
    now = HandClock().now
    token = AccessToken(access_token="t", expires_at=now + timedelta(seconds=life), scope="", connection="x")
    ends = None if subject_ends is None else now + timedelta(seconds=subject_ends)
    assert keep.until(token, now=now, subject_end=ends) == now + timedelta(seconds=kept)


async def test_a_session_that_has_ended_gets_nothing_from_memory(world: World, app: App, opened: Open) -> None:
    """What a vault would refuse, the client does not hand out in its place."""
    await app.connect()
    clock = HandClock()
    speaker = opened(clock=clock)
    session = world.issuer.mint(app.user, azp=SAMPLE_AGENT, ttl=60)
    token = await speaker.get(subject_token=session)
    clock.forward(seconds=55)
    assert await speaker.get(subject_token=session) is token
    clock.forward(seconds=6)
    await speaker.get(subject_token=session)
    assert speaker.wire.exchanges == 2


async def test_memory_is_bounded_and_may_be_none(app: App, opened: Open) -> None:
    for name in ("github", "google", "slack"):
        await app.connect(name)
    small = opened(keep=Keep(size=2))
    # The one that was used longest ago has made room.
    for name in ("github", "google", "github", "slack", "github", "google"):
        await small.get(name, subject_token=app.session_token)
    assert [form_of(request)["audience"] for request, _ in small.wire.sent] == ["github", "google", "slack", "google"]
    none = opened(keep=Keep(size=0))
    for _ in range(2):
        await none.get(subject_token=app.session_token)
    assert none.wire.exchanges == 2


def form_of(request: httpx.Request) -> dict[str, str]:
    return dict(httpx.QueryParams(request.content.decode()))


async def test_nothing_leaves_the_memory_of_one_client(app: App, opened: Open, tmp_path: Any) -> None:
    await app.connect()
    first, second = opened(), opened()
    await first.get(subject_token=app.session_token)
    await second.get(subject_token=app.session_token)
    assert (first.wire.exchanges, second.wire.exchanges) == (1, 1)


async def test_a_token_that_the_provider_refused_is_asked_for_anew(app: App, speaker: Speaker) -> None:
    account = await app.connect()
    old = await speaker.get(subject_token=app.session_token)
    assert (await app.http.delete(f"accounts/{account['id']}")).status_code == 204
    await app.connect()
    assert await speaker.get(subject_token=app.session_token) is old
    new = await speaker.get(subject_token=app.session_token, instead_of=old)
    assert new.access_token != old.access_token
    assert form_of(speaker.wire.sent[-1][0])["refused_token"] == old.access_token
    # Who held the old one too gets the one that has come since, and no exchange more.
    assert await speaker.get(subject_token=app.session_token, instead_of=old) is new
    assert speaker.wire.exchanges == 2


async def test_who_reports_a_token_does_not_wait_for_who_has_none_yet(app: App, opened: Open) -> None:
    """An exchange that does not name it may bring the refused token once more."""
    await app.connect()
    speaker = opened(keep=Keep(size=0))
    old = await speaker.get(subject_token=app.session_token)
    plain, reporting = await asyncio.gather(
        speaker.get(subject_token=app.session_token),
        speaker.get(subject_token=app.session_token, instead_of=old),
    )
    assert reporting.access_token != old.access_token
    assert plain.access_token in {old.access_token, reporting.access_token}
    assert speaker.wire.exchanges == 3


async def test_many_at_once_cost_one_exchange(app: App, speaker: Speaker) -> None:
    """Single flight, among threads and among tasks."""
    await app.connect()
    if speaker.kind == "threads":
        together = threading.Barrier(20)

        def ask() -> AccessToken:
            together.wait(10)
            got: AccessToken = speaker.client.get_access_token("github", subject_token=app.session_token)
            return got

        with ThreadPoolExecutor(20) as pool:
            futures = [pool.submit(ask) for _ in range(20)]
            tokens = await asyncio.gather(*map(asyncio.wrap_future, futures))
    else:
        tokens = await asyncio.gather(*(speaker.get(subject_token=app.session_token) for _ in range(20)))
    assert len({token.access_token for token in tokens}) == 1
    assert speaker.wire.exchanges == 1


async def test_many_at_once_hear_of_one_refusal(app: App, speaker: Speaker) -> None:
    results = await asyncio.gather(
        *(speaker.get(subject_token=app.session_token) for _ in range(3)), return_exceptions=True
    )
    assert [type(result) for result in results] == [NotConnected] * 3


async def test_who_is_cancelled_takes_nobody_along(world: World, app: App) -> None:
    """The exchange is nobody's own: it goes on, and is kept."""
    await app.connect()
    wire = Wire()
    async with AsyncVaultClient(world.places.vault, auth=agent(world), transport=wire) as client:
        first, second = (
            asyncio.create_task(client.get_access_token("github", subject_token=app.session_token)) for _ in range(2)
        )
        await asyncio.sleep(0)
        first.cancel()
        assert (await second).connection == "github"
        assert first.cancelled() or first.cancelling()
        assert wire.exchanges == 1
        # Nobody waits for this one, and nothing is left of it when the client is closed.
        left = asyncio.create_task(client.get_access_token("github", subject_token=app.session_token, scopes=["repo"]))
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await left


def test_a_thread_that_is_interrupted_interrupts_no_other(world: World) -> None:
    """A Ctrl-C is raised where it fell; who waited gets an error of ours."""
    entered, release = threading.Event(), threading.Event()

    def interrupt(_: httpx.Request) -> None:
        entered.set()
        assert release.wait(10)
        raise KeyboardInterrupt

    def ask() -> object:
        try:
            return client.get_access_token("github", subject_token="s")
        except (KeyboardInterrupt, VaultUnreachable) as error:
            return type(error)

    with (
        VaultClient(world.places.vault, auth=agent(world), transport=Wire(interrupt)) as client,
        ThreadPoolExecutor(2) as pool,
    ):
        leading = pool.submit(ask)
        assert entered.wait(10)
        waiting = pool.submit(ask)
        release.set()
        # Whoever comes after the first has landed leads a flight of its own, and is interrupted as well.
        assert leading.result() is KeyboardInterrupt
        assert waiting.result() in {VaultUnreachable, KeyboardInterrupt}


@pytest.mark.parametrize("kind", ["asyncio"])
async def test_three_tools_ask_side_by_side(app: App, opened: Open, kind: Kind) -> None:
    """Three exchanges are under way at the same time: none is sent before the other two are ready."""
    for name in ("github", "google", "slack"):
        await app.connect(name)
    together = asyncio.Barrier(3)

    class Meeting(Wire):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            async with asyncio.timeout(10):
                await together.wait()
            return await super().handle_async_request(request)

    speaker = opened(transport=Meeting())
    names = ("github", "google", "slack")
    tokens = await asyncio.gather(*(speaker.get(name, subject_token=app.session_token) for name in names))
    assert [token.connection for token in tokens] == list(names)
