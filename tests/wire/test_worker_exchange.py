"""Auth0's worker exchange from outside: its request and its subject token, and the reason that goes into the event.

The request and the JWT have the members that Auth0's page on the Privileged Worker exchange shows.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping

import httpx
import pytest
import pytest_asyncio

from tests.support.signing import ABSENT, JWT
from tests.wire.answers import check_refusal
from tests.wire.night import Night, open_night
from tests.wire.vault import (
    ACCESS_TOKEN,
    FEDERATED_CONNECTION,
    FEDERATED_TOKEN,
    TOKEN_VAULT_TOKEN,
    App,
    Vault,
    bearer,
    conformance,
    fresh,
    request_id,
)
from vaultd.sandbox.dev_config import SAMPLE_AGENT
from vaultd.sandbox.world import World
from vaultd.terms import system_clock

REASON = "Automated nightly sync for compliance report"
WORKER = "night-agent"
OTHER_TYPES = (None, ACCESS_TOKEN, FEDERATED_TOKEN)


@pytest_asyncio.fixture(scope="module")
async def night(world: World) -> AsyncIterator[Night]:
    async with open_night(world) as opened:
        opened.http.event_hooks["response"].append(conformance(world.places.vault).check)
        yield opened


def now() -> int:
    return int(system_clock().timestamp())


def signed(night: Night, user: str, header: Mapping[str, object] | None = None, /, **claims: object) -> str:
    """The JWT of Auth0's script: no `exp`, the user's id as `sub`, and the audience with a slash at its end."""
    usual = {"sub": user, "aud": f"{night.url}/", "exp": ABSENT, "audit_context": REASON, "org_id": "org_1"}
    return night.signers[WORKER].subject(header, **{**usual, **claims})


async def ask(night: Night, subject_token: str, **changed: str | None) -> httpx.Response:
    """The request of Auth0's page, with the client's key in the place of its secret."""
    form: dict[str, str | None] = {
        "client_id": WORKER,
        "subject_token": subject_token,
        "grant_type": FEDERATED_CONNECTION,
        "subject_token_type": JWT,
        "requested_token_type": TOKEN_VAULT_TOKEN,
        "connection": "github",
        **night.signers[WORKER].credentials(),
        **changed,
    }
    body = {name: value for name, value in form.items() if value is not None}
    return await night.http.post("/oauth/token", json=body, headers=request_id())


async def refused_for(vault: Vault, answer: httpx.Response) -> str:
    """The reason in the one event of a refusal that says as little as that of any other bad subject token."""
    assert (answer.status_code, answer.content) == (400, (await vault.exchange("x")).content), answer.text
    (event,) = await vault.events_of(answer)
    assert (event["type"], event["client_id"], event["subject_presence"]) == ("token.refused", WORKER, "asserted")
    assert "audit_context" not in event
    reason: str = event["reason"]
    return reason


async def test_auth0s_worker_request_gets_the_providers_token_and_its_reason_is_in_the_event(
    world: World, vault: Vault, night: Night, app: App
) -> None:
    await app.connect()
    answer = await ask(night, signed(night, app.user, nbf=now()))
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert world.providers["github"].grants.access(body["access_token"]) is not None
    assert (body["issued_token_type"], body["token_type"]) == (TOKEN_VAULT_TOKEN, "Bearer")
    assert "refresh_token" not in body
    (event,) = await vault.events_of(answer)
    assert (event["type"], event["client_id"], event["connection"]) == ("token.exchanged", WORKER, "github")
    assert (event["subject_presence"], event["subject"]["sub"]) == ("asserted", app.user)
    assert event["audit_context"] == REASON


async def test_the_plain_grant_takes_that_type_too(night: Night, app: App) -> None:
    await app.connect()
    answer = await night.send(WORKER, signed(night, app.user), requested_token_type=TOKEN_VAULT_TOKEN)
    assert (answer.status_code, answer.json()["issued_token_type"]) == (200, TOKEN_VAULT_TOKEN)


@pytest.mark.parametrize("later", [120, 1000, 10_000_000])
async def test_an_end_that_is_far_off_does_not_prolong_a_workers_assertion(
    vault: Vault, night: Night, app: App, later: int
) -> None:
    await app.connect()
    answer = await ask(night, signed(night, app.user, exp=now() + later))
    assert answer.status_code == 200, answer.text
    old = await ask(night, signed(night, app.user, iat=now() - 61, exp=now() + later))
    assert await refused_for(vault, old) == "expired"


BAD_TIMES: Mapping[str, tuple[str, Callable[[], dict[str, object]]]] = {
    "no iat": ("missing_claim", lambda: {"iat": ABSENT}),
    "no iat but an exp": ("missing_claim", lambda: {"iat": ABSENT, "exp": now() + 30}),
    "a minute old": ("expired", lambda: {"iat": now() - 61}),
    "very old": ("expired", lambda: {"iat": -1}),
    "from the future": ("not_yet_valid", lambda: {"iat": now() + 120}),
    "ended": ("expired", lambda: {"iat": now() - 50, "exp": now() - 40}),
    "iat is text": ("malformed", lambda: {"iat": str(now())}),
    "exp is text": ("malformed", lambda: {"exp": str(now() + 30)}),
    "no jti": ("missing_claim", lambda: {"jti": ABSENT}),
    "no reason": ("missing_claim", lambda: {"audit_context": ABSENT}),
}


@pytest.mark.parametrize("case", BAD_TIMES)
async def test_a_workers_assertion_has_an_age_an_id_and_a_reason(
    vault: Vault, night: Night, app: App, case: str
) -> None:
    reason, claims = BAD_TIMES[case]
    assert await refused_for(vault, await ask(night, signed(night, app.user, **claims()))) == reason


GOOD_REASONS = (
    "x",
    " ",
    "r" * 256,
    "\N{GRINNING FACE}" * 256,
    "Prüfung Nr. 7: „täglich“",
    "<b>&amp;</b> \u202f{x}",
    "e\u0301" * 128,
    "\N{WOMAN}\N{ZERO WIDTH JOINER}\N{PERSONAL COMPUTER}",
    "בדיקה של 7",
)
BAD_REASONS: Mapping[str, object] = {
    "empty": "",
    "257 characters": "r" * 257,
    "many": "r" * 4096,
    "257 characters beyond the first 65,536": "\N{GRINNING FACE}" * 257,
    "257 of which two make one letter": "e\u0301" * 128 + "x",
    "false": False,
    "zero": 0,
    "null": None,
    "true": True,
    "a number": 42,
    "a list": [REASON],
    "an object": {"why": REASON},
    "two lines": "one\ntwo",
    "a tab": "one\ttwo",
    "a NUL": "one\0two",
    "an escape sequence": "\x1b[31mred",
    "DEL": "one\x7f",
    "a C1 control": "one\x9b31m",
    "a separator of lines": "one\u2028two",
    "a separator of paragraphs": "one\u2029two",
    "an override of direction": "\u202eoidua",
    "an isolate": "\u2066one",
}


@pytest.mark.parametrize("requested", [TOKEN_VAULT_TOKEN, *OTHER_TYPES])
@pytest.mark.parametrize("case", BAD_REASONS)
async def test_a_reason_that_is_none_is_a_bad_subject_token(
    vault: Vault, night: Night, app: App, case: str, requested: str | None
) -> None:
    assertion = signed(night, app.user, exp=now() + 60, audit_context=BAD_REASONS[case])
    assert await refused_for(vault, await ask(night, assertion, requested_token_type=requested)) == "malformed"


@pytest.mark.parametrize("claim", ["audit_context", "sub", "jti"])
@pytest.mark.parametrize("text", ["one\ud83d", "\ude00one", "\ude00\ud83d"])
async def test_half_a_character_makes_it_no_token_at_all(
    vault: Vault, night: Night, app: App, claim: str, text: str
) -> None:
    """RFC 7493 §2.1: so it is read by nobody, and the answer is that to any other bad token."""
    answer = await ask(night, signed(night, app.user, **{claim: text}))
    assert (answer.status_code, answer.content) == (400, (await vault.exchange("x")).content)
    (event,) = await vault.events_of(answer)
    assert (event["type"], event["reason"]) == ("token.refused", "malformed")


async def test_a_reason_is_kept_as_it_was_written(vault: Vault, night: Night, app: App) -> None:
    await app.connect()
    for reason in GOOD_REASONS:
        answer = await ask(night, signed(night, app.user, audit_context=reason))
        assert answer.status_code == 200, answer.text
        (event,) = await vault.events_of(answer)
        assert event["audit_context"] == reason
        assert "cut" not in event


@pytest.mark.parametrize("requested", OTHER_TYPES)
async def test_with_the_other_types_a_reason_may_be_given_and_all_else_is_as_before(
    vault: Vault, night: Night, app: App, requested: str | None
) -> None:
    await app.connect()
    answer = await ask(night, signed(night, app.user, exp=now() + 60), requested_token_type=requested)
    assert (answer.status_code, answer.json().get("issued_token_type")) == (200, requested or FEDERATED_TOKEN)
    assert (await vault.events_of(answer))[0]["audit_context"] == REASON
    unsaid = signed(night, app.user, exp=now() + 60, iat=ABSENT, audit_context=ABSENT)
    answer = await ask(night, unsaid, requested_token_type=requested)
    assert answer.status_code == 200, answer.text
    assert "audit_context" not in (await vault.events_of(answer))[0]
    for wrong, reason in (({}, "missing_claim"), ({"exp": now() + 1000}, "lifetime")):
        refused = await ask(night, signed(night, app.user, **wrong), requested_token_type=requested)
        assert await refused_for(vault, refused) == reason


@pytest.mark.parametrize(("first", "then"), [(TOKEN_VAULT_TOKEN, ACCESS_TOKEN), (ACCESS_TOKEN, TOKEN_VAULT_TOKEN)])
async def test_an_assertion_serves_once_whatever_type_is_requested(
    vault: Vault, night: Night, app: App, first: str, then: str
) -> None:
    await app.connect()
    assertion = signed(night, app.user, exp=now() + 300)
    assert (await ask(night, assertion, requested_token_type=first)).status_code == 200
    for requested in (first, then):
        assert await refused_for(vault, await ask(night, assertion, requested_token_type=requested)) == "replayed"


@pytest.mark.parametrize("requested", [TOKEN_VAULT_TOKEN, *OTHER_TYPES])
async def test_a_users_own_token_gives_no_reason(world: World, vault: Vault, app: App, requested: str | None) -> None:
    await app.connect()
    for claim in (REASON, "r" * 5000, 42, "two\nlines"):
        token = world.issuer.mint(app.user, azp=SAMPLE_AGENT, claims={"audit_context": claim})
        answer = await vault.exchange(token, requested_token_type=requested, audit_context=REASON)
        assert (answer.status_code, answer.json().get("issued_token_type")) == (200, requested or ACCESS_TOKEN)
        (event,) = await vault.events_of(answer)
        assert (event["subject_presence"], "audit_context" in event) == ("present", False)


async def test_a_refusal_of_a_known_user_has_the_reason_too(vault: Vault, night: Night, app: App) -> None:
    await app.connect()
    for changed, reason in (({"connection": "slack"}, "assert_provider"), ({"scope": "admin"}, "scope_not_allowed")):
        answer = await ask(night, signed(night, app.user), **changed)
        (event,) = await vault.events_of(answer)
        assert (event["type"], event["reason"], event["audit_context"]) == ("token.refused", reason, REASON)


async def test_a_user_who_is_not_known_leaves_no_words_about_them(vault: Vault, night: Night) -> None:
    stranger = fresh("stranger")
    answer = await ask(night, signed(night, stranger, audit_context=f"For {stranger}"))
    assert (answer.status_code, answer.json()["reason"]) == (400, "not_connected")
    (event,) = await vault.events_of(answer)
    assert stranger not in str(event)


async def test_a_user_is_not_shown_the_words_of_an_app_as_if_they_were_the_vaults(
    vault: Vault, night: Night, app: App
) -> None:
    await app.connect()
    assert (await ask(night, signed(night, app.user))).status_code == 200
    own = await vault.http.get("/me/v1/connected-accounts/activity", headers=bearer(app.session_token))
    assert own.status_code == 200, own.text
    assert [event for event in own.json()["events"] if event["type"] == "token.exchanged"]
    assert REASON not in own.text


@pytest.mark.parametrize(
    "requested",
    [
        "http://auth0.com/oauth/token-type/token-vault-refresh-token",
        "https://auth0.com/oauth/token-type/token-vault-access-token",
        f"{TOKEN_VAULT_TOKEN}/",
        TOKEN_VAULT_TOKEN.upper(),
        "urn:ietf:params:oauth:token-type:refresh_token",
    ],
)
async def test_no_other_type_can_be_requested(night: Night, app: App, requested: str) -> None:
    await app.connect()
    answer = await ask(night, signed(night, app.user), requested_token_type=requested)
    check_refusal(answer, 400, "invalid_request")
