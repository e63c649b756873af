"""Providers' notices end connections at once: `POST /notices/{provider}` (issue 5, item 6)."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio
from joserfc import jwt
from joserfc.jwk import RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.support.exchanging import agent_http, exchange, make_healthy
from tests.support.processes import Running, install, serving
from tests.wire.vault import Vault
from vaultd.sandbox.dev_config import VAULT_AT_PROVIDER
from vaultd.sandbox.faults import Fault
from vaultd.sandbox.people import PEOPLE
from vaultd.sandbox.person import AppUser
from vaultd.sandbox.servers import Listener, LoopbackServers, listen
from vaultd.sandbox.world import World, start_world

KEY = RSAKey.generate_key(2048, {"kid": "risc"})
TOKENS_REVOKED = "https://schemas.openid.net/secevent/oauth/event-type/tokens-revoked"
WEBHOOK_SECRET = uuid4().hex


class Google:
    """Where Google's keys for security events are published."""

    def __init__(self, at: Listener) -> None:
        self.url = at.url + "/"
        self.app = Starlette(
            routes=[Route("/.well-known/risc-configuration", self._configuration), Route("/certs", self._keys)]
        )

    async def _configuration(self, request: Request) -> Response:
        del request
        return JSONResponse({"issuer": self.url, "jwks_uri": f"{self.url}certs"})

    async def _keys(self, request: Request) -> Response:
        del request
        return JSONResponse({"keys": [KEY.as_dict(private=False) | {"alg": "RS256", "use": "sig"}]})


@pytest.fixture(scope="module")
def shared() -> Iterator[World]:
    with start_world(synced=False) as world:
        yield world


@pytest.fixture(scope="module")
def google() -> Iterator[Google]:
    at = listen()
    served = Google(at)
    with LoopbackServers() as servers:
        servers.serve(served.app, at)
        yield served


@pytest.fixture(scope="module")
def noticing(shared: World, google: Google) -> Iterator[Running]:
    """A second process on the world's database; the world's own knows of no notices."""
    secret = shared.folder / "webhook-secret"
    secret.write_text(WEBHOOK_SECRET, encoding="utf-8")
    by_secret = f'webhook_secret = "file:{secret}"'
    changed = {
        "[providers.github]": f'[providers.github]\nnotices = "github"\n{by_secret}',
        "[providers.slack]": f'[providers.slack]\nnotices = "slack"\n{by_secret}',
        "[providers.google]": f'[providers.google]\nnotices = "google_risc"\nnotices_issuer = "{google.url}"',
    }
    with serving(install(shared, "noticing", changed)) as running:
        yield running


@pytest_asyncio.fixture
async def http(noticing: Running) -> AsyncIterator[httpx.AsyncClient]:
    async with agent_http() as opened:
        opened.base_url = httpx.URL(noticing.url)
        yield opened


@pytest_asyncio.fixture
async def vault(shared: World) -> AsyncIterator[Vault]:
    async with Vault(shared) as speaking:
        yield speaking


@pytest_asyncio.fixture
async def user(shared: World) -> AsyncIterator[AppUser]:
    for provider in shared.providers.values():
        make_healthy(provider)
    async with AppUser(shared, PEOPLE["alice"]) as alice:
        yield alice


def hex_of(data: bytes) -> str:
    return hmac.new(WEBHOOK_SECRET.encode(), data, hashlib.sha256).hexdigest()


def github_body(number: int) -> bytes:
    """Like no other; what a test sends twice it makes once."""
    return json.dumps({"action": "revoked", "sender": {"node_id": uuid4().hex, "id": number}}).encode()


async def from_github(http: httpx.AsyncClient, number: int, **headers: str) -> httpx.Response:
    return await github_says(http, github_body(number), **headers)


async def github_says(http: httpx.AsyncClient, body: bytes, **headers: str) -> httpx.Response:
    sent = {
        "x-hub-signature-256": "sha256=" + hex_of(body),
        "x-github-event": "github_app_authorization",
        "x-github-delivery": str(uuid4()),
        "content-type": "application/json",
    }
    return await http.post("/notices/github", content=body, headers=sent | headers)


async def from_slack(http: httpx.AsyncClient, document: dict[str, Any], *, ago: int = 0) -> httpx.Response:
    body, moment = json.dumps(document).encode(), str(int(time.time()) - ago)
    headers = {
        "x-slack-request-timestamp": moment,
        "x-slack-signature": "v0=" + hex_of(f"v0:{moment}:".encode() + body),
    }
    return await http.post("/notices/slack", content=body, headers=headers)


