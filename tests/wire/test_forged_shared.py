"""Security A2 at the endpoint for an issuer with a shared secret: who knows it is believed, and nobody else."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping

import pytest
from joserfc.jwk import ECKey, OctKey

from tests.unit.loopback_issuer import sign
from tests.wire.issuers import SHARED_ISSUER, SHARED_SECRET, Issuers, shared
from tests.wire.vault import Vault, fresh
from vaultd.sandbox.dev_config import BRIEFING_AGENT

Make = Callable[[Issuers], str]
KEY = ECKey.generate_key("P-256")
TYPE = "urn:ietf:params:oauth:token-type:"
HEADER_OF_NONE = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()


def _claimed(**changes: object) -> Make:
    return lambda _: shared("alice", claims=changes)


def _altered(_: Issuers) -> str:
    head, signature = shared("alice").split(".")[::2]
    return f"{head}.{shared('mallory').split('.')[1]}.{signature}"


def _unsigned(_: Issuers) -> str:
    return f"{HEADER_OF_NONE}.{shared('alice').split('.')[1]}."


def _keyed_by_a_public_key(issuers: Issuers) -> str:
    """What everybody can read at an issuer with key pairs, used as a secret for HMAC."""
    jwk = issuers.second.jwks()["keys"][-1]
    key = OctKey.import_key(json.dumps(jwk))
    claims = {"iss": issuers.second.issuer, "aud": issuers.world.places.vault}
    return shared("alice", key=key, header={"kid": jwk["kid"], "typ": "at+jwt"}, claims=claims)


def _known_secret_for_another(issuers: Issuers) -> str:
    claims = {"iss": issuers.second.issuer, "aud": issuers.world.places.vault}
    kid = issuers.second.jwks()["keys"][-1]["kid"]
    return shared("alice", header={"kid": kid, "typ": "at+jwt"}, claims=claims)


def _signed_by_a_key_pair(_: Issuers) -> str:
    claims = {"iss": SHARED_ISSUER, "sub": "alice", "aud": "authenticated", "exp": 10**10}
    return sign(KEY, {"alg": "ES256", "typ": "JWT"}, claims).reveal()


def _longer_hash(alg: str) -> Make:
    return lambda _: shared("alice", header={"alg": alg})


BAD: Mapping[str, tuple[str, Make]] = {
    "by another secret": ("bad_signature", lambda _: shared("alice", key=OctKey.import_key(SHARED_SECRET + "!"))),
    "by an empty secret": ("bad_signature", lambda _: shared("alice", key=OctKey.import_key(b"\0" * 32))),
    "altered": ("bad_signature", _altered),
    "signature cut off": ("bad_signature", lambda _: shared("alice").rpartition(".")[0] + "."),
    "alg none": ("bad_algorithm", _unsigned),
    "alg HS384": ("bad_algorithm", _longer_hash("HS384")),
    "alg HS512": ("bad_algorithm", _longer_hash("HS512")),
    "signed by a key pair": ("bad_algorithm", _signed_by_a_key_pair),
    "HMAC by the public key of an issuer without secret": ("bad_algorithm", _keyed_by_a_public_key),
    "HMAC by the secret of another issuer": ("bad_algorithm", _known_secret_for_another),
    "a critical extension": ("critical_header", lambda _: shared("alice", header={"crit": ["x"], "x": 1})),
    "a logout token": ("wrong_type", lambda _: shared("alice", header={"typ": "logout+jwt"})),
    "kid a number": ("malformed", lambda _: shared("alice", header={"kid": 7})),
    "by nobody": ("missing_claim", _claimed(iss=...)),
    "by almost the same": ("wrong_issuer", _claimed(iss=SHARED_ISSUER + "/")),
    "expired": ("expired", _claimed(exp=1)),
    "no exp": ("missing_claim", _claimed(exp=...)),
    "exp a string": ("malformed", _claimed(exp="tomorrow")),
    "not yet": ("not_yet_valid", _claimed(nbf=9_999_999_999)),
    "issued in the future": ("not_yet_valid", _claimed(iat=9_999_999_990)),
    "for another": ("wrong_audience", _claimed(aud="anon")),
    "for nobody": ("missing_claim", _claimed(aud=...)),
    "for a number": ("malformed", _claimed(aud=7)),
    "no sub": ("missing_claim", _claimed(sub=...)),
    "an empty sub": ("malformed", _claimed(sub="")),
    "a line break in sub": ("malformed", _claimed(sub="alice\nbob")),
    "issued to another client": ("wrong_presenter", _claimed(azp="web-app")),
    "issued to no client": ("wrong_presenter", _claimed(azp=...)),
    "bound to a certificate": ("unsupported_cnf", _claimed(cnf={"x5t#S256": "x"})),
    "may act: another": ("may_act", _claimed(may_act={"sub": "another-agent"})),
    "too large": ("too_large", _claimed(filler="x" * 17_000)),
}


async def test_a_true_token_of_a_shared_secret_is_believed(believer: Vault) -> None:
    for header in ({}, {"kid": "whatever"}, {"typ": "at+jwt"}):
        answer = await believer.exchange(shared(fresh("user"), header=header))
        assert (answer.status_code, answer.json()["error"]) == (400, "interaction_required"), answer.text


@pytest.mark.parametrize("case", BAD)
async def test_a2_a_bad_token_is_refused_with_one_event(issuers: Issuers, believer: Vault, case: str) -> None:
    reason, make = BAD[case]
    answer = await believer.exchange(make(issuers))
    assert not issuers.asked.asked  # whatever it is, it is shown to nobody
    plain = await believer.exchange("x.y.z")
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    assert answer.content == plain.content
    (event,) = await believer.events_of(answer)
    assert (event["type"], event["decision"], event["client_id"]) == ("token.refused", "refused", BRIEFING_AGENT)
    assert event["reason"] == reason


@pytest.mark.parametrize("token_type", ["id_token", "refresh_token"])
async def test_a_true_token_as_what_it_is_not(believer: Vault, token_type: str) -> None:
    reasons = {"id_token": "wrong_audience", "refresh_token": "wrong_type"}
    answer = await believer.exchange(shared("alice"), subject_token_type=TYPE + token_type)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    assert [event["reason"] for event in await believer.events_of(answer)] == [reasons[token_type]]
