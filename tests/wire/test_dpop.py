"""RFC 9449 at the token endpoint: a token that is bound to a key comes with a proof of it (issue 4, item 9)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import pytest

from tests.support.proofs import LEFT_OUT, ProofKey, sealed
from tests.wire.issuers import Issuers, of, shared
from tests.wire.vault import ACCESS_TOKEN, App, Vault, fresh, request_id
from vaultd.app.factory import create_app
from vaultd.jose.dpop import PROOF_ALGORITHMS
from vaultd.sandbox.dev_config import BRIEFING_AGENT, SAMPLE_AGENT
from vaultd.sandbox.loopback import loopback_http
from vaultd.sandbox.servers import LoopbackServers

HOLDER = ProofKey()
STRANGER = ProofKey()


class Holder:
    """A client that holds a key, and a token that is bound to it."""

    def __init__(self, issuers: Issuers, vault: Vault) -> None:
        self.vault = vault
        self.url = f"{vault.world.places.vault}/oauth/token"
        self.user = fresh("user")
        self.token = issuers.world.issuer.mint(self.user, azp=SAMPLE_AGENT, claims={"cnf": HOLDER.cnf})

    def proof(self, **changes: Any) -> str:
        return HOLDER.proof(self.url, **changes)

    async def exchange(self, *proofs: str, token: str | None = None, **changes: str) -> httpx.Response:
        form = self.vault.exchange_form(token or self.token, **changes)
        headers = [*request_id().items(), *(("DPoP", proof) for proof in proofs)]
        return await self.vault.http.post("/oauth/token", data=form, auth=self.vault.agent, headers=headers)

    async def reason(self, answer: httpx.Response) -> str:
        """Why it was refused; the answer itself says nothing of it."""
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request"), answer.text
        assert answer.json()["error_description"] == "The subject token is not accepted."
        (event,) = await self.vault.events_of(answer)
        assert (event["type"], event["client_id"]) == ("token.refused", BRIEFING_AGENT)
        reason: str = event["reason"]
        return reason


@pytest.fixture
def holder(issuers: Issuers, believer: Vault) -> Holder:
    return Holder(issuers, believer)


def _accepted(answer: httpx.Response) -> None:
    """The token was believed; its user has connected nothing."""
    assert answer.json()["error"] == "interaction_required", answer.text


async def test_a_bound_token_with_a_proof_gets_the_providers_own_token(issuers: Issuers, holder: Holder) -> None:
    async with App(issuers.world, user=holder.user) as app:
        await app.connect()
    answer = await holder.exchange(holder.proof())
    assert answer.status_code == 200, answer.text
    # It is the provider's, which knows nothing of the key.
    assert answer.json()["token_type"] == "Bearer"
    assert (await holder.exchange(holder.proof(token=holder.token))).status_code == 200


async def test_who_reports_a_refused_token_proves_the_key_as_ever(issuers: Issuers, holder: Holder) -> None:
    """A stranger with the session token and the provider's token renews nothing."""
    async with App(issuers.world, user=holder.user) as app:
        await app.connect()
    github = issuers.world.providers["github"]
    dead = (await holder.exchange(holder.proof())).json()["access_token"]
    github.calls.clear()
    stolen = await holder.exchange(refused_token=dead)
    assert (stolen.status_code, await holder.reason(stolen)) == (400, "dpop_missing")
    proof = STRANGER.proof(holder.url)
    assert (await holder.exchange(proof, refused_token=dead)).status_code == 400
    assert github.calls["refresh"] == 0
    answer = await holder.exchange(holder.proof(), refused_token=dead)
    assert answer.status_code == 200, answer.text
    assert answer.json()["access_token"] != dead
    assert github.calls["refresh"] == 1


async def test_without_a_proof_it_is_refused(holder: Holder) -> None:
    assert await holder.reason(await holder.exchange()) == "dpop_missing"
    implicit = await holder.vault.http.post("/oauth/token", data=holder.vault.exchange_form(holder.token))
    assert (implicit.status_code, implicit.json()["error"]) == (400, "invalid_request")
    # A proof that comes in the body is none.
    assert await holder.reason(await holder.exchange(dpop=holder.proof())) == "dpop_missing"


