"""RFC 9449 §7 at the accounts API: a bound token comes under its own scheme, with a proof for that very request."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.support.proofs import LEFT_OUT, ProofKey
from tests.wire.issuers import Issuers
from tests.wire.vault import Vault, bearer, fresh
from vaultd.jose.dpop import PROOF_ALGORITHMS
from vaultd.sandbox.dev_config import SAMPLE_AGENT
from vaultd.sandbox.person import ACCOUNT_SCOPES

PREFIX = "/me/v1/connected-accounts"
HOLDER = ProofKey()
STRANGER = ProofKey()
ALGS = f'algs="{" ".join(PROOF_ALGORITHMS)}"'


class Caller:
    """An app that holds a key, and its user's token that is bound to it."""

    def __init__(self, issuers: Issuers, vault: Vault) -> None:
        self.vault = vault
        self.token = issuers.world.issuer.mint(
            fresh("user"), azp=SAMPLE_AGENT, scope=ACCOUNT_SCOPES, claims={"cnf": HOLDER.cnf}
        )
        self.url = f"{vault.world.places.vault}{PREFIX}/accounts"

    def proof(self, **changes: Any) -> str:
        usual: dict[str, Any] = {"method": "GET", "token": self.token}
        return HOLDER.proof(self.url, **{**usual, **changes})

    async def get(self, proof: str | None, *, scheme: str = "DPoP", query: str = "") -> httpx.Response:
        headers = {"Authorization": f"{scheme} {self.token}"} | ({} if proof is None else {"DPoP": proof})
        return await self.vault.http.get(f"{PREFIX}/accounts{query}", headers=headers)


@pytest.fixture
def caller(issuers: Issuers, believer: Vault) -> Caller:
    return Caller(issuers, believer)


async def test_a_bound_token_under_its_own_scheme(caller: Caller) -> None:
    for scheme in ("DPoP", "dpop"):
        answer = await caller.get(caller.proof(), scheme=scheme)
        assert (answer.status_code, answer.json()["accounts"]) == (200, [])
    # The query is no part of what a proof is for (RFC 9449 §4.3, item 9).
    assert (await caller.get(caller.proof(), query="?take=5&connection=github")).status_code == 200


async def test_each_call_has_its_own_proof(caller: Caller) -> None:
    """For its own method and its own URL, ids in it included."""
    http, account = caller.vault.http, f"{PREFIX}/accounts/{uuid4()}"
    url = f"{caller.vault.world.places.vault}{account}"
    headers = {"Authorization": f"DPoP {caller.token}"}
    good = headers | {"DPoP": HOLDER.proof(url, method="DELETE", token=caller.token)}
    assert (await http.delete(account, headers=good)).status_code == 404
    for other in (caller.proof(method="DELETE"), HOLDER.proof(url, method="GET", token=caller.token)):
        assert (await http.delete(account, headers=headers | {"DPoP": other})).status_code == 401
    begin = {"connection": "github", "redirect_uri": f"{caller.vault.world.places.agent}/connected"}
    proof = HOLDER.proof(caller.url.replace("accounts/accounts", "accounts/connect"), token=caller.token)
    posted = await http.post(f"{PREFIX}/connect", json=begin, headers=headers | {"DPoP": proof})
    assert posted.status_code == 201, posted.text


async def test_a_bound_token_is_no_bearer_token(caller: Caller) -> None:
    """RFC 9449 §7.2: with or without a proof beside it."""
    for proof in (None, caller.proof()):
        answer = await caller.get(proof, scheme="Bearer")
        assert answer.status_code == 401
        challenge = answer.headers["www-authenticate"]
        assert challenge.startswith('Bearer realm="vaultd", error="invalid_token"')
        assert challenge.endswith(f'DPoP realm="vaultd", {ALGS}')


async def test_an_unbound_token_is_no_dpop_token(issuers: Issuers, caller: Caller) -> None:
    caller.token = issuers.world.issuer.mint(fresh("user"), azp=SAMPLE_AGENT, scope=ACCOUNT_SCOPES)
    answer = await caller.get(caller.proof())
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith('DPoP realm="vaultd", error="invalid_token"')
    assert (await caller.get(caller.proof(), scheme="Bearer")).status_code == 200
    assert (await caller.get(None, scheme="Bearer")).status_code == 200


