"""Genuine JWTs of every kind that a signer at an issuer, a client or a vault may make: for the tests that mix them up.

`Facts` are what is true where a token is presented; the audience is the widest that an attacker would find. Most kinds
come twice: as their standard has them, and with everything that any JWT may carry beside it.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from joserfc.jwk import Key
from joserfc.jws import JWSRegistry
from joserfc.util import urlsafe_b64encode

from tests.support.signing import segment

ACCESS_TOKEN_BESIDE = "the access token that came beside it"
_EVENT = "http://schemas.openid.net/event/backchannel-logout"
_RISC = "https://schemas.openid.net/secevent/risc/event-type/"
_DIGEST = hashlib.sha256(ACCESS_TOKEN_BESIDE.encode()).digest()
_AT_HASH = base64.urlsafe_b64encode(_DIGEST[:16]).rstrip(b"=").decode()
_JWK = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Who signs, for whom, about which user, to which client; `own` is the `sub` of what has no user in it.

    `beside` is what that signer writes into JWTs that do not call for it, access and refresh tokens excepted.
    """

    iss: str
    aud: str | list[str]
    user: str
    own: str
    client: str
    url: str
    now: int
    nonce: str = "a nonce"
    scope: str = "openid"
    subject_issuer: str = ""
    beside: Mapping[str, Any] = field(default_factory=dict)


