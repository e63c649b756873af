"""Issuers, their keys, and tokens made to order."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from joserfc.jwk import ECKey, RSAKey
from joserfc.util import urlsafe_b64encode

from tests.unit.loopback_issuer import HOST, LoopbackIssuer, SetClock, sign, sign_raw
from vaultd.outbound import Outbound
from vaultd.subjects.config import IssuerConfig
from vaultd.subjects.verify import SubjectVerifier
from vaultd.terms import Secret

US = "https://vault.example.com"
TYPE = "urn:ietf:params:oauth:token-type:"
ACCESS, ID, JWT = TYPE + "access_token", TYPE + "id_token", TYPE + "jwt"
SHARED = "a secret of more than 32 characters"
RSA = RSAKey.generate_key(2048, parameters={"kid": "rsa"})
FOREIGN = ECKey.generate_key("P-256", parameters={"kid": "foreign"})
ABSENT = object()


@dataclass
class World:
    """One issuer that serves its keys, one that shares a secret, and the verifier of both."""

    issuer: LoopbackIssuer
    clock: SetClock
    outbound: Outbound

    def verifier(self, *, leeway: int = 30, capacity: int = 100, **settings: Any) -> SubjectVerifier:
        main: dict[str, Any] = {
            "issuer": self.issuer.url,
            "audience": (US,),
            "id_token_client_ids": ("web-app",),
            "allow_private_hosts": (HOST,),
        }
        return SubjectVerifier(
            issuers={
                "app": IssuerConfig(**{**main, **settings}),
                "shared": IssuerConfig.model_validate(
                    {
                        "issuer": "https://shared.example",
                        "audience": ("authenticated",),
                        "algorithms": ("HS256",),
                        "hs256_secret": Secret(SHARED),
                    }
                ),
            },
            outbound=self.outbound,
            clock=self.clock,
            leeway=leeway,
            capacity=capacity,
        )

    def claims(self, **changes: object) -> dict[str, Any]:
        now = self.clock.seconds()
        claims = {
            "iss": self.issuer.url,
            "aud": US,
            "sub": "alice",
            "azp": "web-app",
            "iat": now,
            "exp": now + 300,
            "scope": "read:me:connected_accounts openid",
        }
        return {name: value for name, value in {**claims, **changes}.items() if value is not ABSENT}

    def header(self, **changes: object) -> dict[str, Any]:
        header = {"typ": "at+jwt", "alg": "ES256", "kid": self.issuer.key.kid}
        return {name: value for name, value in {**header, **changes}.items() if value is not ABSENT}

    def token(self, header: Mapping[str, object] | None = None, /, **claims: object) -> Secret:
        return sign(self.issuer.key, self.header(**(header or {})), self.claims(**claims))

    def raw(self, *, header: bytes | None = None, claims: bytes | None = None) -> Secret:
        """Signed by the real key, over bytes that no JSON writer would make."""
        return sign_raw(
            self.issuer.key,
            "ES256",
            header or json.dumps(self.header()).encode(),
            claims or json.dumps(self.claims()).encode(),
        )

    def with_claim_text(self, text: str) -> Secret:
        """The usual claims and one member more, as text."""
        return self.raw(claims=json.dumps(self.claims()).encode()[:-1] + b"," + text.encode() + b"}")

    def unsigned(self, alg: str) -> Secret:
        head = urlsafe_b64encode(json.dumps(self.header(alg=alg)).encode())
        return Secret((head + b"." + urlsafe_b64encode(json.dumps(self.claims()).encode()) + b".").decode())

    def respelled(self, change: Callable[[str], str]) -> Secret:
        return Secret(change(self.token().reveal()))
