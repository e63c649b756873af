"""RFC 7662 from outside: opaque tokens and refresh tokens, believed on their issuer's word (issue 4, item 1)."""

from __future__ import annotations

import asyncio

import pytest

from tests.unit.loopback_issuer import sign
from tests.wire.issuers import NIGHT_AGENT, Issuers
from tests.wire.test_forged_introspected import KEY
from tests.wire.vault import Vault, bearer, fresh, request_id
from vaultd.sandbox.dev_config import BRIEFING_AGENT, SAMPLE_AGENT

TYPE = "urn:ietf:params:oauth:token-type:"
ACCOUNTS = "/me/v1/connected-accounts/accounts"


async def test_an_opaque_access_token_connects_and_exchanges(issuers: Issuers, believer: Vault) -> None:
    """The accounts API and the token endpoint believe it alike."""
    token = issuers.opaque(fresh("user"))
    async with issuers.app(token) as app:
        await app.connect()
    answer = await believer.exchange(token)
    assert answer.status_code == 200, answer.text
    (event,) = await believer.events_of(answer)
    assert (event["decision"], event["client_id"]) == ("allowed", BRIEFING_AGENT)
    # A client without a secret is named by the answer's client_id.
    implicit = await believer.http.post("/oauth/token", data=believer.exchange_form(token))
    assert implicit.status_code == 200, implicit.text


async def test_a_jwt_of_that_issuer_is_asked_about(issuers: Issuers, believer: Vault) -> None:
    token = sign(KEY, {"alg": "ES256", "typ": "at+jwt"}, {"iss": issuers.asked.issuer, "jti": fresh("jwt")}).reveal()
    issuers.asked.answers[token] = issuers.asked.answers[issuers.opaque(fresh("user"))]
    for token_type in ("access_token", "jwt"):
        answer = await believer.exchange(token, subject_token_type=TYPE + token_type)
        assert answer.json()["error"] == "interaction_required", answer.text
    assert [form["token"] for form in issuers.asked.asked] == [token, token]


async def test_a_refresh_token_from_a_trusted_client(issuers: Issuers, believer: Vault) -> None:
    """api.md §1.1: `…:refresh_token` only for an issuer with introspection."""
    user = fresh("user")
    async with issuers.app(issuers.opaque(user)) as app:
        await app.connect()
    token = issuers.refresh_token(user)
    form = believer.exchange_form(token, subject_token_type=TYPE + "refresh_token")
    answer = await believer.http.post("/oauth/token", data=form, auth=NIGHT_AGENT)
    assert answer.status_code == 200, answer.text
    assert issuers.asked.asked[-1] == {"token": token, "token_type_hint": "refresh_token"}
    assert "refresh_token" not in answer.json()
    # A2: it names no audience, so that a client which is not trusted may not present it.
    other = await believer.exchange(token, subject_token_type=TYPE + "refresh_token")
    assert (other.status_code, other.json()["error"]) == (400, "invalid_request")
    assert [event["reason"] for event in await believer.events_of(other)] == ["wrong_presenter"]


async def test_a_refresh_token_for_another_issuer_is_refused(issuers: Issuers, believer: Vault) -> None:
    token = issuers.world.issuer.mint(fresh("user"), azp=SAMPLE_AGENT)
    answer = await believer.exchange(token, subject_token_type=TYPE + "refresh_token")
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    assert [event["reason"] for event in await believer.events_of(answer)] == ["wrong_type"]


async def test_a_refresh_token_is_no_bearer_token(issuers: Issuers, believer: Vault) -> None:
    for changes in ({}, {"token_type": "Bearer"}, {"aud": believer.world.places.vault, "token_use": "refresh_token"}):
        token = issuers.refresh_token(fresh("user"), **changes)
        answer = await believer.http.get(ACCOUNTS, headers=bearer(token))
        assert answer.status_code == 401, answer.text
        # And no access token at the token endpoint.
        assert (await believer.exchange(token)).json()["error"] == "invalid_request"


