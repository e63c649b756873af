"""The table of api.md §1.5, row by row, each made to happen by a request from outside."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from uuid import UUID

import httpx
import pytest
import pytest_asyncio

from tests.support.configured import changed_vault
from tests.support.exchanging import make_healthy
from tests.support.superuser import database_away, execute, unwritable_log
from tests.wire.answers import check_refusal, retry_after
from tests.wire.vault import ACCESS_TOKEN, FEDERATED_CONNECTION, App, Vault, consent, fresh, query_of, ticket_url
from vaultd.sandbox.dev_config import BRIEFING_AGENT, SAMPLE_AGENT
from vaultd.sandbox.world import World, start_world


class TestMalformed:
    """400 `invalid_request`: malformed, missing, repeated, unsupported token type. All of them: test_token_parsing."""

    @pytest.mark.parametrize(
        "body",
        [b"", b"grant_type", b"\xff", b"grant_type=%ff", b"grant_type=a&grant_type=b", b"subject_token=x"],
        ids=["nothing", "no value", "no ASCII", "no UTF-8", "repeated", "no grant_type"],
    )
    async def test_the_body(self, vault: Vault, body: bytes) -> None:
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        check_refusal(await vault.http.post("/oauth/token", content=body, headers=headers), 400, "invalid_request")

    @pytest.mark.parametrize("name", ["subject_token_type", "requested_token_type"])
    async def test_an_unsupported_token_type(self, vault: Vault, app: App, name: str) -> None:
        for kind in ("urn:ietf:params:oauth:token-type:saml2", "access_token", "urn:ietf:params:oauth:token-type:"):
            check_refusal(await vault.exchange(app.session_token, **{name: kind}), 400, "invalid_request")

    async def test_no_target(self, vault: Vault, app: App) -> None:
        check_refusal(await vault.exchange(app.session_token, audience=None), 400, "invalid_request")

    async def test_a_body_above_64_kib_is_413(self, vault: Vault) -> None:
        answer = await vault.http.post("/oauth/token", data={"grant_type": "a" * 70_000})
        check_refusal(answer, 413, "invalid_request")


async def test_a_bad_subject_or_actor_token_is_invalid_request_and_no_answer_says_why(vault: Vault, app: App) -> None:
    """400 `invalid_request` [RFC 8693 §2.2.2]. All kinds of bad ones: test_token_subjects."""
    issuer = vault.world.issuer
    bad = {
        "malformed": "x",
        "expired": issuer.mint(app.user, azp=SAMPLE_AGENT, ttl=-61),
        "wrong_issuer": issuer.mint(app.user, azp=SAMPLE_AGENT, claims={"iss": "https://other.example"}),
        "wrong_audience": issuer.mint(app.user, azp=SAMPLE_AGENT, aud="https://other.example"),
        "wrong_presenter": issuer.mint(app.user, azp="somebody-elses-app"),
    }
    answers = [await vault.exchange(token) for token in bad.values()]
    for reason, answer in zip(bad, answers, strict=True):
        check_refusal(answer, 400, "invalid_request")
        assert answer.content == answers[0].content
        assert [event["reason"] for event in await vault.events_of(answer)] == [reason]
    for token in bad.values():
        actor = await vault.exchange(app.session_token, actor_token=token, actor_token_type=ACCESS_TOKEN)
        assert actor.content == answers[0].content


async def test_an_unknown_grant_is_unsupported_grant_type(vault: Vault, app: App) -> None:
    for grant_type in ("password", "refresh_token", FEDERATED_CONNECTION.upper(), "é"):
        answer = await vault.exchange(app.session_token, grant_type=grant_type)
        check_refusal(answer, 400, "unsupported_grant_type")


async def test_a_grant_that_is_not_the_clients_is_unauthorized_client(vault: Vault) -> None:
    form = {"grant_type": "client_credentials"}
    by_secret = await vault.http.post("/oauth/token", data=form, auth=vault.agent)
    check_refusal(by_secret, 400, "unauthorized_client")
    by_name = await vault.http.post("/oauth/token", data=form | {"client_id": SAMPLE_AGENT})
    check_refusal(by_name, 400, "unauthorized_client")


async def test_a_client_that_is_unknown_or_fails_is_invalid_client(vault: Vault, app: App) -> None:
    """401; `WWW-Authenticate` only beside a request's `Authorization` [RFC 6749 §5.2]; A8: the same bytes for both."""
    form = vault.exchange_form(app.session_token)
    known, unknown = BRIEFING_AGENT, fresh("nobody")
    headed = [await vault.http.post("/oauth/token", data=form, auth=(name, "wrong")) for name in (known, unknown)]
    for answer in headed:
        check_refusal(answer, 401, "invalid_client")
        assert answer.headers["www-authenticate"] == 'Basic realm="vaultd"'
    posted = [
        await vault.http.post("/oauth/token", data=form | {"client_id": name, "client_secret": "wrong"})
        for name in (known, unknown)
    ]
    for answer in posted:
        check_refusal(answer, 401, "invalid_client")
        assert "www-authenticate" not in answer.headers
    assert len({answer.content for answer in (*headed, *posted)}) == 1


