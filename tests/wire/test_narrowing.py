"""A7 over HTTP: no token leaves with a scope outside the client's list, narrowed at the provider where that can be.

Two replicas know the sandbox's `github` as a provider that narrows, a third vault knows it as one that cannot. All work
on one database, so that a connection made once is seen by each of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from tests.support.exchanging import agent_http, events_of, exchange_form, make_healthy
from tests.wire.vault import App
from vaultd.app import create_app
from vaultd.db import Database
from vaultd.sandbox.dev_config import SAMPLE_AGENT
from vaultd.sandbox.grants import Access
from vaultd.sandbox.provider import SandboxProvider
from vaultd.sandbox.servers import LoopbackServers, listen
from vaultd.sandbox.world import World, start_world
from vaultd.settings import load
from vaultd.terms import Scopes, Secret

SECRET = "a secret for the clients of this test, long enough"
CLIENTS = {
    "whole": '["repo", "read:user"]',
    "reader": '["read:user"]',
    "lenient": '{scopes = ["read:user"], on_wider_grant = "allow"}',
    "stranger": '["gist"]',
    "foreigner": '{scopes = ["gist"], on_wider_grant = "allow"}',
}
"""What each may have at github. Users grant `repo` and `read:user`."""
STALE = timedelta(seconds=30)
"""Below the margin of 60 s: a token of this life counts as stale and is still good."""


@dataclass(frozen=True, slots=True)
class Vaults:
    """URLs: two replicas that can narrow, and a vault that cannot."""

    narrowing: str
    replica: str
    plain: str


@pytest.fixture(scope="module")
def shared() -> Iterator[World]:
    with start_world() as world:
        yield world


@pytest.fixture(scope="module")
def vaults(shared: World) -> Iterator[Vaults]:
    with LoopbackServers() as servers:
        yield Vaults(*(_serve(servers, shared, narrows) for narrows in (True, True, False)))


def _serve(servers: LoopbackServers, world: World, narrows: bool) -> str:  # noqa: FBT001 - the one thing that differs
    listener = listen()
    written = (world.folder / "vaultd.toml").read_text(encoding="utf-8")
    written = written.replace(f'public_url = "{world.places.vault}"', f'public_url = "{listener.url}"')
    if narrows:
        written = written.replace("[providers.github]\n", '[providers.github]\nnarrowing = "refresh"\n')
    for name, entry in CLIENTS.items():
        written += f'\n[clients.{name}]\nauth = "client_secret_basic"\nsecret = "{SECRET}"\n'
        written += f'subject_azp = ["{SAMPLE_AGENT}"]\nproviders = {{github = {entry}}}\n'
    config = world.folder / f"{listener.port}.toml"
    config.write_text(written, encoding="utf-8")
    return servers.serve(create_app(load(config, environ={}, allow_literal_secrets=True)), listener)


@dataclass(frozen=True, slots=True)
class Told:
    """An answer of the token endpoint, and what the provider says of the token in it."""

    answer: httpx.Response
    provider: SandboxProvider

    @property
    def token(self) -> str:
        assert self.answer.status_code == 200, self.answer.text
        token: str = self.answer.json()["access_token"]
        return token

    @property
    def access(self) -> Access | None:
        return self.provider.grants.access(self.token)

    def carries(self, scopes: str) -> None:
        """The token is good, carries exactly these scopes, and the answer says so."""
        assert self.access is not None
        assert self.access.scopes == Scopes.parse(scopes)
        assert self.answer.json()["scope"] == str(Scopes.parse(scopes))
        assert 0 < self.answer.json()["expires_in"] <= self.provider.grants.ttl.total_seconds()

    def is_invalid_scope(self) -> None:
        assert (self.answer.status_code, self.answer.json()["error"]) == (400, "invalid_scope")
        assert "access_token" not in self.answer.json()


class Asking:
    """A connected user, and short ways to ask for their tokens."""

    def __init__(self, world: World, vaults: Vaults, app: App, account: dict[str, Any]) -> None:
        self.world = world
        self.vaults = vaults
        self.app = app
        self.account = account["id"]
        self.provider = world.providers["github"]
        self.session = Secret(app.session_token)

    async def ask(self, client: str, scope: str | None = None, *, at: str | None = None) -> Told:
        (told,) = await self.ask_all([(client, scope, at or self.vaults.narrowing)])
        return told

    async def ask_all(self, asks: list[tuple[str, str | None, str]]) -> list[Told]:
        async with agent_http() as http:
            answers = await asyncio.gather(*(self._post(http, *one) for one in asks))
        return [Told(answer, self.provider) for answer in answers]

    async def _post(self, http: httpx.AsyncClient, client: str, scope: str | None, at: str) -> httpx.Response:
        form = exchange_form(self.session, "github") | ({} if scope is None else {"scope": scope})
        return await http.post(f"{at}/oauth/token", data=form, auth=(client, SECRET))

    async def newest(self, kind: str) -> dict[str, Any]:
        return (await events_of(self.world, kind, "github"))[0]

    async def kept(self) -> list[str]:
        """The scopes of the narrowed tokens that are kept."""
        query = text("SELECT scopes FROM narrowed_tokens WHERE connection_id = :id ORDER BY scopes")
        database = Database(self.world.settings.database_url, pool_size=1)
        try:
            async with database.transaction() as connection:
                return list((await connection.execute(query, {"id": self.account})).scalars())
        finally:
            await database.aclose()

    async def reconnect(self) -> None:
        assert (await self.app.connect("github"))["id"] == self.account
        self.provider.calls.clear()

    @property
    def refreshes(self) -> int:
        return self.provider.calls["refresh"]

    @property
    def family(self) -> Any:
        """The user's grant at the provider; the newest, as each test connects anew."""
        return self.provider.grants.families[-1]


