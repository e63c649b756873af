"""Every refusal is an event, by its real reason: counted before it is known who asks, one each after (security A11)."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from fastapi.routing import APIRoute

from tests.support.clock import HandClock
from tests.wire.beside import Log, More
from tests.wire.refusing import CASES, ME, NO_EVENT, SLOW_APP, TABLES, Asker
from tests.wire.vault import ACCESS_TOKEN, TOKEN_EXCHANGE, App, bearer, fresh, request_id
from vaultd.app.factory import create_app
from vaultd.audit.events import rfc3339
from vaultd.sandbox.browser import Browser
from vaultd.sandbox.dev_config import SAMPLE_AGENT
from vaultd.sandbox.world import World
from vaultd.web.openapi import document
from vaultd.web.refused import RecordingRoute

NOTHING_TO_REFUSE = {
    "/.well-known/oauth-authorization-server": "what everybody may read",
    "/.well-known/openid-configuration": "what everybody may read",
    "/.well-known/jwks.json": "what everybody may read",
    "/health/live": "what everybody may ask",
    "/health/ready": "what everybody may ask",
    "/openapi.json": "what everybody may read",
    "/docs": "what everybody may read",
    "/docs/style.css": "what everybody may read",
    "/connections/style.css": "what everybody may read",
    "/connections/brand.css": "what everybody may read",
    "/connections/logo": "what everybody may read",
    "/connections/logo-dark": "what everybody may read",
}
RECORDS_ITSELF = {
    "/oauth/token": "in front of the framework; its callers read OAuth's errors",
    "/auth/login/backchannel": "its caller reads OAuth's errors",
}

NOBODYS = "6f0d3a8e-6b1f-4c0e-9d3c-2f4b5a697887"
"""An account that nobody has; one name, so that every worker knows these cases by it."""


@pytest.fixture(scope="module")
def more() -> More:
    return More(tables=TABLES)


@pytest_asyncio.fixture
async def log(timed: World, clock: HandClock) -> AsyncIterator[Log]:
    async with Log(timed, clock) as speaking:
        yield speaking


@pytest_asyncio.fixture
async def app(timed: World) -> AsyncIterator[App]:
    async with App(timed) as speaking:
        yield speaking


@pytest_asyncio.fixture
async def carol(timed: World) -> AsyncIterator[Browser]:
    """Signed in."""
    async with Browser() as browser:
        await browser.open(f"{timed.places.vault}/connections")
        await browser.click("Carol")
        yield browser


def test_every_refusal_of_the_document_is_tried() -> None:
    described = document(public_url="https://vault.example.com", version="1")
    refusals = {
        (operation["operationId"], int(status))
        for methods in described["paths"].values()
        for operation in methods.values()
        for status in operation["responses"]
        if status.startswith("4")
    }
    assert refusals == CASES.keys() | NO_EVENT.keys()


@pytest.mark.parametrize(("operation", "status"), CASES)
async def test_a_refusal_is_one_event_and_says_who_and_why(log: Log, operation: str, status: int) -> None:
    case, asker = CASES[operation, status], Asker(log)
    answer, event = await log.refusal(case.ask(asker))
    assert answer.status_code == status, answer.text
    assert (event["type"], event["reason"], event.get("client_id")) == (case.type, case.reason, case.client)
    assert event.get("subject", {}).get("sub") == (asker.user if case.user else None)
    if case.user:
        assert event["ip"] == "127.0.0.1"


async def test_every_route_records_what_it_refuses_or_has_nothing_to_refuse(timed: World) -> None:
    front = create_app(timed.settings)
    async with front.framework.router.lifespan_context(front.framework):
        routes = list(_all(front.framework.routes))
    recording = {route.path for route in routes if isinstance(route, RecordingRoute)}
    others = {route.path for route in routes if not isinstance(route, RecordingRoute)}
    assert others == NOTHING_TO_REFUSE.keys() | RECORDS_ITSELF.keys()
    assert {"/auth/logout", "/connections/away", "/notices/{provider}", "/v1/keys", f"{ME}/connect"} <= recording


def _all(routes: list[Any]) -> Iterator[APIRoute]:
    for route in routes:
        included = getattr(route, "original_router", None)
        if included is None:
            yield route
        else:
            yield from _all(included.routes)


async def test_the_six_that_once_left_none(log: Log, app: App, clock: HandClock) -> None:
    """A user's token without the scope at two calls, another's account, another's address, and no operator twice."""
    account, reading = await app.connect(), "read:me:connected_accounts"
    poor = {
        scope: bearer(log.world.issuer.mint(app.user, azp=SAMPLE_AGENT, scope=scope))
        for scope in (reading, "delete:me:connected_accounts")
    }
    asker = Asker(log)
    clock.forward(seconds=60 - clock.now.second)
    asked = [
        await asker.ask("GET", f"{ME}/accounts", headers=poor["delete:me:connected_accounts"]),
        await asker.ask("DELETE", f"{ME}/accounts/{account['id']}", headers=poor[reading]),
        await asker.ask("DELETE", f"{ME}/accounts/{account['id']}", headers=asker.session()),
        await app.begin(redirect_uri="https://evil.example/"),
        await asker.ask("GET", "/v1/keys", headers=bearer(app.session_token)),
        await asker.ask("GET", "/v1/audit/events"),
    ]
    assert [answer.status_code for answer in asked] == [403, 403, 404, 400, 401, 401]
    told = [event for answer in asked for event in await log.events_of(answer)]
    assert [(event["type"], event["reason"]) for event in told] == [
        ("account.refused", "insufficient_scope"),
        ("account.refused", "insufficient_scope"),
        ("account.refused", "not_found"),
        ("account.refused", "redirect_uri"),
        ("operator.refused", "bad_algorithm"),
        ("operator.refused", "no_token"),
    ]
    # Whose account was named is told where it is the caller's own, and nowhere else.
    assert [event.get("connection_id") for event in told] == [None, account["id"], None, None, None, None]
    assert [event.get("connection") for event in told] == [None, "github", None, "github", None, None]
    assert "evil.example" not in str(told)


