"""Clients that sign: their keys, their tables in a configuration, and the JWTs they make, good and bad."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from joserfc.jwk import ECKey, Key
from joserfc.jws import JWSRegistry
from joserfc.util import urlsafe_b64encode

from vaultd.terms import Clock, system_clock

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
JWT = "urn:ietf:params:oauth:token-type:jwt"
SUBJECT_TYPE = "token-vault-req+jwt"
ABSENT = object()
"""As the value of a claim or a header: it is left out."""


class Signer:
    """One client and its key pair. `vault` is the issuer identifier that its JWTs are for."""

    def __init__(
        self, client_id: str, *, vault: str, key: Key | None = None, alg: str = "ES256", clock: Clock = system_clock
    ) -> None:
        self.client_id = client_id
        self.vault = vault
        self.key = key or ECKey.generate_key("P-256", {"kid": f"key of {client_id}"})
        self.alg = alg
        self._clock = clock

    def jwk(self, *, private: bool = False) -> dict[str, Any]:
        """The key as a client publishes it, or as its own program holds it."""
        return dict(self.key.as_dict(private=private))

    def jwks(self) -> dict[str, Any]:
        """What the client publishes."""
        return {"keys": [self.jwk()]}

    def table(self, *lines: str, keys: str | None = None) -> str:
        """Its `[clients.X]` table; the keys stand in it unless `keys` says where they are."""
        inline = ", ".join(f"{name} = {json.dumps(value)}" for name, value in self.jwk().items())
        where = keys or f"jwks = {{ keys = [{{ {inline} }}] }}"
        head = f"[clients.{json.dumps(self.client_id)}]"
        return "\n".join([head, 'auth = "private_key_jwt"', where, *lines, ""])

    def assertion(self, header: Mapping[str, object] | None = None, /, **claims: object) -> str:
        """A client assertion (RFC 7523 §3)."""
        return self.sign(header or {}, {"sub": self.client_id, **claims})

    def credentials(self, header: Mapping[str, object] | None = None, /, **claims: object) -> dict[str, str]:
        """The two parameters of a token request that carry one."""
        return {"client_assertion_type": ASSERTION_TYPE, "client_assertion": self.assertion(header, **claims)}

    def subject(self, header: Mapping[str, object] | None = None, /, **claims: object) -> str:
        """A subject assertion; who it is about is one of the claims."""
        return self.sign({"typ": SUBJECT_TYPE, **(header or {})}, claims)

    def sign(self, header: Mapping[str, object], claims: Mapping[str, object]) -> str:
        """A JWT of one minute for the vault, changed as asked."""
        now = int(self._clock().timestamp())
        standard = {"iss": self.client_id, "aud": self.vault, "iat": now, "exp": now + 60, "jti": uuid4().hex}
        whole = {"alg": self.alg, "kid": self.key.kid, **header}
        signed = segment(whole) + b"." + segment({**standard, **claims})
        signature = JWSRegistry.algorithms[self.alg].sign(signed, self.key)
        return (signed + b"." + urlsafe_b64encode(signature)).decode()


def segment(members: Mapping[str, object]) -> bytes:
    """One part of a compact JWS."""
    kept = {name: value for name, value in members.items() if value is not ABSENT}
    return urlsafe_b64encode(json.dumps(kept).encode())