@pytest.fixture
async def asking(shared: World, vaults: Vaults) -> Any:
    make_healthy(shared.providers["github"])
    async with App(shared) as app:
        made = Asking(shared, vaults, app, await app.connect("github"))
        made.provider.calls.clear()
        yield made


async def test_a7_a_grant_within_the_list_leaves_as_it_is(asking: Asking) -> None:
    for scope in (None, "repo read:user", ""):
        (await asking.ask("whole", scope)).carries("repo read:user")
    assert asking.refreshes == 0
    assert await asking.kept() == []


async def test_a7_fewer_scopes_asked_for_are_what_leaves(asking: Asking) -> None:
    """api.md §1.1: `scope` is what the token really carries."""
    stored = (await asking.ask("whole")).token
    told = await asking.ask("whole", "read:user")
    told.carries("read:user")
    event = await asking.newest("token.exchanged")
    assert (event["scopes"], event["requested_scopes"]) == (["read:user"], ["read:user"])
    narrowed = await asking.newest("token.refreshed")
    assert (narrowed["reason"], narrowed["scopes"], narrowed["revision"]) == ("narrowed", ["read:user"], 2)
    assert (await asking.ask("whole")).token == stored, "the stored token is what it was"


async def test_a7_a_grant_wider_than_the_list_is_narrowed_to_the_list(asking: Asking) -> None:
    for scope in (None, "read:user"):
        (await asking.ask("reader", scope)).carries("read:user")
    assert (await asking.newest("token.exchanged"))["scopes"] == ["read:user"]


async def test_a7_a_narrowed_token_is_kept_and_shared_by_clients_and_replicas(asking: Asking) -> None:
    first = await asking.ask("reader")
    again = await asking.ask_all(
        [
            ("reader", None, asking.vaults.replica),
            ("whole", "read:user", asking.vaults.narrowing),
            ("lenient", None, asking.vaults.narrowing),
        ]
    )
    assert {told.token for told in again} == {first.token}
    assert asking.refreshes == 1


async def test_a7_and_c5_a_hundred_at_once_over_two_replicas_narrow_once(asking: Asking) -> None:
    asks = [("reader", None, at) for _ in range(50) for at in (asking.vaults.narrowing, asking.vaults.replica)]
    tokens = {told.token for told in await asking.ask_all(list(asks))}
    assert len(tokens) == 1
    assert asking.refreshes == 1


async def test_a7_and_c5_two_sets_of_scopes_at_once_use_up_no_refresh_token_twice(asking: Asking) -> None:
    """Each rotates the refresh token, so that the later one must find the earlier one's in the row."""
    places = (asking.vaults.narrowing, asking.vaults.replica)
    asks = [("whole", scope, at) for _ in range(10) for scope in ("repo", "read:user") for at in places]
    for (_, scope, _), told in zip(asks, await asking.ask_all(list(asks)), strict=True):
        told.carries(scope)
    assert asking.refreshes == 2
    assert not asking.family.reuse_detected
    assert await asking.kept() == ["read:user", "repo"]