class TestFloods:
    """What somebody may invent makes no kind of its own."""

    async def flood(self, log: Log, clock: HandClock, *requests: dict[str, Any]) -> list[dict[str, Any]]:
        """Send these from one address within a minute; gives the events of that minute so far."""
        clock.forward(seconds=60 - clock.now.second)
        begun = rfc3339(clock.now)
        for start in range(0, len(requests), 50):
            answers = await asyncio.gather(*(log.http.request(**each) for each in requests[start : start + 50]))
            assert {answer.status_code for answer in answers} <= {400, 401}
        events = (await log.audit(since=begun, decision="refused", limit=500))["events"]
        # Counts of earlier minutes may be written meanwhile.
        return [event for event in events if event.get("window", begun) >= begun]

    @pytest.mark.parametrize(("path", "times"), [(f"{ME}/accounts", 2_000), ("/v1/keys", 400)])
    async def test_invented_tokens(self, log: Log, clock: HandClock, path: str, times: int) -> None:
        kinds = (
            secrets.token_urlsafe,
            lambda: ".".join(secrets.token_urlsafe() for _ in range(3)),
            lambda: log.world.issuer.mint(fresh("user"), claims={"iss": f"https://{fresh('x')}.example"}),
            lambda: log.world.issuer.mint(fresh("user"), ttl=-600),
        )
        tokens = [kinds[number % len(kinds)]() for number in range(times)]
        events = await self.flood(
            log, clock, *({"method": "GET", "url": path, "headers": bearer(token)} for token in tokens)
        )
        assert len(events) <= len(kinds)
        assert not any("subject" in event or "client_id" in event for event in events)

    @pytest.mark.parametrize(("grant", "times"), [(TOKEN_EXCHANGE, 2_000), ("client_credentials", 400)])
    async def test_invented_client_ids(self, log: Log, clock: HandClock, grant: str, times: int) -> None:
        form = {"grant_type": grant, "subject_token": "x", "subject_token_type": ACCESS_TOKEN, "audience": "github"}
        events = await self.flood(
            log,
            clock,
            *({"method": "POST", "url": "/oauth/token", "data": form, "auth": (fresh("x"), "x")} for _ in range(times)),
        )
        (event,) = events
        assert (event["reason"], event.get("client_id")) == ("unknown_client", None)

    @pytest.mark.parametrize(
        ("method", "path", "reason"),
        [
            ("GET", "/auth/callback/{}?state=x", "state"),
            ("GET", "/auth/connect/{}?client_id=x", "client"),
            ("GET", "/auth/connect?ticket={}", "ticket"),
            ("GET", "/auth/login/callback?state={}", "state"),
            ("POST", "/connections/{}/disconnect", "csrf"),
            ("DELETE", "/v1/connections/{}", "no_token"),
            ("DELETE", f"{ME}/accounts/{{}}", "no_token"),
        ],
    )
    async def test_invented_names_in_urls(
        self, log: Log, clock: HandClock, method: str, path: str, reason: str
    ) -> None:
        urls = [path.format(fresh("x")) for _ in range(100)]
        (event,) = await self.flood(log, clock, *({"method": method, "url": url} for url in urls))
        assert (event["reason"], event.get("connection")) == (reason, None)


