"""What goes into a verifier, what comes out, and what every verifier is."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, Protocol

from vaultd.jose import UnverifiedJwt
from vaultd.jose.purposes import TokenKind
from vaultd.subjects.rules import Party
from vaultd.subjects.strangers import NOBODY, Stranger
from vaultd.terms import Scopes, Secret, Subject


@dataclass(frozen=True, slots=True)
class PresentedToken:
    """A token as it came, its SHA-256, and as what it came.

    `unverified` is None for an opaque one, `stranger` if a client is proven.
    """

    token: Secret
    digest: bytes = field(repr=False)
    kind: TokenKind
    unverified: UnverifiedJwt | None
    stranger: Stranger | None = NOBODY


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedSubject:
    """A user, proven by a token, with what the token and its issuer's settings say about its use.

    `presenter` is the client the token was issued to. With `only_trusted` nothing in the token says that it is
    meant for us, so that only `trusted_clients` may present it. `may_act` and `act` are those of RFC 8693 §4.
    `jkt` is the thumbprint of the key that the token is bound to: then it proves nothing without a proof that its
    sender holds that key, for each request anew (`Possession`). `expires_at` is None where its issuer does not say.
    """

    subject: Subject
    issuer_name: str
    presenter: str | None
    scopes: Scopes
    may_act: Party | None
    act: Party | None
    account_scopes: Literal["required", "off"]
    trusted_clients: tuple[str, ...]
    only_trusted: bool
    jkt: str | None
    expires_at: datetime | None


class IssuerVerifier(Protocol):
    """Verifies the tokens of one issuer: by its keys (`JwtVerifier`), or by asking it (`IntrospectionVerifier`)."""

    @property
    def name(self) -> str:
        """The issuer's table in the configuration."""

    @property
    def version(self) -> int:
        """What was verified under another version is to be verified anew."""

    @property
    def remembered_for(self) -> timedelta:
        """How long what is verified may be believed without asking again; a minute at most."""

    async def verify(self, presented: PresentedToken) -> VerifiedSubject:
        """Verify a token of this issuer.

        Raises:
            JwtRefused: it is not to be believed.
            TemporarilyUnavailable: the issuer is needed for that and cannot be had.
        """

    async def aclose(self) -> None:
        """End what is under way."""
