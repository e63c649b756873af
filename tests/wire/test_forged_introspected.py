"""Security A2 at the endpoint for an issuer that is asked: every kind of bad token, the same bytes, its own event."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
from joserfc.jwk import ECKey

from tests.support.proofs import ProofKey
from tests.unit.loopback_issuer import sign
from tests.wire.issuers import Issuers
from tests.wire.vault import ACCESS_TOKEN, Vault
from vaultd.sandbox.dev_config import BRIEFING_AGENT

Make = Callable[[Issuers], str]
KEY = ECKey.generate_key("P-256")
JKT = ProofKey().jkt
TYPE = "urn:ietf:params:oauth:token-type:"
REFRESH = TYPE + "refresh_token"


def _said(**changes: object) -> Make:
    """A token of which the issuer says this."""
    return lambda issuers: issuers.opaque("alice", **changes)


def _refresh(**changes: object) -> Make:
    return lambda issuers: issuers.refresh_token("alice", **changes)


def _jwt(typ: str = "at+jwt", **claims: object) -> Make:
    def make(issuers: Issuers) -> str:
        return sign(KEY, {"alg": "ES256", "typ": typ}, {"iss": issuers.asked.issuer, **claims}).reveal()

    return make


BAD: Mapping[str, tuple[str, str, Make]] = {
    "nobody's": ("inactive", ACCESS_TOKEN, lambda _: "nobody's"),
    "a forged JWT": ("inactive", ACCESS_TOKEN, _jwt(sub="alice", exp=10**10)),
    "of another issuer": ("wrong_issuer", ACCESS_TOKEN, _said(iss="https://other.example")),
    "of almost the same issuer": ("wrong_issuer", ACCESS_TOKEN, lambda i: i.opaque("alice", iss=i.asked.issuer + "/")),
    "of a numbered issuer": ("wrong_issuer", ACCESS_TOKEN, _said(iss=7)),
    "a JWT of nobody's": ("wrong_issuer", ACCESS_TOKEN, _jwt(iss="https://other.example")),
    "no sub": ("missing_claim", ACCESS_TOKEN, _said(sub=...)),
    "a number as sub": ("malformed", ACCESS_TOKEN, _said(sub=7)),
    "an empty sub": ("malformed", ACCESS_TOKEN, _said(sub="")),
    "NUL in sub": ("malformed", ACCESS_TOKEN, _said(sub="a\0b")),
    "expired": ("expired", ACCESS_TOKEN, _said(exp=1)),
    "exp a string": ("malformed", ACCESS_TOKEN, _said(exp="tomorrow")),
    "not yet": ("not_yet_valid", ACCESS_TOKEN, _said(nbf=9_999_999_999)),
    "issued in the future": ("not_yet_valid", ACCESS_TOKEN, _said(iat=9_999_999_990)),
    "for another": ("wrong_audience", ACCESS_TOKEN, _said(aud="https://other.example")),
    "for nobody": ("missing_claim", ACCESS_TOKEN, _said(aud=...)),
    "for an empty list": ("malformed", ACCESS_TOKEN, _said(aud=[])),
    "a required claim missing": ("missing_claim", ACCESS_TOKEN, _said(tenant=...)),
    "a required claim with another value": ("wrong_claim", ACCESS_TOKEN, _said(tenant="other")),
    "a refresh token": ("missing_claim", ACCESS_TOKEN, _refresh()),
    "a refresh token that says so": ("wrong_type", ACCESS_TOKEN, _said(token_use="refresh_token")),
    "a token of another kind": ("wrong_type", ACCESS_TOKEN, _said(token_type="mac")),
    "a logout token": ("wrong_type", ACCESS_TOKEN, _jwt(typ="logout+jwt")),
    "an opaque ID token": ("wrong_type", TYPE + "id_token", _said()),
    "an ID token": ("wrong_type", TYPE + "id_token", _jwt(typ="JWT")),
    "an opaque JWT": ("malformed", TYPE + "jwt", _said()),
    "issued to another client": ("wrong_presenter", ACCESS_TOKEN, _said(client_id="web-app")),
    "issued to another client by azp": ("wrong_presenter", ACCESS_TOKEN, _said(azp="web-app")),
    "issued to no client": ("wrong_presenter", ACCESS_TOKEN, _said(client_id=...)),
    "issued to a number": ("malformed", ACCESS_TOKEN, _said(client_id=7)),
    "bound to a certificate": ("unsupported_cnf", ACCESS_TOKEN, _said(cnf={"x5t#S256": "x"})),
    "bound to nonsense": ("malformed", ACCESS_TOKEN, _said(cnf={"jkt": "short"})),
    "bound to a key, without proof": ("dpop_missing", ACCESS_TOKEN, _said(cnf={"jkt": JKT})),
    "bound, it says, to no key": ("dpop_unbound", ACCESS_TOKEN, _said(token_type="DPoP")),
    "may act: another": ("may_act", ACCESS_TOKEN, _said(may_act={"sub": "another-agent"})),
    "may act: nonsense": ("malformed", ACCESS_TOKEN, _said(may_act="sample-agent")),
    "not ASCII": ("malformed", ACCESS_TOKEN, lambda _: "opaqué"),
    "too large": ("too_large", ACCESS_TOKEN, lambda _: "x" * 16_385),
    "a refresh token of no client": ("missing_claim", REFRESH, _refresh(client_id=...)),
    "a refresh token for another": ("wrong_audience", REFRESH, _refresh(aud="https://other.example")),
    "a refresh token without the claims": ("missing_claim", REFRESH, _refresh(tenant=...)),
    "an access token as refresh token": ("wrong_type", REFRESH, _said()),
    "an access token that says so as refresh token": ("wrong_type", REFRESH, _said(token_use="access_token")),
    "a refresh token from an untrusted client": ("wrong_presenter", REFRESH, _refresh()),
}


@pytest.mark.parametrize("case", BAD)
async def test_a2_a_bad_token_is_refused_with_one_event(issuers: Issuers, believer: Vault, case: str) -> None:
    reason, token_type, make = BAD[case]
    answer = await believer.exchange(make(issuers), subject_token_type=token_type)
    plain = await believer.exchange("x.y.z", subject_token_type=ACCESS_TOKEN)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    assert answer.content == plain.content
    assert answer.headers["cache-control"] == "no-store"
    (event,) = await believer.events_of(answer)
    assert (event["type"], event["decision"], event["client_id"]) == ("token.refused", "refused", BRIEFING_AGENT)
    assert event["reason"] == reason