async def test_a7_and_c5_narrowing_and_refreshing_at_once(asking: Asking) -> None:
    asking.provider.grants.ttl = STALE
    await asking.reconnect()
    asking.provider.grants.ttl = timedelta(seconds=300)
    places = (asking.vaults.narrowing, asking.vaults.replica)
    asks = [("whole", scope, at) for _ in range(10) for scope in (None, "read:user") for at in places]
    for (_, scope, _), told in zip(asks, await asking.ask_all(list(asks)), strict=True):
        told.carries(scope or "repo read:user")
        assert told.answer.json()["expires_in"] > 60, "neither is served from the token that is about to end"
    assert asking.refreshes == 2
    assert not asking.family.reuse_detected


async def test_a7_a_provider_that_does_not_rotate(asking: Asking) -> None:
    asking.provider.grants.rotate = False
    for scope in ("repo", "read:user"):
        (await asking.ask("whole", scope)).carries(scope)
    (await asking.ask("whole")).carries("repo read:user")


async def test_a7_a_scope_outside_the_list(asking: Asking) -> None:
    for client, scope in (("reader", "repo"), ("reader", "read:user repo"), ("whole", "gist"), ("whole", "*")):
        (await asking.ask(client, scope)).is_invalid_scope()
        assert (await asking.newest("token.refused"))["reason"] == "scope_not_allowed"
    assert asking.refreshes == 0


async def test_a7_a_scope_of_the_list_that_the_user_never_granted(asking: Asking) -> None:
    told = await asking.ask("stranger", "gist")
    assert (told.answer.status_code, told.answer.json()["reason"]) == (400, "scope_missing")


@pytest.mark.parametrize("client", ["stranger", "foreigner"])
async def test_a7_nothing_in_common_with_the_grant(asking: Asking, client: str) -> None:
    (await asking.ask(client)).is_invalid_scope()
    assert (await asking.newest("token.refused"))["reason"] == "no_scope_in_common"
    assert asking.refreshes == 0


async def test_a7_where_the_provider_cannot_narrow(asking: Asking) -> None:
    """api.md §1.1: the whole token, provided all of it lies within the list; else none, or `on_wider_grant`."""
    plain = asking.vaults.plain
    for scope in (None, "read:user"):
        (await asking.ask("whole", scope, at=plain)).carries("repo read:user")
        (await asking.ask("lenient", scope, at=plain)).carries("repo read:user")
        (await asking.ask("reader", scope, at=plain)).is_invalid_scope()
        assert (await asking.newest("token.refused"))["reason"] == "wider_grant"
    (await asking.ask("stranger", at=plain)).is_invalid_scope()
    (await asking.ask("foreigner", at=plain)).carries("repo read:user")
    assert asking.refreshes == 0


async def test_a7_a_client_that_may_have_more_gets_the_narrowed_one_all_the_same(asking: Asking) -> None:
    (await asking.ask("lenient")).carries("read:user")


async def test_a7_a_provider_that_answers_wider_than_asked(asking: Asking) -> None:
    """What the token really carries decides, and what was got once is not asked for again."""
    asking.provider.faults.token = "widen"
    for _ in range(2):
        (await asking.ask("reader")).is_invalid_scope()
        assert (await asking.newest("token.refused"))["reason"] == "wider_grant"
    assert (await asking.newest("token.refreshed"))["scopes"] == ["read:user", "repo"]
    assert asking.refreshes == 1
    (await asking.ask("lenient")).carries("repo read:user")
    assert (await asking.newest("token.exchanged"))["scopes"] == ["read:user", "repo"]
    (await asking.ask("whole", "read:user")).carries("repo read:user")
    assert asking.refreshes == 1


async def test_a7_a_provider_that_refuses_to_narrow_breaks_nothing(asking: Asking) -> None:
    asking.family.scopes = Scopes({"repo"})
    for _ in range(2):
        (await asking.ask("reader")).is_invalid_scope()
        assert (await asking.newest("token.refused"))["reason"] == "narrowing_refused"
    (await asking.ask("whole", "repo")).carries("repo")
    (await asking.ask("whole")).carries("repo read:user")


async def test_c3_a_grant_that_is_over_asks_for_a_reconnection(asking: Asking) -> None:
    assert (await asking.ask("whole", "repo")).token
    asking.family.alive = False
    for client in ("reader", "whole"):
        told = await asking.ask(client)
        assert (told.answer.status_code, told.answer.json()["reason"]) == (400, "reconnect_required")
    assert (await asking.newest("connection.broken"))["reason"] == "invalid_grant"
    assert await asking.kept() == [], "broken: what was narrowed is gone in the same transaction"
    await asking.reconnect()
    (await asking.ask("reader")).carries("read:user")