async def test_no_client_at_all_is_invalid_client(vault: Vault) -> None:
    issued_to_a_client_with_a_secret = vault.world.issuer.mint(fresh("user"), azp=BRIEFING_AGENT)
    answer = await vault.http.post("/oauth/token", data=vault.exchange_form(issued_to_a_client_with_a_secret))
    check_refusal(answer, 401, "invalid_client")
    assert "www-authenticate" not in answer.headers


async def test_a8_unknown_and_forbidden_targets_are_invalid_target_in_the_same_bytes(vault: Vault, app: App) -> None:
    places = vault.world.places.providers
    others = {"github = ": "", "google = ": ""}
    with changed_vault(vault.world, others_removed(vault.world, *others)) as url:
        async with Vault(vault.world, url=url) as narrow:
            wishes: list[dict[str, str | None]] = [
                {"audience": "nowhere"},
                {"audience": "github"},
                {"audience": "é \U0001f600"},
                {"audience": None, "resource": "https://api.nowhere.example/x"},
                {"audience": None, "resource": f"{places['github']}/user"},
                {"audience": None, "resource": "no URL"},
                {"audience": "slack", "resource": f"{places['github']}/user"},
                {"audience": "slack", "resource": f"{places['slack']}/x#fragment"},
                {"audience": None, "grant_type": FEDERATED_CONNECTION, "connection": "nowhere"},
                {"audience": None, "grant_type": FEDERATED_CONNECTION, "connection": "github"},
                {"audience": "github", "grant_type": FEDERATED_CONNECTION, "connection": "slack"},
            ]
            answers = [await narrow.exchange(app.session_token, **wish) for wish in wishes]
            for answer in answers:
                check_refusal(answer, 400, "invalid_target")
                assert answer.content == answers[0].content
                assert len(answer.headers) == len(answers[0].headers)
            reasons = [(await narrow.events_of(answer))[0]["reason"] for answer in answers[:2]]
            assert reasons == ["unknown_provider", "forbidden_provider"]


def others_removed(world: World, *grants: str) -> dict[str, str]:
    """The lines of the file that allow these providers to clients, to be taken out."""
    lines = (world.folder / "vaultd.toml").read_text(encoding="utf-8").splitlines()
    return {f"{line}\n": "" for line in lines if line.startswith(grants)}


class TestScopes:
    """400 `invalid_scope`."""

    async def test_outside_the_clients_policy(self, vault: Vault, app: App) -> None:
        for scope in ("admin:org", "repo admin:org", 'a"b', "é"):
            check_refusal(await vault.exchange(app.session_token, scope=scope), 400, "invalid_scope")

    async def test_the_stored_grant_is_wider_than_the_client_may_hold(self, vault: Vault, app: App) -> None:
        await app.connect()
        with changed_vault(vault.world, {'github = ["repo", "read:user"]': 'github = ["read:user"]'}) as url:
            async with Vault(vault.world, url=url) as narrow:
                for scope in (None, "read:user"):
                    answer = await narrow.exchange(app.session_token, scope=scope)
                    check_refusal(answer, 400, "invalid_scope")
                    assert [event["reason"] for event in await vault.events_of(answer)] == ["wider_grant"]