BAD: Mapping[str, Callable[[Caller], str | None]] = {
    "no proof": lambda _: None,
    "nonsense": lambda _: "x",
    "without ath": lambda caller: caller.proof(token=None),
    "an empty ath": lambda caller: caller.proof(ath=""),
    "for another token": lambda caller: caller.proof(token="another"),
    "another's key": lambda caller: STRANGER.proof(caller.url, method="GET", token=caller.token),
    "for another method": lambda caller: caller.proof(method="POST"),
    "for another URL": lambda caller: caller.proof(htu=caller.url + "/x"),
    "for the token endpoint": lambda caller: caller.proof(htu=f"{caller.vault.world.places.vault}/oauth/token"),
    "too old": lambda caller: caller.proof(iat=int(time.time()) - 62),
    "without jti": lambda caller: caller.proof(jti=LEFT_OUT),
    "not typed": lambda caller: caller.proof(header={"typ": "JWT"}),
}


@pytest.mark.parametrize("case", BAD)
async def test_a_bad_proof_is_401_and_challenged(caller: Caller, case: str) -> None:
    """RFC 9449 §7.1."""
    answer = await caller.get(BAD[case](caller))
    assert answer.status_code == 401
    assert answer.json()["title"] == "Invalid dpop proof"
    challenge = answer.headers["www-authenticate"]
    assert challenge.startswith('DPoP realm="vaultd", error="invalid_dpop_proof", error_description="')
    assert challenge.endswith(f'{ALGS}, Bearer realm="vaultd"')


async def test_a_proof_is_good_once(caller: Caller) -> None:
    proof = caller.proof()
    assert (await caller.get(proof)).status_code == 200
    assert (await caller.get(proof)).status_code == 401


async def test_a_bad_token_is_401_whatever_its_proof(caller: Caller) -> None:
    caller.token = caller.token[:-4]
    answer = await caller.get(caller.proof())
    assert answer.status_code == 401
    assert 'DPoP realm="vaultd", error="invalid_token"' in answer.headers["www-authenticate"]


async def test_a_scope_that_is_missing_is_403_in_the_same_scheme(issuers: Issuers, caller: Caller) -> None:
    caller.token = issuers.world.issuer.mint(fresh("user"), azp=SAMPLE_AGENT, claims={"cnf": HOLDER.cnf})
    answer = await caller.get(caller.proof())
    assert answer.status_code == 403
    challenge = answer.headers["www-authenticate"]
    assert challenge.startswith('DPoP realm="vaultd", error="insufficient_scope"')
    assert 'scope="read:me:connected_accounts"' in challenge


async def test_required_binding_holds_here_too(issuers: Issuers, caller: Caller) -> None:
    unbound = issuers.bound.mint(fresh("user"), azp=SAMPLE_AGENT, scope=ACCOUNT_SCOPES)
    assert (await caller.vault.http.get(f"{PREFIX}/accounts", headers=bearer(unbound))).status_code == 401
    caller.token = unbound
    assert (await caller.get(caller.proof())).status_code == 401


async def test_an_introspected_token_can_be_bound(issuers: Issuers, caller: Caller) -> None:
    caller.token = issuers.opaque(fresh("user"), cnf=HOLDER.cnf, token_type="DPoP")
    assert (await caller.get(caller.proof())).status_code == 200
    assert (await caller.get(None, scheme="Bearer")).status_code == 401


async def test_operators_tokens_know_no_dpop(caller: Caller) -> None:
    token = await caller.vault.operator_token()
    proof = HOLDER.proof(f"{caller.vault.world.places.vault}/v1/audit/events", method="GET", token=token)
    headers = {"Authorization": f"DPoP {token}", "DPoP": proof}
    answer = await caller.vault.http.get("/v1/audit/events", headers=headers)
    assert answer.status_code == 401
    assert "DPoP" not in answer.headers["www-authenticate"]
