"""DPoP proofs: a request's evidence that its sender holds the key that a token is bound to (RFC 9449).

Pure, but for the memory of what was used, which is the caller's to ask. The order is that of RFC 9449 §4.3, except that
the key is compared with the token's before it is used: it comes from the proof itself, so without that a proof proves
nothing, and its sender would choose how long its signature takes.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from joserfc.jwk import Key
from joserfc.util import urlsafe_b64encode

from vaultd.config_types import split_url
from vaultd.jose.jwks import fits, read_key
from vaultd.jose.purposes import PROOF, check_claims, check_type
from vaultd.jose.refused import JwtRefused, Reason
from vaultd.jose.verify import UnverifiedJwt, check_header, check_signature, parse_jwt, read_time
from vaultd.terms import Secret

PROOF_ALGORITHMS = ("ES256", "ES384", "ES512", "EdDSA", "Ed25519", "PS256", "RS256")
"""Asymmetric ones only (RFC 9449 §4.3). `Ed25519` is the newer name of what is mostly called EdDSA (RFC 9864)."""

MAX_AGE = 60
"""Seconds that a proof is good for: time for a slow network, and for a sender whose clock is late."""
MAX_AHEAD = 10
"""Seconds by which the sender's clock may be ahead. Less than `MAX_AGE`: a proof made in advance is worth stealing."""
REMEMBERED_BEYOND = 60
"""Seconds that a used `jti` is remembered longer than its proof is good, for replicas whose clocks differ."""

_DEFAULT_PORTS: Mapping[str, int] = MappingProxyType({"https": 443, "http": 80})
_PERCENT = re.compile(r"%([0-9A-Fa-f]{2})")
_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]")
_THUMBPRINT = re.compile(r"[A-Za-z0-9_-]{43}")
_OWN_REASONS: Mapping[str, Reason] = MappingProxyType(
    {
        "bad_algorithm": "dpop_alg",
        "bad_signature": "dpop_signature",
        "critical_header": "dpop_malformed",
        "malformed": "dpop_malformed",
        "missing_claim": "dpop_malformed",
        "too_large": "dpop_malformed",
        "wrong_claim": "dpop_malformed",
        "wrong_type": "dpop_typ",
    }
)


@dataclass(frozen=True, slots=True)
class VerifiedProof:
    """A proof made for this request with the key of thumbprint `jkt` (RFC 7638), and perhaps used before.

    `good_until` is how long its `jti` must be remembered. `ath` is the hash of the token that it was made for.
    """

    jkt: str
    jti: str
    ath: str | None
    good_until: datetime


def verify_proof(proof: Secret, *, method: str, url: str, now: datetime, bound_to: str | None = None) -> VerifiedProof:
    """Verify a proof for a request by this method to this URL. Raises `JwtRefused` with a reason of `dpop_*`.

    `bound_to` is the thumbprint of the key that it must be made with; without it, `check_key` is still to come.
    """
    try:
        return _verify(parse_jwt(proof), method=method, url=url, now=now, bound_to=bound_to)
    except JwtRefused as refused:
        # So that the event says whether the token or the proof was the bad one.
        reason = _OWN_REASONS.get(refused.reason)
        if reason is None:
            raise
        raise JwtRefused(reason, refused.detail) from None


def check_key(proof: VerifiedProof, jkt: str) -> None:
    """The proof must be made with the token's own key (RFC 9449 §4.3, item 12). Raises `JwtRefused`."""
    _check_thumbprint(proof.jkt, jkt)


def check_token_hash(proof: VerifiedProof, token: Secret, *, required: bool) -> None:
    """`ath` must be the hash of the token; it may be missing only where none is required. Raises `JwtRefused`."""
    if proof.ath is None and not required:
        return
    digest = hashlib.sha256(token.reveal().encode("utf-8", "surrogatepass")).digest()
    if proof.ath != urlsafe_b64encode(digest).decode():
        raise JwtRefused("dpop_ath")


def is_thumbprint(value: object) -> bool:
    """Whether this can be the SHA-256 thumbprint of a key (RFC 9449 §6.1)."""
    return isinstance(value, str) and _THUMBPRINT.fullmatch(value) is not None


def _verify(unverified: UnverifiedJwt, *, method: str, url: str, now: datetime, bound_to: str | None) -> VerifiedProof:
    check_type(unverified.unverified_typ, PROOF)
    _, alg = check_header(unverified.unverified_header, PROOF_ALGORITHMS)
    key = _own_key(unverified.unverified_header.get("jwk"), alg)
    jkt = key.thumbprint()
    if bound_to is not None:
        _check_thumbprint(jkt, bound_to)
    check_signature(unverified, alg, key)
    claims = unverified.unverified_claims
    check_claims(claims, PROOF)
    jti, ath = _text(claims, "jti"), _text(claims, "ath") if "ath" in claims else None
    if _text(claims, "htm") != method:
        raise JwtRefused("dpop_htm")
    if _target(_text(claims, "htu")) != _target(url):
        raise JwtRefused("dpop_htu")
    issued_at = read_time(claims, "iat")
    if issued_at is None or not -MAX_AHEAD <= now.timestamp() - issued_at <= MAX_AGE:
        raise JwtRefused("dpop_iat")
    good_until = datetime.fromtimestamp(issued_at + MAX_AGE + REMEMBERED_BEYOND, UTC)
    return VerifiedProof(jkt=jkt, jti=jti, ath=ath, good_until=good_until)


def _check_thumbprint(jkt: str, bound_to: str) -> None:
    if jkt != bound_to:
        raise JwtRefused("dpop_key", "the token is bound to another key")


def _own_key(unverified_jwk: object, alg: str) -> Key:
    # Its private half would be one that everybody on the way could have read (RFC 9449 §4.3, item 7).
    key = read_key(unverified_jwk)
    if key is None or not fits(key, alg):
        raise JwtRefused("dpop_key", "jwk is no public key for this alg")
    return key


def _text(claims: Mapping[str, Any], name: str) -> str:
    value = claims[name]
    if not isinstance(value, str) or not value:
        raise JwtRefused("malformed", name)
    return value


def _target(url: str) -> tuple[str, str | None, int | None, str]:
    """A URL without query and fragment, spelled the one way that all its equal spellings have.

    RFC 9449 §4.3, item 9, and RFC 3986 §6.2.2 and §6.2.3: the case of scheme, host and percent-encoding, letters
    that need no encoding, the default port, the empty path. Dot segments are left: no client sends such a path.
    """
    try:
        parts = split_url(url.partition("#")[0].partition("?")[0])
    except ValueError:
        raise JwtRefused("dpop_htu", "not a URL") from None
    port = parts.port or _DEFAULT_PORTS.get(parts.scheme)
    return parts.scheme, parts.hostname, port, _PERCENT.sub(_encoded_once, parts.path) or "/"


def _encoded_once(found: re.Match[str]) -> str:
    letter = chr(int(found[1], 16))
    return letter if _UNRESERVED.fullmatch(letter) else found[0].upper()