class TestTheUserMustAct:
    """400 `interaction_required` with `reason`, `connection`, `connect_uri`."""

    def check(self, answer: httpx.Response, reason: str, sentence: str, *more: str) -> None:
        body = check_refusal(answer, 400, "interaction_required", "reason", "connection", "connect_uri", *more)
        assert (body["reason"], body["connection"], body["error_description"]) == (reason, "github", sentence)
        assert query_of(body["connect_uri"])["client_id"] == BRIEFING_AGENT

    async def test_not_connected(self, vault: Vault, app: App) -> None:
        answer = await vault.exchange(app.session_token)
        self.check(answer, "not_connected", "GitHub is not connected. Connect it to continue.")

    async def test_reconnect_required(self, vault: Vault, app: App) -> None:
        account = await app.connect()
        assert (await app.http.delete(f"accounts/{account['id']}")).status_code == 204
        answer = await vault.exchange(app.session_token)
        self.check(answer, "reconnect_required", "GitHub access was revoked. Reconnect required.")

    async def test_scope_missing(self, vault: Vault, app: App) -> None:
        begun = await app.begin(scopes=["read:user"])
        came_back = await app.returned(begun)
        assert (await app.complete(begun, came_back["connect_code"])).status_code == 201
        answer = await vault.exchange(app.session_token, scope="repo")
        sentence = "GitHub needs more permissions for this. Connect it again to allow them."
        self.check(answer, "scope_missing", sentence)
        assert query_of(answer.json()["connect_uri"])["scope"] == "read:user repo"

    async def test_account_ambiguous(self, vault: Vault, app: App) -> None:
        for person in ("Alice", "Bob"):
            begun = await app.begin(scopes=["read:user", "repo"])
            async with app.browser() as browser:
                page = await consent(browser, ticket_url(begun), person=person)
            assert (await app.complete(begun, query_of(page.url)["connect_code"])).status_code == 201
        answer = await vault.exchange(app.session_token)
        sentence = "Several GitHub accounts are connected. Say which one to use."
        self.check(answer, "account_ambiguous", sentence, "accounts")
        labels = answer.json()["accounts"]
        assert len(labels) == 2
        for label in labels:
            chosen = await vault.exchange(app.session_token, login_hint=label)
            assert (chosen.status_code, chosen.json()["account"]) == (200, label)

    @pytest.mark.parametrize(
        ("written", "called"),
        [
            ("Café", "Cafe"),
            ('The \\"Hub\\"', "The 'Hub'"),
            ("Back\\\\slash", "Back/slash"),
            ("花園", "github"),
            ("Zoë\u2019s Hub", "github"),
            ("Straße", "github"),
        ],
    )
    async def test_a_providers_name_in_any_letters_is_told_in_those_of_rfc_6749(
        self, vault: Vault, app: App, written: str, called: str
    ) -> None:
        changes = {'display_name = "GitHub"': f'display_name = "{written}"'}
        with changed_vault(vault.world, changes) as url:
            async with Vault(vault.world, url=url) as renamed:
                answer = await renamed.exchange(app.session_token)
        self.check(answer, "not_connected", f"{called} is not connected. Connect it to continue.")


async def test_above_the_rate_limit_is_slow_down(vault: Vault, app: App) -> None:
    """429 with `Retry-After`. More: test_client_limits."""
    agent = f"[clients.{BRIEFING_AGENT}]"
    limited = {agent: f"{agent}\nlimits = {{per_second = 0.01, burst = 1}}"}
    with changed_vault(vault.world, limited) as url:
        async with Vault(vault.world, url=url) as slow:
            assert (await slow.exchange(app.session_token)).json()["error"] == "interaction_required"
            answer = await slow.exchange(app.session_token)
    check_refusal(answer, 429, "slow_down")
    assert 90 <= retry_after(answer) <= 100


