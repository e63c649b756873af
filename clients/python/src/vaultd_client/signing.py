"""A key in this process that signs. Needs the extra: `pip install vaultd-client[jwt]`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from joserfc import jwt
from joserfc.jwk import Key, import_key


class JwtSigner:
    """Signs with a private key, given as PEM or as a JWK. `alg` must fit it, such as `ES256` or `RS256`.

    `kid` is the key's name in the set that the vault knows; a JWK has its own.
    """

    def __init__(self, key: str | bytes | Mapping[str, Any], *, alg: str = "ES256", kid: str | None = None) -> None:
        self._key: Key = import_key(dict(key) if isinstance(key, Mapping) else key)
        if not self._key.is_private or self._key.key_type == "oct":
            raise ValueError("The key must be the private one of a pair.")
        self._alg = alg
        self._kid = kid or self._key.kid

    def __call__(self, header: Mapping[str, Any], claims: Mapping[str, Any]) -> str:
        """The compact JWT."""
        named = {"kid": self._kid} if self._kid else {}
        return jwt.encode({**header, **named, "alg": self._alg}, dict(claims), self._key, algorithms=[self._alg])

    def __repr__(self) -> str:
        return f"JwtSigner(alg={self._alg!r}, kid={self._kid!r})"