async def test_a8_whether_a_client_exists_is_not_told_by_what_is_written_at_once(log: Log, clock: HandClock) -> None:
    """After a first failure of this minute, a known client's leaves no event at once, and neither does an unknown's."""
    asker, form = Asker(log), {"grant_type": "client_credentials"}
    clock.forward(seconds=60 - clock.now.second)
    names = (fresh("nobody"), SLOW_APP, fresh("nobody"))
    asked = [await asker.ask("POST", "/oauth/token", data=form, auth=(name, "x")) for name in names]
    assert len({answer.content for answer in asked}) == 1
    assert [len(await log.events_of(answer)) for answer in asked] == [1, 0, 0]


class TestForms:
    """A form proves that its person wants what it asks for; a link proves nothing."""

    @pytest.mark.parametrize(
        ("path", "form", "expected"),
        [
            ("/auth/logout", {}, (400, "session.refused", "csrf")),
            (f"/connections/{NOBODYS}/disconnect", {"csrf": "x"}, (400, "page.refused", "csrf")),
            ("/connections/away", {"client": "x", "use": "allow", "csrf": "x"}, (400, "page.refused", "csrf")),
            ("/connections/away", {"client": "x", "use": "perhaps"}, (400, "page.refused", "invalid_request")),
        ],
    )
    async def test_one_that_is_not_the_sessions_is_counted(
        self, log: Log, carol: Browser, path: str, form: dict[str, str], expected: tuple[int, str, str]
    ) -> None:
        url = f"{log.world.places.vault}{path}"
        answer, event = await log.refusal(carol.http.post(url, data=form, headers=request_id()))
        assert (answer.status_code, event["type"], event["reason"]) == expected
        assert "subject" not in event

    @pytest.mark.parametrize(
        ("path", "form"),
        [
            (f"/connections/{NOBODYS}/disconnect", {}),
            ("/connections/nothing/disconnect", {}),
            ("/connections/away", {"client": "nobody", "use": "allow"}),
        ],
    )
    async def test_one_that_is_asks_in_its_users_name(
        self, log: Log, carol: Browser, path: str, form: dict[str, str]
    ) -> None:
        csrf = carol.page.forms[0].fields["csrf"]
        url = f"{log.world.places.vault}{path}"
        for _ in range(2):
            answer = await carol.http.post(url, data=form | {"csrf": csrf}, headers=request_id())
            assert answer.status_code == 404
            (event,) = await log.events_of(answer)
            assert (event["type"], event["reason"]) == ("page.refused", "not_found")
            assert event["subject"]["sub"] == "carol"

    @pytest.mark.parametrize(
        ("path", "expected"),
        [
            (f"/connections/{NOBODYS}/disconnect", (404, "page.refused", "not_found")),
            ("/connections/activity?cursor=x", (400, "page.refused", "cursor")),
            ("/auth/connect/github?scope=admin%3Aorg", (400, "connection.refused", "scope_not_allowed")),
            ("/auth/callback/%00?state=x", (400, "connection.refused", "invalid_request")),
            ("/auth/login/callback?state=x", (400, "session.refused", "state")),
            ("/auth/login/callback?state=x&state=x", (400, "session.refused", "invalid_request")),
        ],
    )
    async def test_a_link_is_counted_whoever_follows_it(
        self, log: Log, carol: Browser, path: str, expected: tuple[int, str, str]
    ) -> None:
        url = f"{log.world.places.vault}{path}"
        answer, event = await log.refusal(carol.http.get(url, headers=request_id()))
        assert (answer.status_code, event["type"], event["reason"]) == expected
        assert "subject" not in event


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"auth_session": "x"}, "auth_session"),
        ({"redirect_uri": "https://evil.example/"}, "redirect_uri"),
        ({"code_verifier": "v" * 43}, "code_verifier"),
    ],
)
async def test_b3_a_completion_that_fails_is_one_event_and_no_second(
    log: Log, app: App, changes: dict[str, str], reason: str
) -> None:
    begun = await app.begin()
    came_back = await app.returned(begun)
    failed = await app.complete(begun, came_back["connect_code"], **changes)
    assert failed.status_code == 400
    (event,) = await log.events_of(failed)
    assert (event["type"], event["reason"]) == ("connection.refused", reason)
    again = await app.complete(begun, came_back["connect_code"])
    (event,) = await log.events_of(again)
    assert (event["type"], event["reason"]) == ("account.refused", "connect_code")


