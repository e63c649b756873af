"""An issuer's key, and tokens signed with it, as they should be but for what a test changes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

from vaultd.jose import JwtRefused
from vaultd.terms import Secret

ISSUER = "https://login.example.com/"
CLIENT = "vaultd"
NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
SECONDS = int(NOW.timestamp())
KEYS: dict[str, Key] = {
    "RS256": RSAKey.generate_key(2048, {"kid": "RS256"}),
    "ES384": ECKey.generate_key("P-384", {"kid": "ES384"}),
    "Ed25519": OKPKey.generate_key("Ed25519", {"kid": "Ed25519"}),
}
FOREIGN = RSAKey.generate_key(2048, {"kid": "RS256"})
ALGORITHMS = tuple(KEYS)


async def key_for(kid: str | None, alg: str) -> Key:
    if kid != alg or alg not in KEYS:
        raise JwtRefused("unknown_key")
    return KEYS[alg]


def signed(
    claims: Mapping[str, Any], *, alg: str = "RS256", key: Key | None = None, header: Mapping[str, Any] | None = None
) -> Secret:
    """A claim of `...` is left out."""
    kept = {name: value for name, value in claims.items() if value is not ...}
    whole = {"alg": alg, "kid": alg, **(header or {})}
    return Secret(jwt.encode(whole, kept, key or KEYS[alg], algorithms=[alg]))
