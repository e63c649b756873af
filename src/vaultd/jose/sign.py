"""vaultd's own access tokens for operators' programs: Ed25519 JWTs of type `at+jwt` (RFC 9068)."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc.jwk import OKPKey
from joserfc.jws import JWSRegistry
from joserfc.util import urlsafe_b64encode

from vaultd.jose.purposes import OPERATORS_TOKEN, check_claims, check_type
from vaultd.jose.refused import JwtRefused
from vaultd.jose.verify import VerifiedJwt, check_header, check_signature, check_times, parse_jwt, read_audience
from vaultd.terms import Scopes, Secret

ACCESS_TOKEN_SECONDS = 600
_ALGORITHM = "EdDSA"
_LEEWAY = 5  # seconds: the clocks of replicas differ a little


class SigningKey:
    """An Ed25519 key pair and its name. It never shows its private half."""

    def __init__(self, *, kid: str, seed: bytes) -> None:
        self.kid = kid
        self._key = OKPKey.import_key(Ed25519PrivateKey.from_private_bytes(seed))

    def __repr__(self) -> str:
        return f"SigningKey({self.kid!r})"

    def sign(self, message: bytes) -> bytes:
        """The signature of these bytes (RFC 8032)."""
        signature: bytes = JWSRegistry.algorithms[_ALGORITHM].sign(message, self._key)
        return signature

    @property
    def public(self) -> OKPKey:
        """The half that anyone may have."""
        return OKPKey.import_key(self._key.public_key)

    def public_jwk(self) -> dict[str, Any]:
        """The public half as a member of a JWK Set."""
        return {**self.public.as_dict(), "kid": self.kid, "use": "sig", "alg": _ALGORITHM}


def access_token_claims(
    *, issuer: str, client_id: str, scopes: Scopes, now: datetime, jti: str, seconds: int = ACCESS_TOKEN_SECONDS
) -> dict[str, Any]:
    """The claims of RFC 9068 §2.2 for a client that acts for itself; its audience is vaultd."""
    issued_at = int(now.timestamp())
    return {
        "iss": issuer,
        "aud": issuer,
        "sub": client_id,
        "client_id": client_id,
        "iat": issued_at,
        "exp": issued_at + seconds,
        "jti": jti,
        "scope": str(scopes),
    }


def sign_access_token(key: SigningKey, claims: Mapping[str, Any]) -> Secret:
    """Sign the claims as an access token."""
    header = {"typ": "at+jwt", "alg": _ALGORITHM, "kid": key.kid}
    signing_input = _segment(header) + b"." + _segment(claims)
    return Secret((signing_input + b"." + urlsafe_b64encode(key.sign(signing_input))).decode("ascii"))


def verify_access_token(token: Secret, *, keys: Collection[SigningKey], issuer: str, now: datetime) -> VerifiedJwt:
    """Verify a token that `sign_access_token` made, on this replica or on another.

    Raises:
        JwtRefused: it is not ours, not of this type, not for us, or over.
    """
    unverified = parse_jwt(token)
    kid, alg = check_header(unverified.unverified_header, (_ALGORITHM,))
    key = next((key for key in keys if key.kid == kid), None)
    if key is None:
        raise JwtRefused("unknown_key")
    check_signature(unverified, alg, key.public)
    claims = unverified.unverified_claims
    verified = VerifiedJwt(unverified.unverified_header, claims, check_times(claims, now=now, leeway=_LEEWAY))
    check_type(verified.typ, OPERATORS_TOKEN)
    check_claims(claims, OPERATORS_TOKEN)
    if claims["iss"] != issuer:
        raise JwtRefused("wrong_issuer")
    if issuer not in read_audience(claims):
        raise JwtRefused("wrong_audience")
    return verified


def _segment(members: Mapping[str, Any]) -> bytes:
    return urlsafe_b64encode(json.dumps(members, separators=(",", ":")).encode())
