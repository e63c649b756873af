"""What an ID token must say before somebody is signed in by it (OpenID Connect Core 1.0 §3.1.3.7). Pure.

Signature, `exp` and `iat` in the past are checked before (`jose`); the issuer's keys and algorithms are given there.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vaultd.jose import JwtRefused, VerifiedJwt, read_audience
from vaultd.jose.purposes import SIGN_IN, check_claims, check_type
from vaultd.sizes import LONGEST_NAME
from vaultd.terms import Secret, Subject

_SIZES = frozenset({"256", "384", "512"})


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Who signed in, and the issuer's own name for their session there, if it has one."""

    subject: Subject
    sid: str | None


def check_id_token(
    jwt: VerifiedJwt, *, issuer: str, client_id: str, nonce: str, access_token: Secret | None
) -> SignedIn:
    """Raises `JwtRefused`."""
    # RFC 8725 §3.11: an access token or a logout token, signed by the same keys, is no ID token.
    check_type(jwt.typ, SIGN_IN)
    claims = jwt.claims
    if claims.get("iss") != issuer:
        raise JwtRefused("wrong_issuer")  # item 2
    audience = read_audience(claims)
    if client_id not in audience:
        raise JwtRefused("wrong_audience")  # item 3
    if "azp" in claims or len(audience) > 1:
        _check_authorized_party(claims.get("azp"), client_id)
    if not hmac.compare_digest(str(claims.get("nonce", "")).encode(), nonce.encode()):
        raise JwtRefused("wrong_claim", "nonce")  # item 11
    check_claims(claims, SIGN_IN)
    if "at_hash" in claims:
        _check_access_token(claims["at_hash"], str(jwt.header["alg"]), access_token)
    return SignedIn(Subject(issuer, _sub(claims)), _sid(claims))


def _sub(claims: Mapping[str, Any]) -> str:
    sub = claims.get("sub")
    if not isinstance(sub, str) or not sub:
        raise JwtRefused("missing_claim", "sub")
    if len(sub) > LONGEST_NAME:
        raise JwtRefused("malformed", f"sub is longer than {LONGEST_NAME} characters")  # §2
    return sub


def _sid(claims: Mapping[str, Any]) -> str | None:
    sid = claims.get("sid")
    if not isinstance(sid, str | None):
        raise JwtRefused("malformed", "sid")
    return sid or None


def _check_authorized_party(unverified: object, client_id: str) -> None:
    # Items 4 and 5: of several audiences, ours must be the one it was issued to.
    if unverified != client_id:
        raise JwtRefused("wrong_audience", "azp")


def _check_access_token(unverified_hash: object, alg: str, access_token: Secret | None) -> None:
    # §3.1.3.6 and §3.1.3.8: the left half of the hash that the signature uses. EdDSA's is SHA-512 (RFC 8032 §5.1).
    if access_token is None:
        raise JwtRefused("missing_claim", "at_hash without an access token")
    size = alg[-3:] if alg[-3:] in _SIZES else "512"
    digest = hashlib.new(f"sha{size}", access_token.reveal().encode()).digest()
    half = base64.urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=")
    if not hmac.compare_digest(str(unverified_hash).encode(), half):
        raise JwtRefused("wrong_claim", "at_hash")