BAD: Mapping[str, tuple[str, Callable[[Holder], str]]] = {
    "nonsense": ("dpop_malformed", lambda _: "x.y.z"),
    "empty": ("dpop_malformed", lambda _: ""),
    "two in one": ("dpop_malformed", lambda h: f"{h.proof()},{h.proof()}"),
    "claims of no object": ("dpop_malformed", lambda _: sealed(HOLDER, {"typ": "dpop+jwt", "alg": "ES256"}, [1])),
    "no jti": ("dpop_malformed", lambda h: h.proof(jti=LEFT_OUT)),
    "no iat": ("dpop_malformed", lambda h: h.proof(iat=LEFT_OUT)),
    "a critical extension": ("dpop_malformed", lambda h: h.proof(header={"crit": ["x"], "x": 1})),
    "typ JWT": ("dpop_typ", lambda h: h.proof(header={"typ": "JWT"})),
    "the token itself": ("dpop_typ", lambda h: h.token),
    "alg none": ("dpop_alg", lambda h: h.proof(header={"alg": "none"})),
    "alg HS256": ("dpop_alg", lambda h: h.proof(header={"alg": "HS256"})),
    "another's key": ("dpop_key", lambda h: STRANGER.proof(h.url)),
    "no key": ("dpop_key", lambda h: h.proof(header={"jwk": LEFT_OUT})),
    "the private key": ("dpop_key", lambda h: h.proof(header={"jwk": HOLDER.key.as_dict(private=True)})),
    "signed by another": ("dpop_signature", lambda h: h.proof(signed_by=STRANGER)),
    "for another method": ("dpop_htm", lambda h: h.proof(method="GET")),
    "for another path": ("dpop_htu", lambda h: HOLDER.proof(h.url + "/")),
    "for another host": ("dpop_htu", lambda _: HOLDER.proof("https://vault.example.com/oauth/token")),
    "for another port": ("dpop_htu", lambda _: HOLDER.proof("http://127.0.0.1/oauth/token")),
    "too old": ("dpop_iat", lambda h: h.proof(iat=int(time.time()) - 62)),
    "too new": ("dpop_iat", lambda h: h.proof(iat=int(time.time()) + 20)),
    "for another token": ("dpop_ath", lambda h: h.proof(token="another")),
}


@pytest.mark.parametrize("case", BAD)
async def test_a_bad_proof_is_refused_with_the_true_reason_in_the_event(holder: Holder, case: str) -> None:
    reason, make = BAD[case]
    answer = await holder.exchange(make(holder))
    assert await holder.reason(answer) == reason
    assert answer.content == (await holder.exchange()).content


async def test_two_headers_are_one_too_many(holder: Holder) -> None:
    """RFC 9449 §4.3, item 1: even where both are good, or the same."""
    assert await holder.reason(await holder.exchange(holder.proof(), holder.proof())) == "dpop_malformed"
    once = holder.proof()
    assert await holder.reason(await holder.exchange(once, once)) == "dpop_malformed"
    _accepted(await holder.exchange(once))


async def test_a_proof_is_good_once(holder: Holder) -> None:
    proof = holder.proof()
    _accepted(await holder.exchange(proof))
    assert await holder.reason(await holder.exchange(proof)) == "dpop_replayed"
    # The jti is what is remembered, under the key that signed it.
    again = holder.proof(jti="the same", iat=int(time.time()) - 5)
    _accepted(await holder.exchange(again))
    assert await holder.reason(await holder.exchange(holder.proof(jti="the same"))) == "dpop_replayed"
    theirs = holder.vault.world.issuer.mint(fresh("user"), azp=SAMPLE_AGENT, claims={"cnf": STRANGER.cnf})
    _accepted(await holder.exchange(STRANGER.proof(holder.url, jti="the same"), token=theirs))


async def test_a_proof_that_was_refused_is_not_used_up(holder: Holder) -> None:
    """Nobody spends another's proof on a token that it is not for."""
    proof = holder.proof(token=holder.token)
    theirs = holder.vault.world.issuer.mint(fresh("user"), azp=SAMPLE_AGENT, claims={"cnf": HOLDER.cnf})
    assert await holder.reason(await holder.exchange(proof, token=theirs)) == "dpop_ath"
    _accepted(await holder.exchange(proof))


async def test_of_many_at_once_one_is_believed(holder: Holder) -> None:
    proof = holder.proof()
    answers = await asyncio.gather(*(holder.exchange(proof) for _ in range(30)))
    errors = [answer.json()["error"] for answer in answers]
    assert (errors.count("interaction_required"), errors.count("invalid_request")) == (1, 29)


async def test_a_proof_used_at_one_replica_is_used_at_all(issuers: Issuers, holder: Holder) -> None:
    """A9's memory serves proofs as well: it is PostgreSQL's, so that another process knows."""
    with LoopbackServers() as servers:
        other = await asyncio.to_thread(servers.serve, create_app(issuers.world.settings))
        form = holder.vault.exchange_form(holder.token)
        async with loopback_http(base_url=other, auth=holder.vault.agent) as replica:
            proof = holder.proof()
            _accepted(await replica.post("/oauth/token", data=form, headers={"DPoP": proof}))
            assert await holder.reason(await holder.exchange(proof)) == "dpop_replayed"
            proof = holder.proof()
            _accepted(await holder.exchange(proof))
            replayed = await replica.post("/oauth/token", data=form, headers={"DPoP": proof})
            assert await holder.reason(replayed) == "dpop_replayed"


