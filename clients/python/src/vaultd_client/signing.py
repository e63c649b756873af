"""A key in this process that signs. Needs the extra: `pip install vaultd-client[jwt]`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import Key, import_key

_KINDS: Mapping[str, Literal["EC", "RSA", "OKP"]] = {"ES": "EC", "RS": "RSA", "PS": "RSA", "Ed": "OKP"}


class JwtSigner:
    """Signs with a private key, given as PEM or as a JWK. `alg` must fit it: `ES256`, `RS256`, `Ed25519` or the like.

    `kid` is the key's name in the set that the vault knows; a JWK has its own. A key that does not fit is a
    `ValueError`.
    """

    def __init__(self, key: str | bytes | Mapping[str, Any], *, alg: str = "ES256", kid: str | None = None) -> None:
        self._key = _private_key(dict(key) if isinstance(key, Mapping) else key, alg)
        self._alg = alg
        self._kid = kid or self._key.kid

    def __call__(self, header: Mapping[str, Any], claims: Mapping[str, Any]) -> str:
        """The compact JWT."""
        named = {"kid": self._kid} if self._kid else {}
        return jwt.encode({**header, **named, "alg": self._alg}, dict(claims), self._key, algorithms=[self._alg])

    def __repr__(self) -> str:
        return f"JwtSigner(alg={self._alg!r}, kid={self._kid!r})"


def _private_key(key: str | bytes | dict[str, Any], alg: str) -> Key:
    # The kind of key follows from the algorithm, never from the key: a shared secret signs nothing here.
    kind = _KINDS.get(alg[:2])
    if kind is None:
        raise ValueError(f"{alg} is not an algorithm of a key pair.")
    try:
        imported: Key = import_key(key, kind)
    except (JoseError, ValueError) as error:
        # From None: what another library says of a key that it cannot read may hold some of it.
        raise ValueError(f"The key is not one for {alg}: {type(error).__name__}.") from None
    if not imported.is_private:
        raise ValueError("The key is public: the private one of the pair signs.")
    return imported
