"""api.md §1.4 and security A8, A9 from outside: `private_key_jwt`, row by row."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio
from joserfc.jwk import ECKey, OctKey

from tests.support.also import also_serving
from tests.support.processes import Running, install, serving
from tests.support.signing import ABSENT, SUBJECT_TYPE, Signer
from tests.unit.loopback_issuer import HOST, JWKS, LoopbackIssuer
from tests.wire.vault import App, Vault, from_elsewhere, request_id
from vaultd.sandbox.dev_config import BRIEFING_AGENT, SAMPLE_AGENT
from vaultd.sandbox.loopback import loopback_http
from vaultd.sandbox.world import World
from vaultd.terms import system_clock

Make = Callable[[Signer], str]
GRANT = f'subject_azp = ["{SAMPLE_AGENT}"]\nproviders = {{ github = ["repo", "read:user"] }}\n'


def now() -> int:
    return int(system_clock().timestamp())


def _forged(header: Mapping[str, object] | None = None, /, **claims: object) -> Make:
    """By a stranger, under the client's own key id."""

    def make(signer: Signer) -> str:
        stranger = Signer(signer.client_id, vault=signer.vault, key=ECKey.generate_key("P-256"))
        return stranger.assertion({"kid": signer.key.kid, **(header or {})}, **claims)

    return make


def _keyed_by_the_public_key(signer: Signer) -> str:
    public = json.dumps(signer.jwk()).encode()
    forger = Signer(signer.client_id, vault=signer.vault, key=OctKey.import_key(public), alg="HS256")
    return forger.assertion({"kid": signer.key.kid})


def _unsigned(alg: str) -> Make:
    def make(signer: Signer) -> str:
        return signer.assertion({"alg": alg}).rpartition(".")[0] + "."

    return make


def _altered(signer: Signer) -> str:
    head, claims, signature = signer.assertion().split(".")
    whole = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
    changed = base64.urlsafe_b64encode(json.dumps(whole | {"exp": whole["exp"] + 1}).encode()).rstrip(b"=").decode()
    return f"{head}.{changed}.{signature}"


def _own_key_inside(signer: Signer) -> str:
    stranger = Signer(signer.client_id, vault=signer.vault)
    return stranger.assertion({"kid": signer.key.kid, "jwk": stranger.jwk()})


def _good(header: Mapping[str, object] | None = None, /, **claims: object) -> Make:
    return lambda signer: signer.assertion(header, **claims)


