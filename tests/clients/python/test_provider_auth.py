"""Issue 7, item 1: the httpx `Auth`: a token per request, once again on the provider's 401, and to nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from tests.clients.python.conftest import Open
from tests.clients.python.speaking import Speaker
from tests.clients.python.test_keeping import form_of
from tests.wire.vault import App
from vaultd.refresh.claims import MOST_OF_A_CLIENT
from vaultd.sandbox.loopback import loopback_http
from vaultd.sandbox.servers import LoopbackServers
from vaultd.sandbox.world import World
from vaultd_client import OriginNotAllowed, ReconnectRequired

UNAUTHORIZED = 401


class Server:
    """Notes who came with what; `refuse` is how many requests are refused first. `/away` leads to `elsewhere`.

    Who comes with what is `revoked` is told so under status 200, as Slack does it.
    """

    def __init__(self, servers: LoopbackServers) -> None:
        self.came: list[str | None] = []
        self.refuse = 0
        self.revoked = ""
        self.elsewhere = ""
        paths = ("/", "/away", "/home")
        self.url = servers.serve(
            Starlette(routes=[Route(path, self._answer, methods=["GET", "POST"]) for path in paths])
        )

    async def _answer(self, request: Request) -> Response:
        self.came.append(request.headers.get("authorization"))
        if request.url.path == "/away":
            return RedirectResponse(self.elsewhere, 307)
        if request.url.path == "/home":
            return RedirectResponse("/", 307)
        if len(self.came) <= self.refuse:
            return PlainTextResponse("no", UNAUTHORIZED)
        if request.headers.get("authorization") == self.revoked:
            return JSONResponse({"ok": False, "error": "token_revoked"})
        return PlainTextResponse((await request.body()).decode() or "yes")


@pytest.fixture
def servers() -> Iterator[LoopbackServers]:
    with LoopbackServers() as running:
        yield running


@pytest.fixture
def api(servers: LoopbackServers) -> Server:
    return Server(servers)


@pytest.fixture
def other(servers: LoopbackServers, api: Server) -> Server:
    elsewhere = Server(servers)
    api.elsewhere = elsewhere.url
    return elsewhere


async def test_each_request_carries_a_token(world: World, app: App, speaker: Speaker) -> None:
    await app.connect()
    github = world.places.providers["github"]
    auth = speaker.client.auth("github", origins=[github], subject_token=app.session_token)
    for _ in range(3):
        answer = await speaker.provider_call(f"{github}/user", auth)
        assert (answer.status_code, answer.json()["login"]) == (200, "alice")
    assert speaker.wire.exchanges == 1


async def test_on_a_401_the_new_token_is_fetched_and_used(world: World, app: App, speaker: Speaker) -> None:
    """The user has disconnected and connected again meanwhile: the kept token is dead, the vault has another."""
    account = await app.connect()
    github = world.places.providers["github"]
    auth = speaker.client.auth("github", origins=[github], subject_token=app.session_token)
    await speaker.provider_call(f"{github}/user", auth)
    assert (await app.http.delete(f"accounts/{account['id']}")).status_code == 204
    await app.connect()
    await _until_dead(world, speaker, app)
    answers = await asyncio.gather(*(speaker.provider_call(f"{github}/user", auth) for _ in range(5)))
    assert {answer.status_code for answer in answers} == {200}
    assert speaker.wire.exchanges == 2


async def _until_dead(world: World, speaker: Speaker, app: App) -> None:
    token = await speaker.get(subject_token=app.session_token)
    async with asyncio.timeout(10):
        while world.providers["github"].grants.access(token.access_token) is not None:
            await asyncio.sleep(0.02)


async def test_on_a_401_the_user_may_have_to_act(world: World, app: App, speaker: Speaker) -> None:
    account = await app.connect()
    github = world.places.providers["github"]
    auth = speaker.client.auth("github", origins=[github], subject_token=app.session_token)
    await speaker.provider_call(f"{github}/user", auth)
    assert (await app.http.delete(f"accounts/{account['id']}")).status_code == 204
    await _until_dead(world, speaker, app)
    with pytest.raises(ReconnectRequired):
        await speaker.provider_call(f"{github}/user", auth)


async def test_a_token_that_dies_before_its_end_is_replaced_by_another(
    world: World, app: App, speaker: Speaker
) -> None:
    """Nobody told the vault: the provider ended it, and says so to whoever comes with it."""
    await app.connect()
    github = world.places.providers["github"]
    auth = speaker.client.auth("github", origins=[github], subject_token=app.session_token)
    assert (await speaker.provider_call(f"{github}/user", auth)).status_code == 200
    dead = await speaker.get(subject_token=app.session_token)
    world.providers["github"].grants.end_access_tokens()
    world.providers["github"].calls.clear()
    assert (await speaker.provider_call(f"{github}/user", auth)).status_code == 200
    assert world.providers["github"].calls["refresh"] == 1
    plain, reporting = (form_of(request) for request, _ in speaker.wire.sent)
    assert "refused_token" not in plain
    assert reporting == plain | {"refused_token": dead.access_token}
    fresh = await speaker.get(subject_token=app.session_token)
    assert fresh.access_token != dead.access_token, "its own copy is gone too"
    assert speaker.wire.exchanges == 2


async def test_many_calls_at_once_have_a_dead_token_renewed_once(world: World, app: App, speaker: Speaker) -> None:
    await app.connect()
    github = world.places.providers["github"]
    auth = speaker.client.auth("github", origins=[github], subject_token=app.session_token)
    assert (await speaker.provider_call(f"{github}/user", auth)).status_code == 200
    world.providers["github"].grants.end_access_tokens()
    world.providers["github"].calls.clear()
    answers = await asyncio.gather(*(speaker.provider_call(f"{github}/user", auth) for _ in range(10)))
    assert {answer.status_code for answer in answers} == {200}
    assert world.providers["github"].calls["refresh"] == 1


async def test_another_token_is_asked_for_once_in_each_call(app: App, speaker: Speaker, api: Server) -> None:
    """An API that says 401 to everything: its second answer stands."""
    await app.connect()
    api.refuse = 9
    auth = speaker.client.auth("github", origins=[api.url], subject_token=app.session_token)
    assert (await speaker.provider_call(api.url, auth)).status_code == UNAUTHORIZED
    assert (len(set(api.came)), len(api.came), speaker.wire.exchanges) == (2, 2, 2)


async def test_the_same_token_is_not_sent_twice(app: App, speaker: Speaker, api: Server) -> None:
    """The vault has no other, since it has renewed so often already: the provider's answer stands."""
    await app.connect()
    api.refuse = 99
    auth = speaker.client.auth("github", origins=[api.url], subject_token=app.session_token)
    for _ in range(MOST_OF_A_CLIENT):
        await speaker.provider_call(api.url, auth)
    api.came.clear()
    before = speaker.wire.exchanges
    assert (await speaker.provider_call(api.url, auth)).status_code == UNAUTHORIZED
    assert (len(api.came), speaker.wire.exchanges) == (1, before + 1)


