"""Security A2, A5 to A8 and A11 from outside: whom the token endpoint believes, and what it says to all others."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey
from joserfc.jws import JWSRegistry

from tests.wire.vault import ACCESS_TOKEN, App, Vault, fresh, query_of
from vaultd.sandbox.dev_config import BRIEFING_AGENT, SAMPLE_AGENT
from vaultd.sandbox.world import World

Make = Callable[[World], str]
HOUR = 3600


def _minted(**claims: object) -> Make:
    return lambda world: world.issuer.mint("alice", azp=SAMPLE_AGENT, claims=claims)


def _claims(world: World) -> dict[str, Any]:
    body = world.issuer.mint("alice", azp=SAMPLE_AGENT).split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return claims


def _encoded(part: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


def _kid(world: World) -> str:
    kid: str = world.issuer.jwks()["keys"][-1]["kid"]
    return kid


def _stranger(world: World, **header: object) -> str:
    """A token that somebody else signed, under the issuer's key id."""
    key = ECKey.generate_key("P-256")
    return jwt.encode({"alg": "ES256", "kid": _kid(world), "typ": "at+jwt", **header}, _claims(world), key)


def _own_key_inside(world: World) -> str:
    key = ECKey.generate_key("P-256")
    header = {"alg": "ES256", "typ": "at+jwt", "kid": _kid(world), "jwk": key.as_dict(private=False)}
    return jwt.encode(header, _claims(world), key)


def _headed(**header: object) -> Make:
    """Signed by the issuer itself, under an unusual header."""

    def make(world: World) -> str:
        key = world.issuer._keys[-1]  # noqa: SLF001 - only the issuer's own key makes the header what is refused
        whole = {"alg": "ES256", "kid": key.kid, "typ": "at+jwt", **header}
        signed = f"{_encoded(whole)}.{_encoded(_claims(world))}"
        signature = JWSRegistry(algorithms=["ES256"]).get_alg("ES256").sign(signed.encode(), key)
        return f"{signed}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"

    return make


def _unsigned(alg: str) -> Make:
    return lambda world: f"{_encoded({'alg': alg, 'typ': 'at+jwt'})}.{_encoded(_claims(world))}."


def _keyed_by_the_public_key(world: World) -> str:
    key = OctKey.import_key(json.dumps(world.issuer.jwks()["keys"][-1]))
    return jwt.encode({"alg": "HS256", "kid": _kid(world), "typ": "at+jwt"}, _claims(world), key)


def _altered(world: World) -> str:
    head, _, signature = world.issuer.mint("alice", azp=SAMPLE_AGENT).split(".")
    return f"{head}.{_encoded(_claims(world) | {'sub': 'bob'})}.{signature}"


def _id_token(world: World) -> str:
    return world.issuer.mint_id_token("alice", client_id=SAMPLE_AGENT)


BAD: Mapping[str, tuple[str, Make]] = {
    "nonsense": ("malformed", lambda _: "x"),
    "three empty parts": ("malformed", lambda _: ".."),
    "bytes of no meaning": ("malformed", lambda _: "é.ü.ß"),
    "signed by a stranger": ("bad_signature", _stranger),
    "altered": ("bad_signature", _altered),
    "stranger's key in the header": ("bad_signature", _own_key_inside),
    "stranger's key by address": (
        "bad_signature",
        lambda world: _stranger(world, jku="https://evil.example/jwks", x5u="https://evil.example/x5u"),
    ),
    "unknown key": ("unknown_key", lambda world: _stranger(world, kid="nobody's")),
    "alg none": ("bad_algorithm", _unsigned("none")),
    "alg None": ("bad_algorithm", _unsigned("None")),
    "alg NONE": ("bad_algorithm", _unsigned("NONE")),
    "HMAC by the public key": ("bad_algorithm", _keyed_by_the_public_key),
    "expired": ("expired", lambda world: world.issuer.mint("alice", azp=SAMPLE_AGENT, ttl=-61)),
    "no exp": ("missing_claim", _minted(exp=None)),
    "not yet": ("not_yet_valid", _minted(nbf=9_999_999_999)),
    "issued in the future": ("not_yet_valid", _minted(iat=9_999_999_990, exp=9_999_999_999)),
    "for another": ("wrong_audience", _minted(aud="https://other.example")),
    "for nobody": ("malformed", _minted(aud=[])),
    "by another": ("wrong_issuer", _minted(iss="https://other.example")),
    "by almost the same": ("wrong_issuer", lambda world: _minted(iss=world.places.issuer + "/")(world)),
    "by nobody": ("missing_claim", _minted(iss=None)),
    "no sub": ("missing_claim", _minted(sub=None)),
    "a number as sub": ("malformed", _minted(sub=7)),
    "an empty sub": ("malformed", _minted(sub="")),
    "NUL in sub": ("malformed", _minted(sub="a\x00b")),
    "too large": ("too_large", _minted(filler="x" * 17_000)),
    "a critical extension": ("critical_header", _headed(crit=["b64x"], b64x=True)),
    "a logout token": ("wrong_type", _headed(typ="logout+jwt")),
    "an ID token": ("wrong_audience", _id_token),
    "issued to another client": ("wrong_presenter", lambda world: world.issuer.mint("alice", azp="web-app")),
    "issued to no client": ("wrong_presenter", lambda world: world.issuer.mint("alice")),
    "may act: another": ("may_act", _minted(may_act={"sub": "another-agent"})),
}