BAD: Mapping[str, tuple[str, Make]] = {
    "signed by a stranger": ("bad_signature", _forged()),
    "signed by a stranger, no kid": ("bad_signature", _forged({"kid": ABSENT})),
    "altered": ("bad_signature", _altered),
    "a stranger's key in the header": ("bad_signature", _own_key_inside),
    "a stranger's key by address": (
        "bad_signature",
        _forged({"jku": "https://evil.example/jwks", "x5u": "https://evil.example/x5u"}),
    ),
    "a kid of nobody's": ("unknown_key", _good({"kid": "nobody's"})),
    "alg none": ("bad_algorithm", _unsigned("none")),
    "alg NONE": ("bad_algorithm", _unsigned("NONE")),
    "signature missing": ("bad_signature", _unsigned("ES256")),
    "HMAC by the public key": ("bad_algorithm", _keyed_by_the_public_key),
    "an algorithm the client does not use": ("bad_algorithm", _good({"alg": "ES384"})),
    "a critical extension": ("critical_header", _good({"crit": ["b64"], "b64": True})),
    "for another server": ("wrong_audience", _good(aud="https://other.example")),
    "for another server too": ("wrong_audience", lambda s: s.assertion(aud=[s.vault, "https://other.example"])),
    "for almost this server": ("wrong_audience", lambda s: s.assertion(aud=f"{s.vault}/oauth")),
    "for nobody": ("malformed", _good(aud=[])),
    "no aud": ("missing_claim", _good(aud=ABSENT)),
    "no exp": ("missing_claim", _good(exp=ABSENT)),
    "expired": ("expired", lambda s: s.assertion(iat=now() - 100, exp=now() - 31)),
    "too long a life": ("lifetime", lambda s: s.assertion(iat=now(), exp=now() + 601)),
    "too long a life, no iat": ("lifetime", lambda s: s.assertion(iat=ABSENT, exp=now() + 640)),
    "exp is text": ("malformed", _good(exp="tomorrow")),
    "not yet": ("not_yet_valid", lambda s: s.assertion(nbf=now() + 90)),
    "issued in the future": ("not_yet_valid", lambda s: s.assertion(iat=now() + 90, exp=now() + 120)),
    "no jti": ("missing_claim", _good(jti=ABSENT)),
    "an empty jti": ("malformed", _good(jti="")),
    "a number as jti": ("malformed", _good(jti=7)),
    "no iss": ("missing_claim", _good(iss=ABSENT)),
    "of another issuer": ("wrong_issuer", _good(iss=BRIEFING_AGENT)),
    "a subject assertion": ("wrong_type", _good({"typ": SUBJECT_TYPE})),
    "a DPoP proof": ("wrong_type", _good({"typ": "dpop+jwt"})),
    "an access token": ("wrong_type", _good({"typ": "at+jwt"})),
    "a logout token": ("wrong_type", _good({"typ": "logout+jwt"})),
}
UNREADABLE: Mapping[str, tuple[str, Make]] = {
    "nonsense": ("malformed", lambda _: "x"),
    "three empty parts": ("malformed", lambda _: ".."),
    "an encrypted token": ("malformed", lambda s: s.assertion() + ".x.y"),
    "too large": ("too_large", _good(filler="x" * 17_000)),
    "no sub": ("malformed_credentials", _good(sub=ABSENT)),
}
CASES = (*BAD, "replay", "good", "throttled", "method")


def name_of(case: str) -> str:
    """A client for each case, so that neither the throttle nor the counting of refusals joins two of them."""
    return f"signer-{CASES.index(case)}"


class Desk:
    """A vault whose clients sign, and what they send to it."""

    def __init__(self, url: str, signers: Mapping[str, Signer]) -> None:
        self.url = url
        self.signers = signers
        self.http = loopback_http(base_url=url, timeout=30.0)

    async def post(
        self, assertion: str, session_token: str = "x", *, address: Mapping[str, str] | None = None, **more: str
    ) -> httpx.Response:
        form = {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "subject_token": session_token,
            "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
            "audience": "github",
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": assertion,
            **more,
        }
        # Clients that fail from one address are counted together, and only the first is written at once (A8, A11).
        headers = {**request_id(), **(address or from_elsewhere())}
        return await self.http.post("/oauth/token", data=form, headers=headers)


@pytest_asyncio.fixture(scope="module")
async def desk(world: World) -> AsyncIterator[Desk]:
    signers: dict[str, Signer] = {}

    def tables(url: str) -> str:
        signers.update({case: Signer(name_of(case), vault=url) for case in CASES})
        operators = Signer("signing-operator", vault=url)
        signers["operator"] = operators
        with_lists = [
            signer.table('algorithms = ["ES256"]', GRANT) for case, signer in signers.items() if case in CASES
        ]
        return "\n".join([*with_lists, operators.table('operator_scopes = ["audit:read"]')])

    with also_serving(world, tables) as url:
        opened = Desk(url, signers)
        yield opened
        await opened.http.aclose()


REFUSED = b'{"error":"invalid_client","error_description":"Client authentication failed."}'


