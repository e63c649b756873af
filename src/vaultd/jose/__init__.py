"""JWTs and the keys that verify them: for subject tokens, DPoP proofs, sign-in, and vaultd's own operator tokens.

joserfc does the mathematics. Parsing, the choice of the key and every check of a header or a claim are here,
so that nothing a token says about itself can widen what is accepted. Proofs of possession are in `dpop`, what an
issuer says of itself is read by `source`.
"""

from __future__ import annotations

from vaultd.jose.keycache import FixedKeys, KeyCache, SharedSecret
from vaultd.jose.refused import JwtRefused, Reason
from vaultd.jose.sign import SigningKey, access_token_claims, sign_access_token, verify_access_token
from vaultd.jose.verify import (
    MAX_TOKEN_BYTES,
    KeyFor,
    UnverifiedJwt,
    VerifiedJwt,
    check_given_times,
    parse_jwt,
    read_audience,
    read_json_object,
    verify_jwt,
    verify_parsed,
)

__all__ = [
    "MAX_TOKEN_BYTES",
    "FixedKeys",
    "JwtRefused",
    "KeyCache",
    "KeyFor",
    "Reason",
    "SharedSecret",
    "SigningKey",
    "UnverifiedJwt",
    "VerifiedJwt",
    "access_token_claims",
    "check_given_times",
    "parse_jwt",
    "read_audience",
    "read_json_object",
    "sign_access_token",
    "verify_access_token",
    "verify_jwt",
    "verify_parsed",
]
