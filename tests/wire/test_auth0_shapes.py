"""Auth0's federated grant (api.md §1.2), asked for in the shapes in which Auth0's SDKs ask.

The requests are written by hand after the public source of each SDK: which parameters it sends, how they are encoded,
how it authenticates, and then what it reads of the answer. Each test is named after the SDK whose shape it has.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest

from tests.support import node
from tests.support.configured import changed_vault
from tests.wire.answers import check_refusal
from tests.wire.vault import ACCESS_TOKEN, FEDERATED_CONNECTION, FEDERATED_TOKEN, App, Vault, fresh
from vaultd.sandbox.dev_config import BRIEFING_AGENT, SAMPLE_AGENT
from vaultd.sandbox.world import World

REFRESH_TOKEN = "urn:ietf:params:oauth:token-type:refresh_token"
POSTING_AGENT = "posting-agent"
"""The agent's backend as most of the SDKs would have it: with its secret in the body."""


@pytest.fixture(scope="module")
def posting(world: World) -> Iterator[str]:
    """The URL of a vault that knows the same backend by `client_secret_post` too."""
    table = f"[clients.{BRIEFING_AGENT}]"
    written = (world.folder / "vaultd.toml").read_text(encoding="utf-8")
    own = written[written.index(table) : written.index("[clients.operator]")]
    posted = own.replace(BRIEFING_AGENT, POSTING_AGENT).replace("client_secret_basic", "client_secret_post")
    with changed_vault(world, {table: f"{posted}\n{table}"}) as url:
        yield url


def federated(subject_token: str, **more: str) -> dict[str, str]:
    """What all of them send, beside the client's own credentials."""
    return {
        "grant_type": FEDERATED_CONNECTION,
        "subject_token": subject_token,
        "subject_token_type": ACCESS_TOKEN,
        "requested_token_type": FEDERATED_TOKEN,
        "connection": "github",
        **more,
    }


