"""An account in each of its states, and an ETag that changes when the list does and never else (api.md §2)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.conftest import DatabaseUrls
from tests.support.clock import HandClock
from tests.wire.beside import vault_beside
from tests.wire.vault import App, Vault, bearer
from vaultd.sandbox.dev_config import SAMPLE_AGENT
from vaultd.sandbox.person import ACCOUNT_SCOPES
from vaultd.sandbox.world import World


class Person:
    """A user of a vault whose clock is moved by hand; `github` is the one account that they have."""

    def __init__(self, world: World, clock: HandClock) -> None:
        self.world = world
        self.clock = clock
        self.app = App(world)
        self.vault = Vault(world)
        self.provider = world.providers["github"]

    def later(self, **by: float) -> None:
        """Time passes; the app has a new session token."""
        self.clock.forward(**by)
        self.token = self.world.issuer.mint(self.app.user, azp=SAMPLE_AGENT, scope=ACCOUNT_SCOPES)
        self.app.http.headers.update(bearer(self.token))

    async def listed(self, etag: str | None = None) -> httpx.Response:
        headers = {} if etag is None else {"If-None-Match": etag}
        return await self.app.http.get("accounts", headers=headers)

    async def github(self) -> dict[str, Any]:
        (account,) = (await self.listed()).json()["accounts"]
        assert set(account) >= {"id", "connection", "access_type", "scopes", "created_at", "status", "account"}
        assert (account["connection"], account["access_type"]) == ("github", "offline")
        return dict(account)

    async def use(self) -> httpx.Response:
        """The agent uses the account, and its use is noted."""
        before = (await self.github()).get("last_used_at")
        answer = await self.vault.exchange(self.token)
        today = f"{self.clock().date()}T00:00:00Z"
        while answer.status_code == 200 and before != today and (await self.github()).get("last_used_at") != today:
            pass
        return answer

    async def close(self) -> None:
        await self.app.http.aclose()
        await self.vault.http.aclose()


@pytest.fixture(scope="module")
def clocked(
    world: World, module_database: DatabaseUrls, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[World, HandClock]]:
    clock, folder = HandClock(), tmp_path_factory.mktemp("clocked")
    with vault_beside(
        world, database_url=module_database.service, folder=folder, tables=lambda _: "", clock=clock
    ) as running:
        yield running, clock


@pytest.fixture
async def person(clocked: tuple[World, HandClock]) -> Any:
    world, clock = clocked
    # At noon, so that a day begins when a test says so.
    clock.now = datetime.combine(datetime.now(UTC).date(), datetime.min.time(), UTC) + timedelta(hours=12)
    person = Person(world, clock)
    person.later(seconds=1)
    yield person
    person.provider.faults.clear()
    person.provider.grants.offline = True
    await person.close()


async def test_api_2_connected_and_never_used(person: Person) -> None:
    made = await person.app.connect()
    account = await person.github()
    assert made == {name: account[name] for name in ("id", "connection", "access_type", "scopes", "created_at")}
    assert datetime.fromisoformat(account["created_at"]) == person.clock()
    assert (account["status"], bool(account["account"])) == ("connected", True)
    # vaultd renews its token: the account has no end of its own.
    assert not {"last_used_at", "expires_at"} & set(account)


async def test_api_2_a_list_stays_as_it_is_through_uses_and_renewals(person: Person) -> None:
    """An app asks with its ETag as often as it likes, and fetches the list again once something is different."""
    await person.app.connect()
    etag = (await person.listed()).headers["etag"]
    assert (await person.use()).status_code == 200
    used = await person.listed(etag)
    assert used.status_code == 200
    assert used.json()["accounts"][0]["last_used_at"] == f"{person.clock().date()}T00:00:00Z"
    etag = used.headers["etag"]
    refreshed = person.provider.calls["refresh"]
    for _ in range(2):
        person.later(seconds=600)
        assert (await person.use()).status_code == 200
        same = await person.listed(etag)
        assert (same.status_code, same.content) == (304, b"")
        assert (await person.listed()).content == used.content
    assert person.provider.calls["refresh"] == refreshed + 2
    person.later(days=1)
    assert (await person.use()).status_code == 200
    assert (await person.listed(etag)).status_code == 200
    assert (await person.github())["last_used_at"] == f"{person.clock().date()}T00:00:00Z"


async def test_api_2_reconnect_required_and_connected_again(person: Person) -> None:
    made = await person.app.connect()
    await person.use()
    before = await person.github()
    etag = (await person.listed()).headers["etag"]
    # The user takes it back at the provider; nobody here knows until the next use.
    family = person.provider.grants.families[-1]
    family.alive = False
    person.later(seconds=600)
    assert (await person.listed(etag)).status_code == 304
    refused = await person.use()
    assert refused.json()["reason"] == "reconnect_required"
    changed = await person.listed(etag)
    assert changed.status_code == 200
    assert changed.headers["etag"] != etag
    assert await person.github() == before | {"status": "reconnect_required"}
    # The same account again is the same one here.
    again = await person.app.connect()
    assert again["id"] == made["id"]
    assert await person.github() == before
    assert (await person.listed(etag)).status_code == 304


async def test_api_2_an_account_that_cannot_be_renewed_has_an_end(person: Person) -> None:
    none = (await person.listed()).headers["etag"]
    person.provider.grants.offline = False
    await person.app.connect()
    account = await person.github()
    assert (account["status"], account["expires_at"][-1]) == ("connected", "Z")
    ends = datetime.fromisoformat(account["expires_at"])
    assert ends == person.clock() + timedelta(seconds=300)
    kept = await person.listed(none)
    assert kept.status_code == 200
    person.later(seconds=299)
    assert (await person.listed(kept.headers["etag"])).status_code == 304
    person.later(seconds=1)
    # Nothing was written since: the same row, but its token is over.
    assert (await person.listed(kept.headers["etag"])).status_code == 200
    ended = await person.github()
    assert ended["status"] == "reconnect_required"
    assert "expires_at" not in ended
    etag = (await person.listed()).headers["etag"]
    assert (await person.vault.exchange(person.token)).json()["reason"] == "reconnect_required"
    # What the exchange has written into the row by now is what was said already.
    assert (await person.listed(etag)).status_code == 304


async def test_api_2_disconnected_and_connected_again(person: Person) -> None:
    empty = (await person.listed()).headers["etag"]
    account = await person.app.connect()
    etag = (await person.listed()).headers["etag"]
    assert (await person.app.http.delete(f"accounts/{account['id']}")).status_code == 204
    gone = await person.listed(etag)
    assert (gone.status_code, gone.json(), gone.headers["etag"]) == (200, {"accounts": []}, empty)
    again = await person.app.connect()
    assert (again["id"], again["created_at"]) == (account["id"], account["created_at"])


async def test_api_2_a_consent_is_completed_within_ten_minutes_or_not_at_all(person: Person) -> None:
    for late, status in ((599, 201), (600, 400)):
        begun = await person.app.begin()
        code = (await person.app.returned(begun))["connect_code"]
        person.later(seconds=late)
        assert (await person.app.complete(begun, code)).status_code == status, late


async def test_api_2_what_may_be_kept_and_by_whom(person: Person, app: App) -> None:
    await person.app.connect()
    whole, etag = await person.listed(), (await person.listed()).headers["etag"]
    for answer in (whole, await person.listed(etag)):
        assert answer.headers["cache-control"] == "private, no-cache"
        assert {name.strip() for name in answer.headers["vary"].split(",")} == {"Authorization", "Origin"}
        assert answer.headers["etag"] == etag
        assert "pragma" not in answer.headers
    # RFC 9110 §9.3.2: the same headers, no body
    head = await person.app.http.head("accounts")
    assert (head.status_code, head.content, head.headers["etag"]) == (200, b"", etag)
    assert (await person.app.http.head("accounts", headers={"If-None-Match": etag})).status_code == 304
    assert head.headers["content-length"] == str(len(whole.content))
    # Each page has its own, and an empty list of another user's is another one too.
    parts = [(await person.app.http.get("accounts", params=params)).headers["etag"] for params in ({"take": 1}, {})]
    assert parts == [etag, etag]
    none = [await each.http.get("accounts", params={"connection": "slack"}) for each in (person.app, app)]
    assert none[0].content == none[1].content
    assert none[0].headers["etag"] != none[1].headers["etag"]


async def test_api_2_a_refused_request_has_no_tag_and_is_never_a_304(person: Person) -> None:
    await person.app.connect()
    etag = (await person.listed()).headers["etag"]
    for headers, params, status in (
        (bearer("x"), {}, 401),
        ({"Authorization": ""}, {}, 401),
        ({}, {"take": "0"}, 400),
        (bearer(person.world.issuer.mint(person.app.user, azp=SAMPLE_AGENT)), {}, 403),
    ):
        for tag in (etag, "*"):
            answer = await person.app.http.get("accounts", params=params, headers={**headers, "If-None-Match": tag})
            assert answer.status_code == status
            assert "etag" not in answer.headers
            assert answer.headers["cache-control"] == "no-store"