async def test_revoked_is_refused_at_once(issuers: Issuers, believer: Vault) -> None:
    token = issuers.opaque(fresh("user"))
    assert (await believer.exchange(token)).json()["error"] == "interaction_required"
    assert (await believer.http.get(ACCOUNTS, headers=bearer(token))).status_code == 200
    del issuers.asked.answers[token]
    answer = await believer.exchange(token)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    assert [event["reason"] for event in await believer.events_of(answer)] == ["inactive"]
    assert (await believer.http.get(ACCOUNTS, headers=bearer(token))).status_code == 401


async def test_tokens_of_other_issuers_are_never_shown_to_it(issuers: Issuers, believer: Vault) -> None:
    token = issuers.second.mint(fresh("user"), azp=SAMPLE_AGENT)
    assert (await believer.exchange(token)).json()["error"] == "interaction_required"
    for spoilt in (token[:-10], f"{token}.x", f'"{token}"', f"Bearer {token}", token.rpartition(".")[0]):
        answer = await believer.exchange(spoilt)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    assert not issuers.asked.asked


@pytest.mark.parametrize(
    "fault", [500, 401, 302, b"<html>", b"[]", b'{"active": "true"}', (400, b'{"error": "invalid_request"}'), "drop"]
)
async def test_an_issuer_that_does_not_answer_is_503(
    issuers: Issuers, believer: Vault, fault: int | bytes | tuple[int, bytes] | str
) -> None:
    token = issuers.opaque(fresh("user"))
    issuers.asked.fault = fault
    answer = await believer.exchange(token)
    assert (answer.status_code, answer.json()["error"]) == (503, "temporarily_unavailable")
    assert int(answer.headers["retry-after"]) > 0
    (event,) = await believer.events_of(answer)
    assert (event["decision"], event["reason"]) == ("refused", "issuer_unreachable")
    accounts = await believer.http.get(ACCOUNTS, headers=bearer(token))
    assert (accounts.status_code, "retry-after" in accounts.headers) == (503, True)
    issuers.asked.fault = None
    assert (await believer.exchange(token)).json()["error"] == "interaction_required"


async def _asked(issuers: Issuers, questions: int) -> None:
    async with asyncio.timeout(10):
        while len(issuers.asked.asked) < questions:
            await asyncio.sleep(0.01)


async def test_requests_with_the_same_token_share_one_call(issuers: Issuers, believer: Vault) -> None:
    token = issuers.opaque(fresh("user"))
    issuers.asked.held = True
    waiting = [asyncio.create_task(believer.exchange(token)) for _ in range(20)]
    await _asked(issuers, 1)
    await asyncio.sleep(0.3)
    issuers.asked.held = False
    answers = await asyncio.gather(*waiting)
    assert {answer.json()["error"] for answer in answers} == {"interaction_required"}
    assert len(issuers.asked.asked) == 1
    await believer.exchange(token)
    assert len(issuers.asked.asked) == 2


async def test_no_database_connection_is_held_while_it_is_asked(issuers: Issuers, believer: Vault) -> None:
    """C5's habit: twice as many requests wait for the issuer as the pool has connections, and others are served."""
    tokens = [issuers.opaque(fresh("user")) for _ in range(32)]
    issuers.asked.held = True
    form = [believer.exchange_form(token) for token in tokens]
    waiting = [
        asyncio.create_task(believer.http.post("/oauth/token", data=each, auth=believer.agent, headers=request_id()))
        for each in form
    ]
    await _asked(issuers, len(tokens))
    async with asyncio.timeout(5):
        other = await believer.exchange(issuers.second.mint(fresh("user"), azp=SAMPLE_AGENT))
        ready = await believer.http.get("/health/ready")
    assert other.json()["error"] == "interaction_required"
    assert ready.status_code == 200
    issuers.asked.held = False
    assert {answer.status_code for answer in await asyncio.gather(*waiting)} == {400}