def check_delivered(answer: httpx.Response, world: World) -> dict[str, Any]:
    """What every SDK reads: the token, its seconds, its scopes with spaces between, its type."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    body: dict[str, Any] = answer.json()
    assert world.providers["github"].grants.access(body["access_token"]) is not None
    assert body["issued_token_type"] == FEDERATED_TOKEN
    assert body["token_type"] == "Bearer"
    assert type(body["expires_in"]) is int
    assert 0 < body["expires_in"] <= 300
    assert body["scope"].split(" ") == ["read:user", "repo"]
    assert not {"refresh_token", "id_token"} & set(body)
    return body


def check_shown(answer: httpx.Response, sentence: str) -> None:
    """What every SDK makes of a failure: a 4xx, `error`, and `error_description` as its message."""
    assert 400 <= answer.status_code <= 499
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert isinstance(body["error"], str)
    assert body["error_description"] == sentence


NOT_CONNECTED = "GitHub is not connected. Connect it to continue."


class TestAuth0AiJs:
    """`@auth0/ai`: JSON with the credentials inside; whatever is not 2xx means "authorization required"."""

    def body(self, vault: Vault, subject_token: str, **more: str) -> dict[str, str]:
        credentials = {"client_id": POSTING_AGENT, "client_secret": vault.agent[1]}
        return credentials | federated(subject_token, **more)

    async def test_it_gets_the_token(self, vault: Vault, app: App, posting: str) -> None:
        await app.connect()
        answer = await vault.http.post(f"{posting}/oauth/token", json=self.body(vault, app.session_token))
        body = check_delivered(answer, vault.world)
        # The SDK splits the scopes at spaces, after commas were made spaces, and looks for those it requires.
        assert {"repo", "read:user"} <= set(body["scope"].replace(",", " ").split(" "))

    async def test_it_gets_the_account_that_it_hints_at(self, vault: Vault, app: App, posting: str) -> None:
        account = (await app.connect())["id"]
        listed = (await app.http.get("accounts")).json()["accounts"]
        (label,) = [each["account"] for each in listed if each["id"] == account]
        request = self.body(vault, app.session_token, login_hint=label)
        check_delivered(await vault.http.post(f"{posting}/oauth/token", json=request), vault.world)
        other = self.body(vault, app.session_token, login_hint="somebody-else")
        check_shown(await vault.http.post(f"{posting}/oauth/token", json=other), NOT_CONNECTED)

    async def test_it_sees_that_authorization_is_required(self, vault: Vault, app: App, posting: str) -> None:
        answer = await vault.http.post(f"{posting}/oauth/token", json=self.body(vault, app.session_token))
        assert not answer.is_success
        check_shown(answer, NOT_CONNECTED)


class TestAuth0Python:
    """`auth0-python` under `auth0-ai`: JSON too, with headers of its own; `error_description` becomes the message."""

    HEADERS: Mapping[str, str] = {
        "Content-Type": "application/json",
        "User-Agent": "Python/3.12.0",
        "Auth0-Client": "eyJuYW1lIjoiYXV0aDAtcHl0aG9uIn0=",
    }

    async def post(self, vault: Vault, url: str, body: Mapping[str, str]) -> httpx.Response:
        content = json.dumps(body).encode()
        return await vault.http.post(f"{url}/oauth/token", content=content, headers=self.HEADERS)

    def body(self, vault: Vault, subject_token: str) -> dict[str, str]:
        # `client_id` comes first, the secret is put in last.
        return {"client_id": POSTING_AGENT, **federated(subject_token), "client_secret": vault.agent[1]}

    async def test_it_gets_the_token(self, vault: Vault, app: App, posting: str) -> None:
        await app.connect()
        body = check_delivered(await self.post(vault, posting, self.body(vault, app.session_token)), vault.world)
        assert body["scope"].split() == ["read:user", "repo"]

    async def test_a_4xx_is_a_token_vault_error_with_its_sentence(self, vault: Vault, app: App, posting: str) -> None:
        check_shown(await self.post(vault, posting, self.body(vault, app.session_token)), NOT_CONNECTED)

    async def test_a_wrong_secret_is_a_4xx_with_a_sentence_too(self, vault: Vault, app: App, posting: str) -> None:
        wrong = self.body(vault, app.session_token) | {"client_secret": "wrong"}
        answer = await self.post(vault, posting, wrong)
        check_refusal(answer, 401, "invalid_client")
        check_shown(answer, "Client authentication failed.")
        assert "www-authenticate" not in answer.headers


class TestAuth0ApiPython:
    """`auth0-api-python`: discovery, then a form with `client_id` in it and Basic beside it."""

    async def endpoint(self, vault: Vault) -> str:
        discovered = await vault.http.get("/.well-known/openid-configuration")
        endpoint: str = discovered.json()["token_endpoint"]
        return endpoint

    async def test_it_gets_the_token(self, vault: Vault, app: App) -> None:
        await app.connect()
        form = federated(app.session_token, client_id=vault.agent[0])
        answer = await vault.http.post(await self.endpoint(vault), data=form, auth=vault.agent)
        body = check_delivered(answer, vault.world)
        assert int(body["expires_in"]) > 0

    async def test_it_reads_the_error_of_an_answer_that_says_to_be_json(self, vault: Vault, app: App) -> None:
        form = federated(app.session_token, client_id=vault.agent[0])
        answer = await vault.http.post(await self.endpoint(vault), data=form, auth=vault.agent)
        # One release compares the header with exactly this, and tells nothing otherwise.
        assert answer.headers["content-type"] == "application/json"
        assert answer.json()["error"] == "interaction_required"
        check_shown(answer, NOT_CONNECTED)


class TestAuth0AuthJs:
    """`@auth0/auth0-auth-js`: openid-client's form, credentials in it, `scope` and parameters of the app's own."""

    async def test_it_gets_the_token(self, vault: Vault, app: App, posting: str) -> None:
        await app.connect()
        form = federated(app.session_token, scope="repo", tenant_note="kept by the app")
        form |= {"client_id": POSTING_AGENT, "client_secret": vault.agent[1]}
        check_delivered(await vault.http.post(f"{posting}/oauth/token", data=form), vault.world)

    async def test_its_plain_exchange_by_audience_works_too(self, vault: Vault, app: App, posting: str) -> None:
        await app.connect()
        form = vault.exchange_form(app.session_token, requested_token_type=FEDERATED_TOKEN)
        form |= {"client_id": POSTING_AGENT, "client_secret": vault.agent[1], "organization": "org_1"}
        check_delivered(await vault.http.post(f"{posting}/oauth/token", data=form), vault.world)


class TestNextjsAuth0:
    """`nextjs-auth0`: oauth4webapi itself; discovery as OpenID Connect has it, then the generic grant."""

    def request(self, world: World, subject_token: str, **more: str) -> dict[str, Any]:
        parameters = federated(subject_token, **more)
        return {
            "issuer": world.places.vault,
            "discovery": "oidc",
            "clientId": BRIEFING_AGENT,
            "clientSecret": world.secrets.briefing_agent.reveal(),
            "grantType": parameters.pop("grant_type"),
            "parameters": parameters,
        }

    async def test_it_gets_the_token(self, world: World, app: App) -> None:
        await app.connect()
        outcome = await node.exchange(self.request(world, app.session_token))
        assert outcome["ok"] is True, outcome
        result = outcome["result"]
        assert world.providers["github"].grants.access(result["access_token"]) is not None
        assert (result["token_type"], result["issued_token_type"]) == ("bearer", FEDERATED_TOKEN)
        assert result["scope"] == "read:user repo"
        assert result["expires_in"] > 0

    async def test_its_refresh_token_is_a_clean_refusal_without_introspection(self, world: World, app: App) -> None:
        sent = self.request(world, "v1.M-opaque-refresh-token", subject_token_type=REFRESH_TOKEN)
        outcome = await node.exchange(sent)
        assert (outcome["ok"], outcome["status"], outcome["error"]) == (False, 400, "invalid_request"), outcome
        assert outcome["error_description"]


class TestAuth0ServerPython:
    """`auth0-server-python`: as auth0-api-python, but with the refresh token of the session."""

    async def test_its_refresh_token_is_a_clean_refusal_without_introspection(self, vault: Vault) -> None:
        form = federated("v1.M-opaque-refresh-token", subject_token_type=REFRESH_TOKEN, client_id=vault.agent[0])
        answer = await vault.http.post("/oauth/token", data=form, auth=vault.agent)
        check_refusal(answer, 400, "invalid_request")
        assert len(await vault.events_of(answer)) == 1


class TestTheGrantItself:
    """api.md §1.2 in the letter."""

    async def ask(self, vault: Vault, body: Mapping[str, str]) -> httpx.Response:
        return await vault.http.post("/oauth/token", data=body, auth=vault.agent)

    async def test_the_requested_type_is_the_federated_one_unless_said(self, vault: Vault, app: App) -> None:
        await app.connect()
        unsaid = {name: value for name, value in federated(app.session_token).items() if name[:9] != "requested"}
        check_delivered(await self.ask(vault, unsaid), vault.world)
        check_delivered(await self.ask(vault, unsaid | {"requested_token_type": ""}), vault.world)
        plain = await self.ask(vault, unsaid | {"requested_token_type": ACCESS_TOKEN})
        assert plain.json()["issued_token_type"] == ACCESS_TOKEN

    async def test_a_form_and_json_get_the_same(self, vault: Vault, app: App) -> None:
        await app.connect()
        body = federated(app.session_token)
        by_json = await vault.http.post("/oauth/token", json=body, auth=vault.agent)
        by_form = await self.ask(vault, body)
        tokens = [check_delivered(answer, vault.world)["access_token"] for answer in (by_json, by_form)]
        assert tokens[0] == tokens[1]

    async def test_connection_is_required_and_does_not_repeat(self, vault: Vault, app: App) -> None:
        body = federated(app.session_token)
        without = {name: value for name, value in body.items() if name != "connection"}
        for wrong in (without, without | {"connection": ""}, without | {"audience": "github"}):
            check_refusal(await self.ask(vault, wrong), 400, "invalid_request")
        twice = {**body, "connection": ["github", "github"]}
        check_refusal(await vault.http.post("/oauth/token", data=twice, auth=vault.agent), 400, "invalid_request")
        document = json.dumps(body)[:-1] + ', "connection": "github"}'
        headers = {"Content-Type": "application/json"}
        answer = await vault.http.post("/oauth/token", content=document, headers=headers, auth=vault.agent)
        check_refusal(answer, 400, "invalid_request")

    async def test_a_target_beside_the_connection_must_mean_it(self, vault: Vault, app: App) -> None:
        await app.connect()
        body = federated(app.session_token)
        places = vault.world.places.providers
        for same in ({"audience": "github"}, {"resource": f"{places['github']}/user"}):
            check_delivered(await self.ask(vault, body | same), vault.world)
        for other in ({"audience": "slack"}, {"resource": f"{places['slack']}/x"}, {"audience": "nowhere"}):
            check_refusal(await self.ask(vault, body | other), 400, "invalid_target")

    async def test_the_plain_grant_knows_no_connection(self, vault: Vault, app: App) -> None:
        await app.connect()
        answer = await vault.exchange(app.session_token, connection="slack")
        assert (answer.status_code, answer.json()["connection"]) == (200, "github")

    async def test_it_is_one_exchange_with_one_event(self, vault: Vault, app: App) -> None:
        await app.connect()
        headers = {"X-Request-Id": fresh("federated")}
        body = federated(app.session_token)
        answer = await vault.http.post("/oauth/token", data=body, auth=vault.agent, headers=headers)
        (event,) = await vault.events_of(answer)
        assert (event["type"], event["client_id"], event["connection"]) == (
            "token.exchanged",
            BRIEFING_AGENT,
            "github",
        )

    async def test_the_shortest_one_works_for_an_implicit_client(self, vault: Vault, app: App) -> None:
        await app.connect()
        check_delivered(await vault.http.post("/oauth/token", data=federated(app.session_token)), vault.world)

    async def test_a5_it_asks_no_less_of_the_presenter(self, vault: Vault, app: App) -> None:
        foreign = vault.world.issuer.mint(app.user, azp="somebody-elses-app")
        check_refusal(await self.ask(vault, federated(foreign)), 400, "invalid_request")
        by_another = federated(vault.world.issuer.mint(app.user, azp=SAMPLE_AGENT), client_id="operator")
        check_refusal(await vault.http.post("/oauth/token", data=by_another), 401, "invalid_client")


class TestDiscovery:
    """api.md §5: what SDKs find at `/.well-known/openid-configuration` is true."""

    async def test_both_documents_are_the_same_and_name_the_endpoint(self, vault: Vault) -> None:
        base = vault.world.places.vault
        by_oidc = (await vault.http.get("/.well-known/openid-configuration")).json()
        assert by_oidc == (await vault.http.get("/.well-known/oauth-authorization-server")).json()
        # RFC 8414 §3.3: a client compares this with what it asked for, character by character.
        assert by_oidc["issuer"] == base
        assert by_oidc["token_endpoint"] == f"{base}/oauth/token"
        assert (await vault.http.get(by_oidc["jwks_uri"])).json()["keys"]

    async def test_it_lists_the_grants_and_promises_nothing_else(self, vault: Vault, app: App) -> None:
        document = (await vault.http.get("/.well-known/openid-configuration")).json()
        assert FEDERATED_CONNECTION in document["grant_types_supported"]
        for grant_type in document["grant_types_supported"]:
            answer = await vault.exchange(app.session_token, grant_type=grant_type)
            assert answer.json().get("error") != "unsupported_grant_type"
        # RFC 8414 §2: no grant here uses an authorization endpoint, and no ID token is ever issued.
        assert document["response_types_supported"] == []
        absent = {"authorization_endpoint", "userinfo_endpoint", "id_token_signing_alg_values_supported"}
        assert not absent & set(document)