@pytest.mark.parametrize("case", BAD)
async def test_a9_a_bad_assertion_is_401_with_the_reason_in_one_event(vault: Vault, desk: Desk, case: str) -> None:
    """Security A8, A9, A11: the same bytes for all of them and for a client that does not exist."""
    reason, make = BAD[case]
    answer = await desk.post(make(desk.signers[case]))
    assert (answer.status_code, answer.content) == (401, REFUSED), answer.text
    assert "www-authenticate" not in answer.headers
    assert answer.headers["cache-control"] == "no-store"
    (event,) = await vault.events_of(answer)
    assert (event["type"], event["decision"], event["client_id"]) == ("token.refused", "refused", name_of(case))
    assert event["reason"] == reason
    # Nothing is locked by it.
    assert (await desk.post(desk.signers[case].assertion())).status_code == 400


@pytest.mark.parametrize("case", UNREADABLE)
async def test_an_assertion_that_names_nobody_is_401(vault: Vault, desk: Desk, case: str) -> None:
    reason, make = UNREADABLE[case]
    answer = await desk.post(make(desk.signers["good"]))
    assert (answer.status_code, answer.content) == (401, REFUSED)
    # A11: counted together with others of the kind in this minute, as it names nobody.
    events = (await vault.audit(type="token.refused", limit=300))["events"]
    assert [event for event in events if event["reason"] == reason and "client_id" not in event]


async def test_a8_a_client_that_does_not_exist_gets_the_same_bytes(vault: Vault, desk: Desk) -> None:
    stranger = Signer(f"nobody-{uuid4().hex}", vault=desk.url)
    answer = await desk.post(stranger.assertion())
    assert (answer.status_code, answer.content) == (401, REFUSED)
    (event,) = await vault.events_of(answer)
    # A11: the name is made up, and not kept.
    assert (event["reason"], event.get("client_id")) == ("unknown_client", None)


async def test_a_client_with_another_method_gets_the_same_bytes(desk: Desk) -> None:
    for client_id in (BRIEFING_AGENT, SAMPLE_AGENT):
        answer = await desk.post(Signer(client_id, vault=desk.url).assertion())
        assert (answer.status_code, answer.content) == (401, REFUSED)


async def test_a_client_that_signs_cannot_come_without_its_signature(desk: Desk) -> None:
    name = name_of("method")
    for secret in ({}, {"client_secret": "a secret of more than 32 characters"}):
        form = {"grant_type": "client_credentials", "client_id": name, **secret}
        answer = await desk.http.post("/oauth/token", data=form)
        assert (answer.status_code, answer.content) == (401, REFUSED)


async def test_an_assertion_serves_once(vault: Vault, desk: Desk, app: App) -> None:
    await app.connect()
    assertion = desk.signers["replay"].assertion()
    first = await desk.post(assertion, app.session_token)
    assert first.status_code == 200, first.text
    (event,) = await vault.events_of(first)
    assert (event["type"], event["client_id"]) == ("token.exchanged", name_of("replay"))
    again = await desk.post(assertion, app.session_token)
    assert (again.status_code, again.content) == (401, REFUSED)
    (event,) = await vault.events_of(again)
    assert event["reason"] == "replayed"


@pytest.mark.parametrize("audience", ["", "/", "/oauth/token", "/oauth/token/"])
async def test_every_name_of_this_vault_is_an_audience(desk: Desk, app: App, audience: str) -> None:
    await app.connect()
    signer = desk.signers["good"]
    good = await desk.post(signer.assertion(aud=desk.url + audience), app.session_token, client_id=signer.client_id)
    assert good.status_code == 200, good.text


async def test_two_methods_at_once_are_malformed(desk: Desk) -> None:
    """RFC 6749 §2.3."""
    signer = desk.signers["method"]
    secret = await desk.post(signer.assertion(), client_secret="x")
    form = {"grant_type": "client_credentials", **signer.credentials()}
    basic = await desk.http.post("/oauth/token", data=form, auth=(signer.client_id, "x"))
    other = await desk.post(signer.assertion(), client_id="other")
    untyped = await desk.post(signer.assertion(), client_assertion_type="")
    for answer in (secret, basic, other, untyped):
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