async def test_another_origin_gets_nothing(app: App, speaker: Speaker, api: Server, other: Server) -> None:
    await app.connect()
    auth = speaker.client.auth("github", origins=[f"{api.url}/v1/"], subject_token=app.session_token)
    port = other.url.rpartition(":")[2]
    for url in (other.url, f"http://localhost:{port}/", api.url.replace("http:", "https:")):
        with pytest.raises(OriginNotAllowed, match="is not for"):
            await speaker.provider_call(url, auth)
    assert (other.came, speaker.wire.exchanges) == ([], 0)


async def test_a_redirect_takes_the_token_nowhere_else(app: App, speaker: Speaker, api: Server, other: Server) -> None:
    await app.connect()
    auth = speaker.client.auth("github", origins=[api.url], subject_token=app.session_token)
    answer = await speaker.provider_call(f"{api.url}/away", auth, follow_redirects=True)
    assert (answer.text, other.came) == ("yes", [None])
    assert str(api.came[0]).startswith("Bearer ")
    # Its 401 is not about the token, which it has never seen.
    other.came.clear()
    other.refuse = 9
    answer = await speaker.provider_call(f"{api.url}/away", auth, follow_redirects=True)
    assert (answer.status_code, other.came, speaker.wire.exchanges) == (UNAUTHORIZED, [None], 1)
    # Within the origin it stays.
    await speaker.provider_call(f"{api.url}/home", auth, follow_redirects=True)
    assert api.came[-2] == api.came[-1] == api.came[0]