@pytest.mark.parametrize("fault", ["down", "slow_down", "html", "drop", "error_in_200"])
async def test_c4_without_the_provider_a_narrowed_token_that_is_still_good_is_served(
    asking: Asking, fault: str
) -> None:
    asking.provider.grants.ttl = STALE
    first = await asking.ask("reader")
    asking.provider.faults.token = fault  # type: ignore[assignment]  # pydantic checks it
    second = await asking.ask("reader")
    assert second.token == first.token
    assert 0 < second.answer.json()["expires_in"] <= 30
    other = await asking.ask("whole", "repo")
    assert (other.answer.status_code, other.answer.json()["error"]) == (503, "temporarily_unavailable")
    assert int(other.answer.headers["retry-after"]) > 0
    asking.provider.faults.clear()
    (await asking.ask("whole", "repo")).carries("repo")


async def test_a7_a_narrowed_token_that_has_ended_is_replaced(asking: Asking) -> None:
    asking.provider.grants.ttl = timedelta(seconds=1)
    first, other = await asking.ask("reader"), await asking.ask("whole", "repo")
    await asyncio.sleep(1.1)
    assert (first.access, other.access) == (None, None)
    asking.provider.grants.ttl = timedelta(seconds=300)
    (await asking.ask("reader")).carries("read:user")
    assert await asking.kept() == ["read:user"], "the other that has ended is forgotten"


async def test_a7_a_stored_token_that_has_ended_does_not_matter(asking: Asking) -> None:
    asking.provider.grants.ttl = timedelta(seconds=1)
    await asking.reconnect()
    asking.provider.grants.ttl = timedelta(seconds=300)
    await asyncio.sleep(1.1)
    (await asking.ask("reader")).carries("read:user")
    assert asking.refreshes == 1
    (await asking.ask("whole")).carries("repo read:user")
    assert asking.refreshes == 2


async def test_c6_a_rotation_whose_answer_was_lost(asking: Asking) -> None:
    asking.provider.faults.token = "drop_after"
    assert (await asking.ask("reader")).answer.status_code == 503
    asking.provider.faults.clear()
    told = await asking.ask("reader")
    assert (told.answer.status_code, told.answer.json()["reason"]) == (400, "reconnect_required")
    assert (await asking.newest("connection.broken"))["reason"] == "rotation_lost"


async def test_c6_a_rotation_whose_answer_was_lost_is_made_good_by_a_grace(asking: Asking) -> None:
    asking.provider.grants.reuse_grace = timedelta(seconds=60)
    asking.provider.faults.token = "drop_after"
    assert (await asking.ask("reader")).answer.status_code == 503
    asking.provider.faults.clear()
    (await asking.ask("reader")).carries("read:user")
    (await asking.ask("whole")).carries("repo read:user")


async def test_c7_disconnecting_ends_the_narrowed_tokens_too(asking: Asking) -> None:
    told = [await asking.ask("whole", "repo"), await asking.ask("reader")]
    assert (await asking.app.http.delete(f"accounts/{asking.account}")).status_code == 204
    assert await asking.kept() == []
    refused = await asking.ask("reader")
    assert (refused.answer.status_code, refused.answer.json()["reason"]) == (400, "reconnect_required")
    # The refresh token, the stored token and the two narrowed ones, each told to the provider by itself.
    async with asyncio.timeout(20):
        while asking.provider.calls["revoke"] < 4:
            await asyncio.sleep(0.05)
    assert [one.access for one in told] == [None, None]


async def test_c7_reconnecting_forgets_what_was_narrowed_from_the_grant_before(asking: Asking) -> None:
    before = await asking.ask("reader")
    assert await asking.kept() == ["read:user"]
    await asking.reconnect()
    assert await asking.kept() == []
    after = await asking.ask("reader")
    after.carries("read:user")
    assert after.token != before.token


async def test_d2_a_kept_row_holds_no_token_in_the_clear(asking: Asking) -> None:
    token = (await asking.ask("reader")).token
    database = Database(asking.world.settings.database_url, pool_size=1)
    try:
        async with database.transaction() as connection:
            rows = (await connection.execute(text("SELECT narrowed_tokens::text FROM narrowed_tokens"))).scalars().all()
    finally:
        await database.aclose()
    assert rows
    assert not any(token in row or token.encode().hex() in row for row in rows)