async def test_a10_failures_are_throttled_for_the_pair_alone(vault: Vault, desk: Desk) -> None:
    signer, address = desk.signers["throttled"], from_elsewhere()
    bad = [await desk.post(signer.assertion(aud="https://other.example"), address=address) for _ in range(10)]
    assert {answer.status_code for answer in bad} == {401}
    slowed = await desk.post(signer.assertion(), address=address)
    assert (slowed.status_code, slowed.json()["error"]) == (429, "slow_down")
    assert int(slowed.headers["retry-after"]) > 0
    # A11: the ten are one event at once, and a count later.
    assert len([event for answer in bad for event in await vault.events_of(answer)]) <= 2


async def test_operators_get_their_token_by_signature(desk: Desk) -> None:
    """api.md §1.3."""
    signer = desk.signers["operator"]
    form = {"grant_type": "client_credentials", "scope": "audit:read", **signer.credentials()}
    answer = await desk.http.post("/oauth/token", data=form)
    assert answer.status_code == 200, answer.text
    headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    assert (await desk.http.get("/v1/audit/events", headers=headers)).status_code == 200
    again = await desk.http.post("/oauth/token", data=form)
    assert (again.status_code, again.content) == (401, REFUSED)


async def test_the_metadata_says_so(desk: Desk) -> None:
    """RFC 8414 §2."""
    document = (await desk.http.get("/.well-known/oauth-authorization-server")).json()
    methods = {"client_secret_basic", "client_secret_post", "private_key_jwt", "none"}
    assert set(document["token_endpoint_auth_methods_supported"]) == methods
    algorithms = document["token_endpoint_auth_signing_alg_values_supported"]
    assert {"RS256", "PS256", "ES256", "EdDSA"} <= set(algorithms)
    assert not [name for name in algorithms if name == "none" or name.startswith("HS")]


async def test_a8_a_key_server_that_is_away_tells_nobody_whose_it_is(world: World, vault: Vault) -> None:
    """The answer is that to a stranger, and the event has the reason; with its keys back the client is believed."""
    async with LoopbackIssuer() as server:
        server.status = 500
        keys = f'jwks_uri = "{server.url}{JWKS}"\nallow_private_hosts = ["{HOST}"]'
        signer = Signer("at-an-address", vault="", key=server.key)

        def tables(url: str) -> str:
            signer.vault = url
            return signer.table(GRANT, keys=keys)

        with also_serving(world, tables) as url:
            desk = Desk(url, {})
            away = await desk.post(signer.assertion())
            assert (away.status_code, away.content) == (401, REFUSED)
            (event,) = await vault.events_of(away)
            assert (event["reason"], event["client_id"]) == ("client_keys_unreachable", "at-an-address")
            server.status = 200
            async with asyncio.timeout(20):
                while (await desk.post(signer.assertion())).status_code == 401:
                    await asyncio.sleep(1)
            await desk.http.aclose()


@pytest.fixture(scope="module")
def signer(world: World) -> Signer:
    return Signer("signer-of-two", vault=world.places.vault)


@pytest.fixture(scope="module")
def two(world: World, signer: Signer) -> Iterator[tuple[Running, Running]]:
    with_signer = {"[keys]\n": signer.table(GRANT) + "[keys]\n"}
    with (
        serving(install(world, "assertions-one", with_signer)) as one,
        serving(install(world, "assertions-two", with_signer)) as other,
    ):
        yield one, other


async def test_a9_an_assertion_serves_once_in_all_processes(
    two: tuple[Running, Running], signer: Signer, app: App
) -> None:
    await app.connect()
    one, other = (Desk(running.url, {}) for running in two)
    for first, second in ((one, other), (other, one)):
        assertion = signer.assertion()
        assert (await first.post(assertion, app.session_token)).status_code == 200
        again = await second.post(assertion, app.session_token)
        assert (again.status_code, again.content) == (401, REFUSED)
    for desk in (one, other):
        await desk.http.aclose()