async def test_a_body_is_sent_again_unless_it_was_a_stream(world: World, app: App, opened: Open, api: Server) -> None:
    await app.connect()
    speaker = opened()
    auth = speaker.client.auth("github", origins=[api.url], subject_token=app.session_token)

    async def post(*, again: bool) -> httpx.Response:
        api.came.clear()
        # A refused token, and another one at the vault: the user connects again between the two.
        await speaker.get(subject_token=app.session_token)
        listed = (await app.http.get("accounts", params={"connection": "github"})).json()["accounts"]
        await app.http.delete(f"accounts/{listed[0]['id']}")
        await app.connect()
        api.refuse = 1
        if speaker.kind == "threads":
            with httpx.Client(auth=auth, trust_env=False) as http:
                body = b"body" if again else iter([b"body"])
                return await asyncio.to_thread(http.post, api.url, content=body)
        async with loopback_http(auth=auth) as http:
            return await http.post(api.url, content=b"body" if again else _stream())

    assert ((await post(again=True)).text, len(api.came)) == ("body", 2)
    assert api.came[0] != api.came[1]
    before = speaker.wire.exchanges
    assert ((await post(again=False)).status_code, len(api.came)) == (UNAUTHORIZED, 1)
    assert speaker.wire.exchanges == before + 1, "it is told of all the same"
    assert f"Bearer {(await speaker.get(subject_token=app.session_token)).access_token}" != api.came[0]


def says_revoked(answer: httpx.Response) -> bool:
    return answer.text.startswith("{") and answer.json().get("error") == "token_revoked"


async def test_an_api_may_say_in_its_own_way_that_it_does_not_take_the_token(
    app: App, speaker: Speaker, api: Server
) -> None:
    await app.connect()
    plain = speaker.client.auth("github", origins=[api.url], subject_token=app.session_token)
    auth = speaker.client.auth("github", origins=[api.url], refuses=says_revoked, subject_token=app.session_token)
    assert (await speaker.provider_call(api.url, auth)).text == "yes"
    api.revoked = str(api.came[0])
    assert (await speaker.provider_call(api.url, plain)).json()["error"] == "token_revoked"
    assert speaker.wire.exchanges == 1, "without that, status 200 is good news"
    assert (await speaker.provider_call(api.url, auth)).text == "yes"
    assert (len(set(api.came)), len(api.came), speaker.wire.exchanges) == (2, 4, 2)


async def test_what_an_api_elsewhere_says_is_not_about_the_token(
    app: App, speaker: Speaker, api: Server, other: Server
) -> None:
    await app.connect()
    auth = speaker.client.auth("github", origins=[api.url], refuses=lambda _: True, subject_token=app.session_token)
    answer = await speaker.provider_call(f"{api.url}/away", auth, follow_redirects=True)
    assert (answer.text, len(api.came), speaker.wire.exchanges) == ("yes", 1, 1)


async def _stream() -> AsyncIterator[bytes]:
    yield b"body"


async def test_the_kinds_are_not_mixed(app: App, speaker: Speaker, api: Server) -> None:
    auth = speaker.client.auth("github", origins=[api.url], subject_token=app.session_token)
    async with loopback_http(auth=auth) as tasks:
        with httpx.Client(auth=auth, trust_env=False) as threads, pytest.raises(TypeError, match="VaultClient"):
            await tasks.get(api.url) if speaker.kind == "threads" else await asyncio.to_thread(threads.get, api.url)
    assert api.came == []


def test_origins_are_named_and_safe(speaker: Speaker) -> None:
    with pytest.raises(ValueError, match="at least one"):
        speaker.client.auth("github", origins=[])
    with pytest.raises(ValueError, match="not https"):
        speaker.client.auth("github", origins=["http://api.github.com"])
    with pytest.raises(TypeError, match="a list"):
        speaker.client.auth("github", origins="https://api.github.com")