@pytest.mark.parametrize("case", BAD)
async def test_a2_a_bad_subject_token_is_refused_with_one_event(vault: Vault, case: str) -> None:
    reason, make = BAD[case]
    answer = await vault.exchange(make(vault.world))
    plain = await vault.exchange("x")
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"] == "invalid_request"
    # Why stands in the event only: all answers are the same bytes.
    assert answer.content == plain.content
    assert answer.headers["cache-control"] == "no-store"
    (event,) = await vault.events_of(answer)
    assert (event["type"], event["decision"], event["client_id"]) == ("token.refused", "refused", BRIEFING_AGENT)
    assert event["reason"] == reason


async def test_a11_refusals_without_a_client_are_counted_together(vault: Vault) -> None:
    answers = [await vault.http.post("/oauth/token", data=vault.exchange_form("x")) for _ in range(5)]
    assert {answer.status_code for answer in answers} == {400}
    assert sum([len(await vault.events_of(answer)) for answer in answers]) <= 2  # one a minute


async def test_a_wrong_secret_is_401_with_a_challenge(vault: Vault) -> None:
    form = vault.exchange_form("x")
    wrong = await vault.http.post("/oauth/token", data=form, auth=(BRIEFING_AGENT, "wrong"))
    unknown = await vault.http.post("/oauth/token", data=form, auth=("nobody", "wrong"))
    assert wrong.status_code == unknown.status_code == 401
    assert wrong.headers["www-authenticate"].startswith("Basic ")
    assert wrong.content == unknown.content
    assert wrong.json()["error"] == "invalid_client"


async def test_a_wrong_secret_in_the_body_is_401_without_a_challenge(vault: Vault) -> None:
    form = vault.exchange_form("x", client_id=BRIEFING_AGENT, client_secret="wrong")
    answer = await vault.http.post("/oauth/token", data=form)
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    assert "www-authenticate" not in answer.headers


async def test_the_right_secret_by_another_method_is_401(vault: Vault) -> None:
    form = vault.exchange_form("x", client_id=vault.agent[0], client_secret=vault.agent[1])
    answer = await vault.http.post("/oauth/token", data=form)
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


@pytest.mark.parametrize("authorization", ["Bearer x", "Basic", "Basic !!!", "Basic eA==", "Digest x"])
async def test_credentials_that_cannot_be_read_are_401(vault: Vault, authorization: str) -> None:
    headers = {"Authorization": authorization}
    answer = await vault.http.post("/oauth/token", data=vault.exchange_form("x"), headers=headers)
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    assert "www-authenticate" in answer.headers


async def test_a8_unknown_and_forbidden_targets_get_the_same_bytes(vault: Vault, app: App) -> None:
    operator_form = vault.exchange_form(vault.world.issuer.mint(app.user, azp="operator"))
    forbidden = await vault.http.post("/oauth/token", data=operator_form, auth=vault.operator)
    unknown = await vault.exchange(app.session_token, audience="nowhere")
    elsewhere = await vault.exchange(app.session_token, audience=None, resource="https://api.nowhere.example/x")
    assert {answer.status_code for answer in (forbidden, unknown, elsewhere)} == {400}
    assert unknown.json()["error"] == "invalid_target"
    assert forbidden.content == unknown.content == elsewhere.content
    assert len(await vault.events_of(unknown)) == 1