@pytest.fixture(scope="module")
def failing() -> Iterator[World]:
    """A world of its own, whose parts are made to fail."""
    with start_world(synced=False) as world:
        yield world


@pytest_asyncio.fixture
async def failing_vault(failing: World) -> AsyncIterator[Vault]:
    make_healthy(failing.providers["google"])
    async with Vault(failing) as speaking:
        yield speaking


@pytest_asyncio.fixture
async def connected(failing: World) -> AsyncIterator[App]:
    """A user with an account at GitHub."""
    async with App(failing) as speaking:
        await speaking.connect()
        yield speaking


async def test_a_provider_that_is_down_and_no_token_that_is_valid(failing_vault: Vault, connected: App) -> None:
    """503 `temporarily_unavailable` with `Retry-After`."""
    google = failing_vault.world.providers["google"]
    google.grants.ttl = timedelta(seconds=2)
    await connected.connect("google")
    google.faults.token = "down"
    await asyncio.sleep(2.1)
    answer = await failing_vault.exchange(connected.session_token, audience="google")
    check_refusal(answer, 503, "temporarily_unavailable")
    assert retry_after(answer)
    assert [event["reason"] for event in await failing_vault.events_of(answer)] == ["provider_unavailable"]


async def test_an_audit_log_that_cannot_be_written(failing_vault: Vault, connected: App) -> None:
    """503 `temporarily_unavailable` with `Retry-After`; E1: no event, no token, and no other answer either."""
    token = connected.session_token
    client_credentials = {"grant_type": "client_credentials"}
    async with unwritable_log(failing_vault.world):
        answers = [
            await failing_vault.exchange(token),
            await failing_vault.exchange(token, audience="nowhere"),
            await failing_vault.exchange("x"),
            await failing_vault.http.post("/oauth/token", data={"grant_type": fresh("grant")}),
            await failing_vault.http.post("/oauth/token", data=client_credentials, auth=failing_vault.operator),
        ]
    for answer in answers:
        check_refusal(answer, 503, "temporarily_unavailable")
        assert retry_after(answer)
    assert (await failing_vault.exchange(token)).status_code == 200


async def test_a_database_that_is_away(failing_vault: Vault, connected: App) -> None:
    """503 `temporarily_unavailable` with `Retry-After`."""
    known, unknown = connected.session_token, failing_vault.world.issuer.mint(fresh("user"), azp=SAMPLE_AGENT)
    async with database_away(failing_vault.world):
        for token in (known, unknown, "x"):
            answer = await failing_vault.exchange(token)
            check_refusal(answer, 503, "temporarily_unavailable")
            assert retry_after(answer)
    assert (await failing_vault.exchange(known)).status_code == 200


@pytest.mark.parametrize(
    "damage",
    [
        # A time that the constraint keeps out, with which calculating fails where nothing expects it to.
        "UPDATE connections SET expires_at = '-infinity' WHERE id = $1",
        # Sealed bytes that were altered: refused as such, and evented, but no client's business either.
        r"UPDATE connections SET access_token = access_token || '\x00' WHERE id = $1",
    ],
    ids=["an unexpected exception", "an altered row"],
)
async def test_a_bug_is_server_error_and_nothing_else(failing_vault: Vault, failing: World, damage: str) -> None:
    """500 `server_error`, nothing else; the `request_id` in the header."""
    async with App(failing) as user:
        account = await user.connect()
        await execute(failing, "ALTER TABLE connections DROP CONSTRAINT IF EXISTS connections_expires_at_is_a_moment")
        await execute(failing, damage, UUID(account["id"]))
        answer = await failing_vault.exchange(user.session_token)
        check_refusal(answer, 500, "server_error")
        assert answer.json() == {"error": "server_error"}
        assert re.fullmatch("[0-9a-f]{32}", answer.headers["x-request-id"])
    async with App(failing) as other:
        assert (await failing_vault.exchange(other.session_token)).json()["reason"] == "not_connected"