def slack_event(user: str, *, ago: int = 0) -> dict[str, Any]:
    return {
        "type": "event_callback",
        "team_id": "T1",
        "event_id": f"Ev{uuid4().hex}",
        "event_time": int(time.time()) - ago,
        "event": {"type": "tokens_revoked", "tokens": {"oauth": [user], "bot": []}},
    }


async def from_google(
    http: httpx.AsyncClient, google: Google, sub: str, *, jti: str | None = None, ago: int = 0, **changes: str
) -> httpx.Response:
    claims: dict[str, Any] = {
        "iss": google.url,
        "aud": VAULT_AT_PROVIDER,
        "iat": int(time.time()) - ago,
        "jti": jti or uuid4().hex,
        "events": {TOKENS_REVOKED: {"subject": {"subject_type": "iss-sub", "iss": google.url, "sub": sub}}},
    }
    token = jwt.encode({"alg": "RS256", "kid": "risc"}, claims | changes, KEY)
    headers = {"content-type": "application/secevent+jwt"}
    return await http.post("/notices/google", content=token.encode(), headers=headers)


async def reason_of(world: World, user: AppUser, provider: str) -> str | None:
    """None while the vault gives tokens."""
    answer = await exchange(world.places.vault, user.session_token, provider)
    return None if answer.status_code == 200 else str(answer.json()["reason"])


async def broken(vault: Vault, answer: httpx.Response) -> list[tuple[str, str, str]]:
    return [(event["type"], event["reason"], event["subject"]["sub"]) for event in await vault.events_of(answer)]


ENDED = [("connection.broken", "revoked_at_provider", "alice")]


async def test_github_tells_and_the_connection_is_marked(
    shared: World, vault: Vault, user: AppUser, http: httpx.AsyncClient
) -> None:
    await user.connect("github")
    answer = await from_github(http, PEOPLE["alice"].number)
    assert (answer.status_code, answer.content) == (202, b"")
    assert answer.headers["cache-control"] == "no-store"
    assert await broken(vault, answer) == ENDED
    assert await reason_of(shared, user, "github") == "reconnect_required"
    (account,) = [each for each in await user.accounts() if each["connection"] == "github"]
    assert account["status"] == "reconnect_required"
    # Told again: it is so already.
    again = await from_github(http, PEOPLE["alice"].number)
    assert again.status_code == 202
    assert await vault.events_of(again) == []


async def test_an_honest_redelivery_does_not_end_the_next_consent(
    shared: World, user: AppUser, http: httpx.AsyncClient
) -> None:
    number, delivery = PEOPLE["alice"].number, {"x-github-delivery": str(uuid4())}
    await user.connect("github")
    assert (await from_github(http, number, **delivery)).status_code == 202
    await user.connect("github")
    assert (await from_github(http, number, **delivery)).status_code == 202
    assert await reason_of(shared, user, "github") is None


async def test_a_recording_does_not_end_the_next_consent(
    shared: World, vault: Vault, user: AppUser, http: httpx.AsyncClient
) -> None:
    """C7: GitHub signs neither an id nor a time, so that a recording passes; the provider itself is asked then."""
    recorded = github_body(PEOPLE["alice"].number)
    await user.connect("github")
    assert await broken(vault, await github_says(http, recorded)) == ENDED
    await user.connect("github")
    for _ in range(2):
        replayed = await github_says(http, recorded)
        assert (replayed.status_code, await vault.events_of(replayed)) == (202, [])
    assert await reason_of(shared, user, "github") is None
    assert shared.providers["github"].calls["userinfo"] >= 2


async def test_the_same_words_end_a_connection_again_that_the_user_has_revoked_again(
    shared: World, vault: Vault, user: AppUser, http: httpx.AsyncClient
) -> None:
    body = github_body(PEOPLE["alice"].number)
    for _ in range(2):
        await user.connect("github")
        shared.providers["github"].withdraw("alice")
        assert await broken(vault, await github_says(http, body)) == ENDED
        assert await reason_of(shared, user, "github") == "reconnect_required"


@pytest.mark.parametrize("fault", ["down", "html"])
async def test_the_same_words_are_believed_while_the_provider_cannot_be_asked(
    shared: World, vault: Vault, user: AppUser, http: httpx.AsyncClient, fault: Fault
) -> None:
    """GitHub does not tell again by itself, so what was signed stands."""
    body = github_body(PEOPLE["alice"].number)
    await github_says(http, body)
    await user.connect("github")
    shared.providers["github"].faults.userinfo = fault
    assert await broken(vault, await github_says(http, body)) == ENDED