async def test_a_scope_outside_the_policy_is_invalid_scope(vault: Vault, app: App) -> None:
    answer = await vault.exchange(app.session_token, scope="repo admin:org")
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_scope")
    (event,) = await vault.events_of(answer)
    assert event["decision"] == "refused"
    assert sorted(event["requested_scopes"]) == ["admin:org", "repo"]


async def test_a_user_without_a_connection_is_led_to_the_door(vault: Vault, app: App) -> None:
    answer = await vault.exchange(app.session_token, scope="repo")
    body = answer.json()
    assert (answer.status_code, body["error"], body["reason"]) == (400, "interaction_required", "not_connected")
    assert body["connection"] == "github"
    assert body["connect_uri"].startswith(f"{vault.world.places.vault}/auth/connect/github?")
    assert query_of(body["connect_uri"]) == {"client_id": BRIEFING_AGENT, "scope": "repo"}
    assert len(await vault.events_of(answer)) == 1


def _check_token(answer: httpx.Response) -> None:
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["token_type"] == "Bearer"
    assert body["issued_token_type"] == ACCESS_TOKEN
    assert 0 < body["expires_in"] <= 300
    assert body["scope"] == "read:user repo"
    assert body["connection"] == "github"
    assert "refresh_token" not in body
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["pragma"] == "no-cache"


async def test_the_shortest_request_works_as_written(vault: Vault, app: App) -> None:
    await app.connect()
    answer = await vault.http.post("/oauth/token", data=vault.exchange_form(app.session_token))
    _check_token(answer)
    (event,) = await vault.events_of(answer)
    assert (event["type"], event["decision"], event["client_id"]) == ("token.exchanged", "allowed", SAMPLE_AGENT)


async def test_other_ways_to_ask_work_too(vault: Vault, app: App) -> None:
    await app.connect()
    resource = f"{vault.world.places.providers['github']}/user"
    _check_token(await vault.exchange(app.session_token))
    _check_token(await vault.exchange(app.session_token, requested_token_type=None))
    _check_token(await vault.exchange(app.session_token, audience=None, resource=resource))
    _check_token(await vault.exchange(app.session_token, resource=resource))
    _check_token(await vault.exchange(app.session_token, scope="", login_hint="", colour="blue"))
    _check_token(await vault.exchange(app.session_token, scope="repo"))
    form = vault.exchange_form(app.session_token)
    _check_token(await vault.http.post("/oauth/token", json=form, auth=vault.agent))
    typed = {"Content-Type": "application/x-www-form-urlencoded; charset=UTF-8"}
    _check_token(await vault.http.post("/oauth/token", data=form, auth=vault.agent, headers=typed))
    _check_token(await vault.http.post("/oauth/token", data={**form, "audience": ["github"] * 2}, auth=vault.agent))


async def test_two_targets_are_invalid_target(vault: Vault, app: App) -> None:
    answer = await vault.exchange(app.session_token, resource=f"{vault.world.places.providers['slack']}/x")
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_target")


async def test_a4_the_same_sub_elsewhere_in_letters_is_another_user(vault: Vault, app: App) -> None:
    await app.connect()
    other = vault.world.issuer.mint(app.user.upper(), azp=SAMPLE_AGENT)
    assert (await vault.exchange(other)).json()["reason"] == "not_connected"


async def test_a6_an_actor_is_recorded_and_may_act_is_held_to(vault: Vault, app: App) -> None:
    await app.connect()
    issuer = vault.world.issuer
    agent = fresh("agent")
    may_act = {"may_act": {"iss": vault.world.places.issuer, "sub": agent}}
    subject = issuer.mint(app.user, azp=SAMPLE_AGENT, claims=may_act)
    actor = {"actor_token": issuer.mint(agent, azp=SAMPLE_AGENT), "actor_token_type": ACCESS_TOKEN}
    allowed = await vault.exchange(subject, **actor)
    _check_token(allowed)
    assert (await vault.events_of(allowed))[0]["actor"]["sub"] == agent
    other = actor | {"actor_token": issuer.mint("another", azp=SAMPLE_AGENT)}
    assert (await vault.exchange(subject, **other)).status_code == 400
    assert (await vault.exchange(subject, **(actor | {"actor_token": "x"}))).status_code == 400
