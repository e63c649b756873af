"""JWTs and the keys that verify them: for subject tokens, sign-in, and vaultd's own operator tokens.

joserfc does the mathematics. Parsing, the choice of the key and every check of a header or a claim are here,
so that nothing a token says about itself can widen what is accepted.
"""

from __future__ import annotations

from vaultd.jose.keycache import FixedKeys, KeyCache, SharedSecret
from vaultd.jose.refused import JwtRefused, Reason
from vaultd.jose.sign import SigningKey, access_token_claims, sign_access_token, verify_access_token
from vaultd.jose.verify import UnverifiedJwt, VerifiedJwt, parse_jwt, read_audience, verify_jwt, verify_parsed

__all__ = [
    "FixedKeys",
    "JwtRefused",
    "KeyCache",
    "Reason",
    "SharedSecret",
    "SigningKey",
    "UnverifiedJwt",
    "VerifiedJwt",
    "access_token_claims",
    "parse_jwt",
    "read_audience",
    "sign_access_token",
    "verify_access_token",
    "verify_jwt",
    "verify_parsed",
]
