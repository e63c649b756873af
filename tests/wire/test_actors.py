"""Security A4 and A6 from outside: whose user it is, who acts for them, and what is recorded of that."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import httpx
import pytest

from tests.wire.issuers import NIGHT_AGENT, Issuers, of, shared
from tests.wire.vault import ACCESS_TOKEN, App, Vault, fresh, request_id
from vaultd.sandbox.dev_config import BRIEFING_AGENT, SAMPLE_AGENT

AGENT = "nightly-agent"


async def test_a4_the_same_sub_at_two_issuers_is_two_users(issuers: Issuers, believer: Vault) -> None:
    user = fresh("user")
    async with App(issuers.world, user=user) as app:
        await app.connect()
    assert (await believer.exchange(app.session_token)).status_code == 200
    others = {
        "discovery": issuers.second.mint(user, azp=SAMPLE_AGENT),
        "introspection": issuers.opaque(user),
        "shared secret": shared(user),
    }
    for kind, token in others.items():
        answer = await believer.exchange(token)
        assert (answer.status_code, answer.json()["reason"]) == (400, "not_connected"), kind
    # Each may connect an account of their own, and sees that one only.
    async with App(of(issuers.world, issuers.second), user=user) as other:
        assert (await other.http.get("accounts")).json()["accounts"] == []
        theirs = await other.connect()
        assert [account["id"] for account in (await other.http.get("accounts")).json()["accounts"]] == [theirs["id"]]
        mine = (await believer.exchange(app.session_token)).json()["access_token"]
        assert (await believer.exchange(other.session_token)).json()["access_token"] != mine
    assert (await believer.exchange(issuers.opaque(user))).json()["reason"] == "not_connected"


async def _acted(
    believer: Vault, subject: str, actor: str | None = None, auth: tuple[str, str] | None = None
) -> httpx.Response:
    form = believer.exchange_form(subject)
    if actor is not None:
        form |= {"actor_token": actor, "actor_token_type": ACCESS_TOKEN}
    return await believer.http.post("/oauth/token", data=form, auth=auth or believer.agent, headers=request_id())


async def _recorded(believer: Vault, answer: httpx.Response) -> Any:
    assert answer.json()["error"] == "interaction_required", answer.text
    (event,) = await believer.events_of(answer)
    return event.get("actor")


async def test_a6_the_chain_of_actors_is_recorded_whole(issuers: Issuers, believer: Vault) -> None:
    """RFC 8693 §4.1: the newest outermost, the earlier ones nested as the subject token has them."""
    act = {"sub": "relay", "iss": "https://relay.example", "act": {"sub": "first", "act": {"sub": "before it"}}}
    subject = issuers.world.issuer.mint(fresh("user"), azp=SAMPLE_AGENT, claims={"act": act})
    assert await _recorded(believer, await _acted(believer, subject)) == act
    actor = issuers.second.mint(AGENT, azp=SAMPLE_AGENT)
    newest = {"iss": issuers.second.issuer, "sub": AGENT}
    assert await _recorded(believer, await _acted(believer, subject, actor)) == newest | {"act": act}
    plain = issuers.world.issuer.mint(fresh("user"), azp=SAMPLE_AGENT)
    assert await _recorded(believer, await _acted(believer, plain, actor)) == newest
    assert await _recorded(believer, await _acted(believer, plain)) is None


async def test_a6_an_introspected_token_has_actors_too(issuers: Issuers, believer: Vault) -> None:
    act = {"sub": "relay", "act": {"sub": "first"}}
    subject = issuers.opaque(fresh("user"), act=act, may_act={"iss": issuers.asked.issuer, "sub": AGENT})
    answer = await _acted(believer, subject, issuers.opaque(AGENT))
    assert await _recorded(believer, answer) == {"iss": issuers.asked.issuer, "sub": AGENT, "act": act}
    other = await _acted(believer, subject, issuers.opaque("another"))
    assert [event["reason"] for event in await believer.events_of(other)] == ["may_act"]


MAY_ACT: Mapping[str, tuple[bool, Callable[[Issuers], dict[str, object]]]] = {
    "the actor of the subject's issuer": (True, lambda _: {"sub": AGENT}),
    "the actor by issuer and sub": (True, lambda i: {"iss": i.world.issuer.issuer, "sub": AGENT}),
    "the actor and the client": (True, lambda _: {"sub": AGENT, "client_id": BRIEFING_AGENT}),
    "the client by its id": (True, lambda _: {"client_id": BRIEFING_AGENT}),
    "the client by its azp": (True, lambda _: {"client_id": SAMPLE_AGENT}),
    "another sub": (False, lambda _: {"sub": "another"}),
    "the sub of another issuer": (False, lambda i: {"iss": i.second.issuer, "sub": AGENT}),
    "the client as sub, though an actor came": (False, lambda _: {"sub": BRIEFING_AGENT}),
    "the actor, but another client": (False, lambda _: {"sub": AGENT, "client_id": "another"}),
    "another client": (False, lambda _: {"client_id": "another"}),
    "clients as a list": (False, lambda _: {"client_id": [BRIEFING_AGENT]}),
    "sub a list": (False, lambda _: {"sub": [AGENT]}),
    "nobody": (False, lambda _: {}),
    "an issuer alone": (False, lambda i: {"iss": i.world.issuer.issuer}),
    "an e-mail": (False, lambda _: {"email": "agent@example.com"}),
}


@pytest.mark.parametrize("case", MAY_ACT)
async def test_a6_may_act_names_who_acts(issuers: Issuers, believer: Vault, case: str) -> None:
    """RFC 8693 §4.4: everything that it says must be true of the actor."""
    allowed, make = MAY_ACT[case]
    issuer = issuers.world.issuer
    subject = issuer.mint(fresh("user"), azp=SAMPLE_AGENT, claims={"may_act": make(issuers)})
    answer = await _acted(believer, subject, issuer.mint(AGENT, azp=SAMPLE_AGENT))
    (event,) = await believer.events_of(answer)
    if allowed:
        assert answer.json()["error"] == "interaction_required"
        assert event["actor"]["sub"] == AGENT
    else:
        assert (answer.status_code, answer.json()["error"], event["reason"]) == (400, "invalid_request", "may_act")


async def test_a6_without_an_actor_token_the_client_itself_acts(issuers: Issuers, believer: Vault) -> None:
    issuer = issuers.world.issuer
    for may_act, allowed in (
        ({"sub": BRIEFING_AGENT}, True),
        ({"sub": SAMPLE_AGENT}, True),
        ({"iss": issuer.issuer, "sub": BRIEFING_AGENT}, True),
        ({"iss": issuers.second.issuer, "sub": BRIEFING_AGENT}, False),
        ({"sub": AGENT}, False),
    ):
        subject = issuer.mint(fresh("user"), azp=SAMPLE_AGENT, claims={"may_act": may_act})
        answer = await _acted(believer, subject)
        assert answer.json()["error"] == ("interaction_required" if allowed else "invalid_request"), may_act


BAD_ACTORS: Mapping[str, tuple[str, Callable[[Issuers], str]]] = {
    "nonsense": ("malformed", lambda _: "é.ü.ß"),
    "an unknown opaque one": ("inactive", lambda _: "nobody's"),
    "expired": ("expired", lambda i: i.second.mint(AGENT, ttl=-61)),
    "for another": ("wrong_audience", lambda i: i.second.mint(AGENT, aud="https://other.example")),
    "of nobody": ("wrong_issuer", lambda i: i.second.mint(AGENT, claims={"iss": "https://other.example"})),
    "of another client": ("wrong_presenter", lambda i: i.second.mint(AGENT, azp="some-other-app")),
    "of no client": ("wrong_presenter", lambda i: i.second.mint(AGENT)),
    "an ID token": ("wrong_audience", lambda i: i.second.mint_id_token(AGENT, client_id=SAMPLE_AGENT)),
    "by another secret": ("wrong_issuer", lambda _: shared(AGENT, claims={"iss": "https://other.example"})),
    "bound to a key, without proof": (
        "dpop_missing",
        lambda i: i.second.mint(AGENT, claims={"cnf": {"jkt": "A" * 43}}),
    ),
    "not bound, where that is required": ("dpop_unbound", lambda i: i.bound.mint(AGENT)),
}


@pytest.mark.parametrize("case", BAD_ACTORS)
async def test_a6_a_bad_actor_token_is_refused(issuers: Issuers, believer: Vault, case: str) -> None:
    """However good the subject token is; with one event, which says why."""
    reason, make = BAD_ACTORS[case]
    answer = await _acted(believer, issuers.world.issuer.mint(fresh("user"), azp=SAMPLE_AGENT), make(issuers))
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    (event,) = await believer.events_of(answer)
    assert (event["type"], event["client_id"], event["reason"]) == ("token.refused", BRIEFING_AGENT, reason)


async def test_a6_an_actor_token_for_nobody_needs_a_trusted_client(issuers: Issuers, believer: Vault) -> None:
    """A refresh token names no audience; only the client that its issuer's settings trust may bring one."""
    user = fresh("user")
    form = believer.exchange_form(issuers.opaque(user)) | {
        "actor_token": issuers.refresh_token(AGENT, client_id=NIGHT_AGENT[0]),
        "actor_token_type": "urn:ietf:params:oauth:token-type:refresh_token",
    }
    trusted = await believer.http.post("/oauth/token", data=form, auth=NIGHT_AGENT, headers=request_id())
    assert (await _recorded(believer, trusted))["sub"] == AGENT
    answer = await believer.http.post("/oauth/token", data=form, auth=believer.agent, headers=request_id())
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    assert [event["reason"] for event in await believer.events_of(answer)] == ["wrong_presenter"]
