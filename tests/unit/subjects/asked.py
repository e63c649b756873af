"""An issuer that is asked about its tokens, and a verifier that asks it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from joserfc.jwk import ECKey

from tests.support.introspection import CLIENT_ID, SECRET, IntrospectingIssuer
from tests.unit.loopback_issuer import HOST, SetClock, sign
from tests.unit.subjects.world import ACCESS, TYPE, US
from vaultd.errors import SubjectTokenRefused
from vaultd.outbound import Outbound
from vaultd.subjects.config import IssuerConfig
from vaultd.subjects.verify import SubjectVerifier
from vaultd.terms import Secret

OTHER = "https://other.example"
REFRESH = TYPE + "refresh_token"
KEY = ECKey.generate_key("P-256", parameters={"kid": "first"})


@dataclass
class Asked:
    """The issuer `asked`, and beside it an issuer of JWTs that nobody can reach."""

    issuer: IntrospectingIssuer
    clock: SetClock
    outbound: Outbound

    def config(self, introspection: dict[str, Any] | None = None, **settings: Any) -> IssuerConfig:
        return IssuerConfig.model_validate(
            {
                "issuer": self.issuer.issuer,
                "audience": (US,),
                "allow_private_hosts": (HOST,),
                "introspection": {"client_id": CLIENT_ID, "client_secret": SECRET, **(introspection or {})},
                **settings,
            }
        )

    def verifier(self, introspection: dict[str, Any] | None = None, **settings: Any) -> SubjectVerifier:
        jwts = IssuerConfig(issuer=OTHER, audience=(US,))
        return SubjectVerifier(
            issuers={"asked": self.config(introspection, **settings), "jwts": jwts},
            outbound=self.outbound,
            clock=self.clock,
        )

    def believe(self, token: str = "opaque", /, **changes: object) -> str:
        """Have the issuer call a token active, with everything that an access token has but for the changes."""
        now = self.clock.seconds()
        usual = {
            "iss": self.issuer.issuer,
            "sub": "alice",
            "aud": US,
            "client_id": "web-app",
            "scope": "read:me:connected_accounts openid",
            "token_type": "Bearer",
            "iat": now,
            "exp": now + 300,
        }
        answer = {name: value for name, value in {**usual, **changes}.items() if value is not ...}
        return self.issuer.believe(token, **answer)


def jwt(issuer: str, typ: str = "at+jwt", **claims: object) -> str:
    """A JWT that says it is of this issuer; its signature is never looked at where its issuer is asked."""
    return sign(KEY, {"alg": "ES256", "kid": "first", "typ": typ}, {"iss": issuer, "sub": "mallory", **claims}).reveal()


async def refused(verifier: SubjectVerifier, token: str, token_type: str = ACCESS) -> str:
    """Why a token is refused."""
    with pytest.raises(SubjectTokenRefused) as caught:
        await verifier.verify(Secret(token), token_type)
    assert caught.value.__cause__ is None
    assert len(token) < 8 or token not in str(caught.value)
    return caught.value.reason
