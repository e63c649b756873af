"""Keys that are nobody's: what a signature is checked with where there is no key, only to spend the time (A8)."""

from __future__ import annotations

import secrets

from joserfc.jwk import ECKey, Key, OKPKey, RSAKey
from joserfc.util import urlsafe_b64encode

_RSA_BITS = 2048
_CURVES = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}


class NobodysKeys:
    """One key of each type. No token that they verify is believed."""

    def __init__(self) -> None:
        # A number of the size of a modulus will do: nobody needs to know its factors, and making one takes long.
        modulus = secrets.randbits(_RSA_BITS) | 1 | 1 << (_RSA_BITS - 1)
        n = urlsafe_b64encode(modulus.to_bytes(_RSA_BITS // 8)).decode()
        self._rsa = RSAKey.import_key({"kty": "RSA", "n": n, "e": "AQAB"})
        self._elliptic = {alg: ECKey.generate_key(curve, private=False) for alg, curve in _CURVES.items()}
        self._edwards = OKPKey.generate_key("Ed25519", private=False)

    def key_for(self, alg: str) -> Key:
        """A key that fits this algorithm, one of `ASYMMETRIC`."""
        if alg in self._elliptic:
            return self._elliptic[alg]
        return self._edwards if alg.startswith("Ed") else self._rsa