async def test_remembered_claims_spare_no_proof(holder: Holder) -> None:
    """The claims of a token presented again are not verified again; its holder is."""
    for _ in range(2):
        _accepted(await holder.exchange(holder.proof()))
        assert await holder.reason(await holder.exchange()) == "dpop_missing"
        assert await holder.reason(await holder.exchange(STRANGER.proof(holder.url))) == "dpop_key"


async def test_spellings_of_the_url_that_mean_the_same(holder: Holder) -> None:
    """RFC 9449 §4.3, item 9."""
    for htu in (f"{holder.url}?x=1", f"{holder.url}#x", holder.url.replace("http", "HTTP", 1)):
        _accepted(await holder.exchange(holder.proof(htu=htu)))


async def test_a_proof_binds_no_token_that_is_not_bound(issuers: Issuers, holder: Holder) -> None:
    """Beside an unbound token it is not looked at: it can neither help nor harm."""
    unbound = issuers.second.mint(holder.user, azp=SAMPLE_AGENT)
    for proof in (holder.proof(), "nonsense"):
        _accepted(await holder.exchange(proof, token=unbound))
    proof = holder.proof()
    _accepted(await holder.exchange(proof, token=unbound))
    _accepted(await holder.exchange(proof))  # nor was it used up


async def test_where_binding_is_required_an_unbound_token_is_refused(issuers: Issuers, holder: Holder) -> None:
    unbound = issuers.bound.mint(holder.user, azp=SAMPLE_AGENT)
    for proofs in ((), (holder.proof(),)):
        assert await holder.reason(await holder.exchange(*proofs, token=unbound)) == "dpop_unbound"
    bound = issuers.bound.mint(holder.user, azp=SAMPLE_AGENT, claims={"cnf": HOLDER.cnf})
    _accepted(await holder.exchange(holder.proof(), token=bound))
    assert await holder.reason(await holder.exchange(token=bound)) == "dpop_missing"


async def test_tokens_of_every_kind_can_be_bound(issuers: Issuers, holder: Holder) -> None:
    for token in (shared(holder.user, claims={"cnf": HOLDER.cnf}), issuers.opaque(holder.user, cnf=HOLDER.cnf)):
        _accepted(await holder.exchange(holder.proof(), token=token))
        assert await holder.reason(await holder.exchange(token=token)) == "dpop_missing"
        assert await holder.reason(await holder.exchange(STRANGER.proof(holder.url), token=token)) == "dpop_key"


class TestActors:
    """A6: an actor token that is bound to a key needs its proof as well."""

    def _form(self, holder: Holder, cnf: object) -> dict[str, str]:
        claims = {} if cnf is None else {"cnf": cnf}
        actor = holder.vault.world.issuer.mint(fresh("agent"), azp=SAMPLE_AGENT, claims=claims)
        return {"actor_token": actor, "actor_token_type": ACCESS_TOKEN}

    async def test_bound_to_the_same_key(self, holder: Holder) -> None:
        """One request has one proof, and it serves both."""
        _accepted(await holder.exchange(holder.proof(token=holder.token), **self._form(holder, HOLDER.cnf)))

    async def test_bound_to_another_key(self, holder: Holder) -> None:
        answer = await holder.exchange(holder.proof(), **self._form(holder, STRANGER.cnf))
        assert await holder.reason(answer) == "dpop_key"

    async def test_bound_where_the_subject_is_not(self, issuers: Issuers, holder: Holder) -> None:
        unbound, form = issuers.second.mint(holder.user, azp=SAMPLE_AGENT), self._form(holder, HOLDER.cnf)
        assert await holder.reason(await holder.exchange(token=unbound, **form)) == "dpop_missing"
        proof = holder.proof(token=form["actor_token"])
        _accepted(await holder.exchange(proof, token=unbound, **form))
        assert await holder.reason(await holder.exchange(proof, token=unbound, **form)) == "dpop_replayed"

    async def test_not_bound(self, holder: Holder) -> None:
        _accepted(await holder.exchange(holder.proof(), **self._form(holder, None)))


async def test_metadata_names_the_algorithms(believer: Vault) -> None:
    """RFC 9449 §5.1."""
    for path in ("oauth-authorization-server", "openid-configuration"):
        document = (await believer.http.get(f"/.well-known/{path}")).json()
        assert document["dpop_signing_alg_values_supported"] == list(PROOF_ALGORITHMS)
        assert not [alg for alg in PROOF_ALGORITHMS if alg.startswith("HS") or alg == "none"]


async def test_the_same_user_of_another_issuer_is_another_user(issuers: Issuers, holder: Holder) -> None:
    """A4 holds for bound tokens as for all: the key is no part of who somebody is."""
    async with App(of(issuers.world, issuers.second), user=holder.user) as app:
        await app.connect()
    _accepted(await holder.exchange(holder.proof()))
    theirs = issuers.second.mint(holder.user, azp=SAMPLE_AGENT, claims={"cnf": HOLDER.cnf})
    assert (await holder.exchange(holder.proof(), token=theirs)).status_code == 200