async def test_nobody_elses_account_is_touched(shared: World, user: AppUser, http: httpx.AsyncClient) -> None:
    await user.connect("github")
    assert (await from_github(http, PEOPLE["bob"].number)).status_code == 202
    # The same number at another provider is another account.
    assert (await from_slack(http, slack_event(str(PEOPLE["alice"].number)))).status_code == 202
    assert await reason_of(shared, user, "github") is None


async def test_slack_tells(shared: World, vault: Vault, user: AppUser, http: httpx.AsyncClient) -> None:
    await user.connect("slack")
    answer = await from_slack(http, slack_event("slack-1001"))
    assert answer.status_code == 202, answer.text
    assert await broken(vault, answer) == ENDED
    assert await reason_of(shared, user, "slack") == "reconnect_required"


async def test_slack_tries_the_address(http: httpx.AsyncClient) -> None:
    answer = await from_slack(http, {"type": "url_verification", "challenge": "3eZbrw1aB", "token": "x"})
    assert (answer.status_code, answer.json()) == (200, {"challenge": "3eZbrw1aB"})


async def test_google_tells(
    shared: World, vault: Vault, user: AppUser, http: httpx.AsyncClient, google: Google
) -> None:
    await user.connect("google")
    answer = await from_google(http, google, "google-1001")
    assert answer.status_code == 202, answer.text
    assert await broken(vault, answer) == ENDED
    assert await reason_of(shared, user, "google") == "reconnect_required"


async def test_a_security_event_is_acted_on_once(
    shared: World, user: AppUser, http: httpx.AsyncClient, google: Google
) -> None:
    await user.connect("google")
    jti = uuid4().hex
    assert (await from_google(http, google, "google-1001", jti=jti)).status_code == 202
    await user.connect("google")
    assert (await from_google(http, google, "google-1001", jti=jti)).status_code == 202
    assert await reason_of(shared, user, "google") is None


@pytest.mark.parametrize("ago", [61, 3_600])
async def test_a_notice_older_than_the_consent_does_not_end_it(
    shared: World, user: AppUser, http: httpx.AsyncClient, google: Google, ago: int
) -> None:
    await user.connect("google")
    await user.connect("slack")
    late = timedelta(seconds=ago) + timedelta(seconds=30)
    assert (await from_google(http, google, "google-1001", ago=int(late.total_seconds()))).status_code == 202
    assert (await from_slack(http, slack_event("slack-1001", ago=int(late.total_seconds())))).status_code == 202
    assert [await reason_of(shared, user, each) for each in ("google", "slack")] == [None, None]


async def test_bad_notices_are_400_change_nothing_and_are_counted_together(
    shared: World, vault: Vault, user: AppUser, http: httpx.AsyncClient, google: Google
) -> None:
    for provider in ("github", "slack", "google"):
        await user.connect(provider)
    answers = [await from_github(http, 1001, **{"x-hub-signature-256": "sha256=" + "0" * 64}) for _ in range(20)]
    answers += [
        await from_slack(http, slack_event("slack-1001"), ago=400),
        await from_google(http, google, "google-1001", aud="another-app"),
        await from_google(http, google, "google-1001", iss="https://accounts.example.com/"),
    ]
    assert {answer.status_code for answer in answers} == {400}
    assert {answer.json()["type"] for answer in answers} == {"urn:vaultd:error:notice_refused"}
    assert [await reason_of(shared, user, each) for each in ("github", "slack", "google")] == [None, None, None]
    events = (await vault.audit(type="notice.refused", limit=100))["events"]
    assert {(event["connection"], event["reason"]) for event in events} >= {
        ("github", "bad_signature"),
        ("slack", "stale"),
        ("google", "wrong_audience"),
        ("google", "wrong_issuer"),
    }
    # A11: twenty of one kind, one event at once; a second one at most, where a minute begins between.
    assert 1 <= len([event for event in events if event["connection"] == "github"]) <= 2


@pytest.mark.parametrize("path", ["/notices/nowhere", "/notices/", "/notices/github/more"])
async def test_a_provider_that_tells_nothing_has_no_address(http: httpx.AsyncClient, path: str) -> None:
    assert (await http.post(path, content=b"{}")).status_code == 404


async def test_the_worlds_own_process_believes_no_notices(shared: World, http: httpx.AsyncClient) -> None:
    assert (await http.post(f"{shared.places.vault}/notices/github", content=b"{}")).status_code == 404


async def test_a_notice_is_bounded(vault: Vault, http: httpx.AsyncClient) -> None:
    for provider in ("github", "slack", "google"):
        assert (await http.post(f"/notices/{provider}", content=b"a" * 70_000)).status_code == 413
    events = (await vault.audit(type="notice.refused", limit=100))["events"]
    too_large = {event["connection"] for event in events if event["reason"] == "body_too_large"}
    assert too_large == {"github", "slack", "google"}