async def test_a_user_sees_what_their_apps_were_refused(log: Log, timed: World) -> None:
    async with App(timed, user="bob", scope="read:me:connected_accounts") as reading, Browser() as bob:
        refused = await reading.http.delete(f"accounts/{NOBODYS}")
        assert refused.status_code == 403
        (event, *_) = (await reading.http.get("activity")).json()["events"]
        assert (event["type"], event["reason"], event["client_id"]) == (
            "account.refused",
            "insufficient_scope",
            SAMPLE_AGENT,
        )
        await bob.open(f"{timed.places.vault}/connections")
        await bob.click("Bob")
        page = await bob.open(f"{timed.places.vault}/connections/activity")
        assert "sample-agent asked to see or change your connections and was refused" in page.text
        assert "It was not allowed to do that." in page.text
        page = await bob.open(f"{timed.places.vault}/connections/activity?lang=de")
        assert "wollte Ihre Verbindungen sehen oder ändern und wurde abgewiesen" in page.text


async def test_what_nobody_decided_is_no_event(log: Log) -> None:
    """Unknown paths and methods, and pages of origins that may not call: nothing that is anybody's was asked for."""
    asker = Asker(log)
    asked: list[httpx.Response] = [
        await asker.ask("GET", f"{ME}/nowhere"),
        await asker.ask("PUT", f"{ME}/accounts"),
        await asker.ask("GET", "/v1/nowhere"),
        await asker.ask("PUT", "/oauth/token"),
        await asker.ask("GET", "/nowhere"),
        await asker.ask(
            "OPTIONS",
            f"{ME}/accounts",
            headers={"Origin": "https://evil.example", "Access-Control-Request-Method": "GET"},
        ),
    ]
    assert [answer.status_code for answer in asked] == [404, 405, 404, 405, 404, 405]
    assert [await log.events_of(answer) for answer in asked] == [[]] * len(asked)
