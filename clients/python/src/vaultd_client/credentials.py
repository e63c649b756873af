"""How a client proves itself at the token endpoint: `client_secret_basic`, `_post`, `private_key_jwt`, `none`."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol
from urllib.parse import quote_plus

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_SECONDS = 60

Sign = Callable[[Mapping[str, Any], Mapping[str, Any]], str]
"""Signs a JWT of this header and these claims, and adds `alg` and `kid` to the header. The key may be anywhere: in this
process (`vaultd_client.signing.JwtSigner`), in a KMS, in an agent beside it."""


class ClientAuth(Protocol):
    """A client's credentials. `client_id` is None only for a client that its users' tokens name."""

    @property
    def client_id(self) -> str | None:
        """The client's name in the vault's configuration."""

    def put_on(self, form: dict[str, str], headers: dict[str, str], *, vault: str, now: datetime) -> None:
        """Add the credentials to a token request to this vault."""


@dataclass(frozen=True, slots=True)
class ClientSecretBasic:
    """`client_secret_basic`: id and secret in the header."""

    client_id: str
    client_secret: str = field(repr=False)

    def put_on(self, form: dict[str, str], headers: dict[str, str], *, vault: str, now: datetime) -> None:
        """RFC 6749 §2.3.1: both halves form-encoded."""
        del form, vault, now
        pair = f"{quote_plus(self.client_id)}:{quote_plus(self.client_secret)}"
        headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()


@dataclass(frozen=True, slots=True)
class ClientSecretPost:
    """`client_secret_post`: id and secret in the form."""

    client_id: str
    client_secret: str = field(repr=False)

    def put_on(self, form: dict[str, str], headers: dict[str, str], *, vault: str, now: datetime) -> None:
        """RFC 6749 §2.3.1."""
        del headers, vault, now
        form |= {"client_id": self.client_id, "client_secret": self.client_secret}


@dataclass(frozen=True, slots=True)
class PrivateKeyJwt:
    """`private_key_jwt`: a JWT for this one request, signed by the client's key (RFC 7523 §2.2).

    `audience` is the vault's issuer identifier, its `public_url`; the URL that the client calls, unless it is another.
    """

    client_id: str
    sign: Sign = field(repr=False)
    audience: str | None = None

    def put_on(self, form: dict[str, str], headers: dict[str, str], *, vault: str, now: datetime) -> None:
        """RFC 7523 §3; `jti` is new each time, since the vault takes each once."""
        del headers
        form["client_assertion_type"] = ASSERTION_TYPE
        form["client_assertion"] = self.signed("JWT", {"sub": self.client_id}, vault=vault, now=now)

    def signed(self, kind: str, claims: Mapping[str, Any], *, vault: str, now: datetime) -> str:
        """A JWT of the header `typ` `kind`, for this vault, good for a minute and once."""
        issued_at = int(now.timestamp())
        standard = {
            "iss": self.client_id,
            "aud": self.audience or vault,
            "iat": issued_at,
            "exp": issued_at + ASSERTION_SECONDS,
            "jti": secrets.token_urlsafe(24),
        }
        return self.sign({"typ": kind}, {**standard, **claims})


@dataclass(frozen=True, slots=True)
class NoSecret:
    """`none`: the client only names itself, or, without an id, is named by its users' tokens (an implicit client)."""

    client_id: str | None = None

    def put_on(self, form: dict[str, str], headers: dict[str, str], *, vault: str, now: datetime) -> None:
        """RFC 6749 §3.2.1."""
        del headers, vault, now
        if self.client_id is not None:
            form["client_id"] = self.client_id
