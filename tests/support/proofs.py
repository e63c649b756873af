"""A client that holds a key, and the DPoP proofs that it makes (RFC 9449 §4.2), good ones and bad ones."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from joserfc.jwk import ECKey, Key
from joserfc.jws import JWSRegistry
from joserfc.util import urlsafe_b64encode

LEFT_OUT = object()
"""As a member's value: the member is not there."""


class ProofKey:
    """A key pair. `jkt` is its thumbprint, which a token bound to it carries under `cnf`."""

    def __init__(self, key: Key | None = None, alg: str = "ES256") -> None:
        self.key = key or ECKey.generate_key("P-256")
        self.alg = alg
        self.jkt = self.key.thumbprint()

    @property
    def cnf(self) -> dict[str, str]:
        return {"jkt": self.jkt}

    def jwk(self, **changes: object) -> dict[str, Any]:
        return _present({**self.key.as_dict(private=False), **changes})

    def proof(
        self,
        url: str,
        *,
        method: str = "POST",
        token: str | None = None,
        header: Mapping[str, object] | None = None,
        signed_by: ProofKey | None = None,
        **claims: object,
    ) -> str:
        """A proof for one request, with an `ath` when a token is given; any member of it may be another."""
        head = _present({"typ": "dpop+jwt", "alg": self.alg, "jwk": self.jwk(), **(header or {})})
        ath = {} if token is None else {"ath": hash_of(token)}
        standard = {"jti": uuid4().hex, "htm": method, "htu": url, "iat": int(time.time()), **ath}
        return sealed(signed_by or self, head, _present({**standard, **claims}))


def sealed(key: ProofKey, header: Mapping[str, Any], claims: object) -> str:
    """A compact JWS of exactly these parts."""
    signing_input = _segment(header) + b"." + _segment(claims)
    signature = JWSRegistry.algorithms[key.alg].sign(signing_input, key.key)
    return (signing_input + b"." + urlsafe_b64encode(signature)).decode()


def hash_of(token: str) -> str:
    """RFC 9449 §4.2: what `ath` holds."""
    return urlsafe_b64encode(hashlib.sha256(token.encode()).digest()).decode()


def _present(members: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not LEFT_OUT}


def _segment(part: object) -> bytes:
    encoded: bytes = urlsafe_b64encode(json.dumps(part).encode())
    return encoded
