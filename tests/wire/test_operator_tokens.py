"""`client_credentials` (api.md §1.3), and the bearer checks on operators' routes (RFC 6750)."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from tests.support.configured import changed_vault
from tests.wire.answers import check_headers, check_refusal
from tests.wire.vault import ACCESS_TOKEN, App, Vault, bearer, fresh
from vaultd.sandbox.dev_config import BRIEFING_AGENT, OPERATOR, SAMPLE_AGENT
from vaultd.sandbox.world import World

EVENTS = "/v1/audit/events"
BARE = 'Bearer realm="vaultd"'
FORM = {"grant_type": "client_credentials"}
OPERATORS_SCOPES = 'operator_scopes = ["audit:read", "connections:read", "connections:revoke", "keys:read"]'


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _encoded(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


async def ask(vault: Vault, auth: tuple[str, str] | None = None, **more: str) -> httpx.Response:
    headers = {"X-Request-Id": fresh("ask")}
    return await vault.http.post(
        "/oauth/token", data=FORM | more, auth=auth or httpx.USE_CLIENT_DEFAULT, headers=headers
    )


class TestTheGrant:
    """One row of api.md §1.3 or §1.5 each."""

    async def test_the_token_is_an_at_jwt_that_the_published_keys_verify(self, vault: Vault) -> None:
        """RFC 9068 §2: EdDSA, ten minutes, for this vault."""
        base = vault.world.places.vault
        published = (await vault.http.get("/.well-known/jwks.json")).json()["keys"]
        seen = set()
        for _ in range(2):
            head, body, signature = (await vault.operator_token("audit:read")).split(".")
            header, claims = json.loads(_decoded(head)), json.loads(_decoded(body))
            assert (header["typ"], header["alg"]) == ("at+jwt", "EdDSA")
            (key,) = [each for each in published if each["kid"] == header["kid"]]
            public = Ed25519PublicKey.from_public_bytes(_decoded(key["x"]))
            public.verify(_decoded(signature), f"{head}.{body}".encode())
            assert (claims["iss"], claims["aud"], claims["sub"]) == (base, base, OPERATOR)
            assert (claims["client_id"], claims["scope"]) == (OPERATOR, "audit:read")
            assert claims["exp"] - claims["iat"] == 600
            seen.add(claims["jti"])
        assert len(seen) == 2

    @pytest.mark.parametrize(
        ("scope", "granted"),
        [
            ("", "audit:read connections:read connections:revoke keys:read"),
            ("connections:read", "connections:read"),
            ("connections:read audit:read connections:read", "audit:read connections:read"),
        ],
    )
    async def test_what_is_granted_is_what_was_asked_within_the_clients_list(
        self, vault: Vault, scope: str, granted: str
    ) -> None:
        answer = await ask(vault, vault.operator, scope=scope)
        assert answer.status_code == 200, answer.text
        check_headers(answer)
        assert set(answer.json()) == {"access_token", "token_type", "expires_in", "scope"}
        assert answer.json()["scope"] == granted
        (event,) = await vault.events_of(answer)
        assert (event["type"], event["decision"], event["client_id"]) == ("operator.token", "allowed", OPERATOR)

    async def test_a_scope_beyond_the_list_is_invalid_scope(self, vault: Vault) -> None:
        for scope in ("audit:write", "audit:read keys:write", "AUDIT:READ", "repo"):
            answer = await ask(vault, vault.operator, scope=scope)
            check_refusal(answer, 400, "invalid_scope")
            (event,) = await vault.events_of(answer)
            assert (event["type"], event["reason"]) == ("operator.token", "scope_not_allowed")

    async def test_a_client_without_operator_scopes_is_unauthorized_client(self, vault: Vault) -> None:
        answer = await ask(vault, vault.agent)
        check_refusal(answer, 400, "unauthorized_client")
        assert [event["reason"] for event in await vault.events_of(answer)] == ["no_operator_scopes"]
        check_refusal(await ask(vault, client_id=SAMPLE_AGENT), 400, "unauthorized_client")

    async def test_no_credentials_or_wrong_ones_are_invalid_client(self, vault: Vault) -> None:
        check_refusal(await ask(vault), 401, "invalid_client")
        check_refusal(await ask(vault, (OPERATOR, "wrong")), 401, "invalid_client")
        check_refusal(await ask(vault, client_id=OPERATOR), 401, "invalid_client")

    async def test_two_authorization_headers_are_two_methods(self, vault: Vault) -> None:
        headers = [("Authorization", httpx.BasicAuth(*vault.operator)._auth_header)] * 2  # noqa: SLF001
        answer = await vault.http.post("/oauth/token", data=FORM, headers=headers)
        check_refusal(answer, 400, "invalid_request")


def _tampered(vault: Vault, token: str) -> str:
    head, body, signature = token.split(".")
    return f"{head}.{body}.{'A' * len(signature)}"


def _unsigned(vault: Vault, token: str) -> str:
    return f"{_encoded(json.dumps({'alg': 'none', 'typ': 'at+jwt'}).encode())}.{token.split('.')[1]}."


def _by_a_stranger(vault: Vault, token: str) -> str:
    signed = token.rpartition(".")[0]
    return f"{signed}.{_encoded(Ed25519PrivateKey.generate().sign(signed.encode()))}"


def _of_a_user(vault: Vault, token: str) -> str:
    return vault.world.issuer.mint("alice", azp=OPERATOR, scope="audit:read", claims={"client_id": OPERATOR})


def _id_token(vault: Vault, token: str) -> str:
    return vault.world.issuer.mint_id_token("alice", client_id=OPERATOR)


BAD: dict[str, Callable[[Vault, str], str]] = {
    "nonsense": lambda *_: "nonsense.",
    "not one word": lambda _, token: f"{token} {token}",
    "tampered with": _tampered,
    "unsigned": _unsigned,
    "signed by a stranger": _by_a_stranger,
    "a user's": _of_a_user,
    "a user's ID token": _id_token,
    "a client's secret": lambda vault, _: vault.operator[1],
}


class TestBearer:
    """401 and 403 with `WWW-Authenticate`, and the body in the shape of every other problem."""

    def check(self, answer: httpx.Response, status: int, challenge: str) -> None:
        assert answer.status_code == status, answer.text
        check_headers(answer)
        assert answer.headers["www-authenticate"].startswith(challenge)
        body = answer.json()
        assert set(body) == {"type", "title", "status", "detail"}
        assert body["status"] == status

    @pytest.mark.parametrize("authorization", [None, "Basic b3A6eA==", "Bearerx y", "DPoP x", ""])
    async def test_who_sends_no_token_is_told_of_no_error(self, vault: Vault, authorization: str | None) -> None:
        """RFC 6750 §3.1."""
        headers = {} if authorization is None else {"Authorization": authorization}
        answer = await vault.http.get(EVENTS, headers=headers)
        self.check(answer, 401, BARE)
        assert answer.headers["www-authenticate"] == BARE

    @pytest.mark.parametrize("case", BAD)
    async def test_a_bad_token_is_invalid_token(self, vault: Vault, case: str) -> None:
        token = BAD[case](vault, await vault.operator_token())
        answer = await vault.http.get(EVENTS, headers=bearer(token))
        self.check(answer, 401, f'{BARE}, error="invalid_token", error_description="')
        assert token not in answer.text + str(answer.headers)

    async def test_an_empty_one_and_two_of_them_are_invalid_token(self, vault: Vault) -> None:
        good = ("Authorization", f"Bearer {await vault.operator_token()}")
        for headers in ([("Authorization", "Bearer")], [good, good], [good, ("Authorization", "Basic b3A6eA==")]):
            answer = await vault.http.get(EVENTS, headers=headers)
            self.check(answer, 401, f'{BARE}, error="invalid_token"')

    async def test_a_token_in_the_query_or_a_form_is_not_read(self, vault: Vault) -> None:
        token = await vault.operator_token()
        by_query = await vault.http.get(EVENTS, params={"access_token": token})
        by_form = await vault.http.request("GET", EVENTS, data={"access_token": token})
        for answer in (by_query, by_form):
            self.check(answer, 401, BARE)

    async def test_a_token_without_the_scope_is_insufficient_scope(self, vault: Vault) -> None:
        answer = await vault.http.get(EVENTS, headers=bearer(await vault.operator_token("connections:read")))
        self.check(answer, 403, f'{BARE}, error="insufficient_scope"')
        assert 'scope="audit:read"' in answer.headers["www-authenticate"]

    @pytest.mark.parametrize(
        ("written", "status"), [('operator_scopes = ["connections:read"]', 403), ("operator_scopes = []", 403)]
    )
    async def test_a_scope_taken_from_the_client_since_is_gone_from_its_tokens(
        self, vault: Vault, written: str, status: int
    ) -> None:
        token = await vault.operator_token("audit:read")
        with changed_vault(vault.world, {OPERATORS_SCOPES: written}) as url:
            answer = await vault.http.get(url + EVENTS, headers=bearer(token))
        self.check(answer, status, f'{BARE}, error="insufficient_scope"')

    async def test_the_tokens_of_a_client_that_is_gone_are_invalid(self, vault: Vault) -> None:
        token = await vault.operator_token("audit:read")
        with changed_vault(vault.world, {f"[clients.{OPERATOR}]": "[clients.another]"}) as url:
            answer = await vault.http.get(url + EVENTS, headers=bearer(token))
        self.check(answer, 401, f'{BARE}, error="invalid_token"')

    async def test_no_route_of_the_operators_answers_without_a_token(self, vault: Vault) -> None:
        document = (await vault.http.get("/openapi.json")).json()
        guarded = [
            (path, method, operation)
            for path, methods in document["paths"].items()
            for method, operation in methods.items()
            if path.startswith("/v1/")
        ]
        assert EVENTS in [path for path, _, _ in guarded]
        for path, method, operation in guarded:
            declared = [each for each in operation.get("parameters", []) if each["in"] == "query"]
            query = {each["name"]: "x" for each in declared if each["required"]}
            place = re.sub(r"{[^}]*}", str(uuid4()), path)
            self.check(await vault.http.request(method.upper(), place, params=query), 401, BARE)


async def test_an_operators_token_is_no_subject_token(vault: Vault, world: World) -> None:
    token = await vault.operator_token("audit:read")
    for kind in (ACCESS_TOKEN, "urn:ietf:params:oauth:token-type:jwt", "urn:ietf:params:oauth:token-type:id_token"):
        answer = await vault.exchange(token, subject_token_type=kind)
        check_refusal(answer, 400, "invalid_request")
        assert [event["reason"] for event in await vault.events_of(answer)] == ["wrong_issuer"]
    listed = await vault.http.get("/me/v1/connected-accounts/accounts", headers=bearer(token))
    assert listed.status_code == 401
    assert 'error="invalid_token"' in listed.headers["www-authenticate"]


async def test_a_users_token_opens_no_operators_route_whatever_it_says(vault: Vault, app: App) -> None:
    claims: dict[str, Any] = {"scope": "audit:read", "client_id": OPERATOR, "aud": vault.world.places.vault}
    for token in (app.session_token, vault.world.issuer.mint(OPERATOR, azp=OPERATOR, claims=claims)):
        answer = await vault.http.get(EVENTS, headers=bearer(token))
        assert answer.status_code == 401
    assert vault.world.settings.clients[BRIEFING_AGENT].operator_scopes == ()
