"""Security A1 and F3 at the token endpoint: whatever bytes come, the answer is OAuth's refusal and never a 5xx."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote_from_bytes, urlencode

import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.support.nearly import ANY_BODY, CONTENT_TYPES
from tests.wire.answers import check_refusal
from tests.wire.vault import ACCESS_TOKEN, FEDERATED_CONNECTION, FEDERATED_TOKEN, TOKEN_EXCHANGE, TOKEN_VAULT_TOKEN
from vaultd.sandbox.dev_config import BRIEFING_AGENT, SAMPLE_AGENT
from vaultd.sandbox.world import World

MAY_BE: dict[str, int] = {
    "invalid_request": 400,
    "unsupported_grant_type": 400,
    "unauthorized_client": 400,
    "invalid_target": 400,
    "invalid_scope": 400,
    "invalid_client": 401,
    "slow_down": 429,
}
"""What a stranger may be told, and how."""
FEW = settings(deadline=None, max_examples=250, suppress_health_check=[HealthCheck.function_scoped_fixture])

VISIBLE = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=30)
AUTHORIZATION = st.none() | VISIBLE | VISIBLE.map("Basic {}".format) | VISIBLE.map("Bearer {}".format)
QUERY = st.just("") | st.binary(min_size=1, max_size=10).map(quote_from_bytes)
VALUE = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@pytest.fixture(scope="module")
def stranger(world: World) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=world.places.vault, trust_env=False, timeout=30.0) as http:
        yield http


def check(answer: httpx.Response) -> None:
    error = answer.json().get("error")
    assert error in MAY_BE, answer.text
    check_refusal(answer, MAY_BE[error], error)


@given(ANY_BODY, CONTENT_TYPES, AUTHORIZATION, QUERY)
@FEW
def test_a1_any_bytes(
    stranger: httpx.Client, body: bytes, content_types: list[str], authorization: str | None, query: str
) -> None:
    # What is no header at all, the HTTP server refuses before anything of ours sees it.
    headers = [
        (b"content-type", kind.strip().encode("latin-1"))
        for kind in content_types
        if not [letter for letter in kind if letter < " " or letter == "\x7f"]
    ]
    if authorization is not None:
        headers.append((b"authorization", authorization.strip().encode()))
    check(stranger.post(f"/oauth/token?{query}" if query else "/oauth/token", content=body, headers=headers))


@given(
    st.fixed_dictionaries(
        {
            "grant_type": st.sampled_from([TOKEN_EXCHANGE, FEDERATED_CONNECTION, "client_credentials"]),
            "subject_token": VALUE,
            "subject_token_type": st.sampled_from([ACCESS_TOKEN, ACCESS_TOKEN.replace("access", "id")]) | VALUE,
        },
        optional={
            "requested_token_type": st.sampled_from([ACCESS_TOKEN, FEDERATED_TOKEN, TOKEN_VAULT_TOKEN]) | VALUE,
            "audience": st.just("github") | VALUE,
            "resource": st.just("https://api.github.com") | VALUE,
            "connection": st.just("github") | VALUE,
            "scope": VALUE,
            "actor_token": VALUE,
            "actor_token_type": st.just(ACCESS_TOKEN) | VALUE,
            "login_hint": VALUE,
            "client_id": st.just(SAMPLE_AGENT) | VALUE,
            "client_secret": VALUE,
            "client_assertion": VALUE,
            "client_assertion_type": VALUE,
        },
    ),
    st.booleans(),
)
@example({"grant_type": TOKEN_EXCHANGE, "subject_token": "e30.e30.", "subject_token_type": ACCESS_TOKEN}, True)  # noqa: FBT003
@FEW
def test_a1_any_values(stranger: httpx.Client, said: dict[str, str], as_json: bool) -> None:  # noqa: FBT001
    if as_json:
        check(stranger.post("/oauth/token", json=said))
    else:
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        check(stranger.post("/oauth/token", content=urlencode(said), headers=headers))


@given(
    st.dictionaries(st.sampled_from(["audience", "resource", "scope", "login_hint", "actor_token"]), VALUE, max_size=4)
)
@FEW
def test_a1_any_wishes_of_a_client_with_a_good_token(
    world: World, stranger: httpx.Client, wishes: dict[str, str]
) -> None:
    """Behind authentication too: wherever a value gets to, it does no more than be refused."""
    token = world.issuer.mint("fuzzed", azp=SAMPLE_AGENT)
    form = {"grant_type": TOKEN_EXCHANGE, "subject_token": token, "subject_token_type": ACCESS_TOKEN}
    agent = (BRIEFING_AGENT, world.secrets.briefing_agent.reveal())
    answer = stranger.post("/oauth/token", data=form | wishes, auth=agent)
    if answer.json().get("error") == "interaction_required":
        assert answer.json()["reason"] == "not_connected"
        return
    check(answer)