Claims = Callable[[Facts], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Made:
    """One kind of JWT: its own `typ`, and its claims beyond `iss` and `aud`."""

    typ: str
    claims: Claims
    widened: bool = True

    def headers(self) -> tuple[dict[str, str], ...]:
        """Its own type, none, and the one that says nothing."""
        return tuple({"typ": typ} if typ else {} for typ in dict.fromkeys((self.typ, "", "JWT")))


def _timed(facts: Facts, **claims: object) -> dict[str, Any]:
    return {"iat": facts.now, "exp": facts.now + 120, **claims}


def _usual(facts: Facts) -> dict[str, Any]:
    usual = _timed(facts, jti=uuid4().hex, azp=facts.client, sub=facts.own, sid="a-session", auth_time=facts.now)
    return {**usual, "acr": "1", "amr": ["pwd"], "email": "ada@example.com", "name": "Ada"}


def _access(facts: Facts) -> Mapping[str, Any]:
    """RFC 9068 §2.2."""
    return _timed(facts, sub=facts.user, jti=uuid4().hex, client_id=facts.client, azp=facts.client, scope=facts.scope)


def _id_token(facts: Facts) -> Mapping[str, Any]:
    """OpenID Connect Core §2 and §3.1.3.6."""
    return _timed(facts, sub=facts.user, nonce=facts.nonce, at_hash=_AT_HASH, azp=facts.client, auth_time=facts.now)


def _logout(facts: Facts) -> Mapping[str, Any]:
    """OpenID Connect Back-Channel Logout §2.4."""
    return _timed(facts, sub=facts.user, jti=uuid4().hex, events={_EVENT: {}})


def _security_event(facts: Facts) -> Mapping[str, Any]:
    """RFC 8417 §2.2, and Google's page on RISC."""
    subject = {"subject_type": "iss-sub", "iss": facts.iss, "sub": facts.user}
    events = {f"{_RISC}account-disabled": {"subject": subject}}
    return {"iat": facts.now, "jti": uuid4().hex, "txn": "8675309", "toe": facts.now, "events": events}


def _client_assertion(facts: Facts) -> Mapping[str, Any]:
    """RFC 7523 §3."""
    return _timed(facts, sub=facts.iss, jti=uuid4().hex)


def _subject_assertion(facts: Facts) -> Mapping[str, Any]:
    sub_id = {"format": "iss_sub", "iss": facts.subject_issuer, "sub": facts.user}
    return _timed(facts, jti=uuid4().hex, sub=facts.user, sub_id=sub_id)


def _workers_assertion(facts: Facts) -> Mapping[str, Any]:
    """Auth0's, which may have no `exp`; here it has one, so that it lacks nothing elsewhere."""
    return {**_subject_assertion(facts), "audit_context": "Nightly report"}


def _proof(facts: Facts) -> Mapping[str, Any]:
    """RFC 9449 §4.2."""
    return {"jti": uuid4().hex, "htm": "POST", "htu": facts.url, "iat": facts.now}


def _refresh(facts: Facts) -> Mapping[str, Any]:
    """As Keycloak and Flask's libraries sign them."""
    return _timed(facts, sub=facts.user, jti=uuid4().hex, typ="Refresh", type="refresh", scope=facts.scope)


def _requested(facts: Facts) -> Mapping[str, Any]:
    """RFC 9101 §4."""
    return _timed(
        facts, response_type="code", client_id=facts.iss, redirect_uri="https://app.example/cb", scope="openid"
    )


KINDS: Mapping[str, Made] = {
    "access token": Made("at+jwt", _access),
    "ID token": Made("JWT", _id_token),
    "logout token": Made("logout+jwt", _logout),
    "security event": Made("secevent+jwt", _security_event),
    "client assertion": Made("client-authentication+jwt", _client_assertion),
    "subject assertion": Made("token-vault-req+jwt", _subject_assertion),
    "worker's assertion": Made("token-vault-req+jwt", _workers_assertion),
    "DPoP proof": Made("dpop+jwt", _proof),
    "refresh token": Made("JWT", _refresh),
    # JARM §2.1
    "authorization response": Made("JWT", lambda f: {"exp": f.now + 120, "code": "c", "state": "s"}),
    "authorization error": Made("JWT", lambda f: {"exp": f.now + 120, "error": "access_denied", "state": "s"}),
    "request object": Made("oauth-authz-req+jwt", _requested),
    # CIBA Core §7.1.1
    "backchannel request": Made(
        "JWT", lambda f: _timed(f, jti=uuid4().hex, scope="openid", login_hint="ada", binding_message="W4SCT")
    ),
    "authorization code": Made(
        "JWT", lambda f: _timed(f, sub=f.user, client_id=f.client, redirect_uri="https://app.example/cb", nonce="n")
    ),
    # RFC 9701 §5
    "introspection response": Made(
        "token-introspection+jwt", lambda f: {"iat": f.now, "token_introspection": {"active": True, "sub": f.user}}
    ),
    # OpenID Connect Core §5.3.2: it has no times, and nothing else that would tell it from an ID token.
    "userinfo response": Made("JWT", lambda f: {"sub": f.user, "name": "Ada", "email": "ada@example.com"}, False),  # noqa: FBT003
    # RFC 7591 §2.3
    "software statement": Made("JWT", lambda _: {"software_id": "4NRB1", "redirect_uris": ["https://app.example/cb"]}),
    # OpenID Federation 1.0 §3
    "entity configuration": Made("entity-statement+jwt", lambda f: _timed(f, sub=f.iss, jwks={"keys": [_JWK]})),
    "trust mark": Made("trust-mark+jwt", lambda f: _timed(f, sub=f.user, trust_mark_type="https://t.example/m")),
    # W3C VC Data Model 1.1 §6.3.1, SD-JWT VC §3.2.2
    "verifiable credential": Made("JWT", lambda f: _timed(f, sub=f.user, jti="urn:uuid:1", vc={"type": ["X"]})),
    "selective credential": Made("dc+sd-jwt", lambda f: _timed(f, sub=f.user, vct="https://v.example/x", _sd=["a"])),
    "status list": Made(
        "statuslist+jwt", lambda f: _timed(f, sub="https://s.example/1", status_list={"bits": 1, "lst": "eNrb"})
    ),
    "transaction token": Made(
        "txntoken+jwt", lambda f: _timed(f, sub=f.user, txn="97053963", scope="trade", req_wl="apigateway")
    ),
    "token of one's own": Made("JWT", lambda f: _timed(f, sub=f.iss, sub_jwk=_JWK)),
}


@dataclass(frozen=True, slots=True)
class Variant:
    """A JWT of one kind under one `typ`, perhaps with what any JWT may carry."""

    kind: str
    header: Mapping[str, str]
    wide: bool

    def claims(self, facts: Facts) -> dict[str, Any]:
        """Made anew each time: its `jti` is like no other."""
        usual = _usual(facts) if self.wide else {}
        beside = facts.beside if self.wide and self.kind not in {"access token", "refresh token"} else {}
        return {"iss": facts.iss, "aud": facts.aud, **usual, **beside, **KINDS[self.kind].claims(facts)}

    def __str__(self) -> str:
        return f"{self.kind}, typ {self.header.get('typ', 'missing')}{', widened' if self.wide else ''}"


VARIANTS = tuple(
    Variant(name, header, wide)
    for name, made in KINDS.items()
    for header in made.headers()
    for wide in ((False, True) if made.widened else (False,))
)


def signed_by(key: Key, alg: str, header: Mapping[str, object], claims: Mapping[str, object]) -> str:
    """A compact JWS of these."""
    whole = {"alg": alg, **({"kid": key.kid} if key.kid else {}), **header}
    signing_input = segment(whole) + b"." + segment(claims)
    signature = JWSRegistry.algorithms[alg].sign(signing_input, key)
    return (signing_input + b"." + urlsafe_b64encode(signature)).decode()
