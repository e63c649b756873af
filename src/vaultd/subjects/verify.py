"""Turn a user's token into a verified subject, or refuse it with the precise reason: the pool of all issuers.

A JWT is shown to the issuer that its `iss` names, and to no other. An opaque token names nobody: it is shown to the
one issuer that is configured for such tokens, or to none.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import timedelta

from vaultd.errors import ConfigurationError, InvalidRequest, SubjectTokenRefused
from vaultd.jose import MAX_TOKEN_BYTES, JwtRefused, UnverifiedJwt, parse_jwt
from vaultd.jose.purposes import TokenKind
from vaultd.outbound import Outbound
from vaultd.subjects import rules
from vaultd.subjects.config import IssuerConfig, opaque_taker
from vaultd.subjects.endpoint import IntrospectionEndpoint
from vaultd.subjects.introspection import IntrospectionVerifier
from vaultd.subjects.jwt import JwtVerifier
from vaultd.subjects.recent import CAPACITY, Recent
from vaultd.subjects.strangers import NOBODY, Stranger, Strangers
from vaultd.subjects.tokens import IssuerVerifier, PresentedToken, VerifiedSubject
from vaultd.terms import Clock, Secret

_OPAQUE = re.compile(r"[\x20-\x7e]+")  # RFC 6749 appendix A.12 and A.17
_JSON_SEGMENT = re.compile(r"(?<![A-Za-z0-9_-])(?:ey[AIJ]|ew[0ko])")
"""How base64url begins when it stands for a brace, then a quote mark or white space."""


class SubjectVerifier:
    """Verifies subject tokens, actor tokens and bearer tokens of users. `leeway` is in seconds, at most 60."""

    def __init__(
        self,
        *,
        issuers: Mapping[str, IssuerConfig],
        outbound: Outbound,
        clock: Clock,
        leeway: int = 30,
        capacity: int = CAPACITY,
        strangers: Strangers | None = None,
    ) -> None:
        self._clock = clock
        self._recent: Recent[VerifiedSubject] = Recent(capacity=capacity)
        # One budget: the more issuers, the more calls it would be otherwise.
        strangers = strangers or Strangers(clock=clock)
        self._issuers: dict[str, IssuerVerifier] = {}
        for name, config in issuers.items():
            if config.issuer in self._issuers:
                other = self._issuers[config.issuer].name
                raise ConfigurationError(f"[issuers.{other}] and [issuers.{name}] name the same issuer.")
            self._issuers[config.issuer] = _verifier(name, config, outbound, clock, leeway, strangers=strangers)
        taker = opaque_taker(issuers)
        self._opaque = None if taker is None else self._issuers[issuers[taker].issuer]
        self._introspects = any(config.introspection is not None for config in issuers.values())

    async def verify(self, token: Secret, token_type: str, *, stranger: Stranger | None = NOBODY) -> VerifiedSubject:
        """Verify a token presented as `token_type` (RFC 8693 §3), by a `stranger` unless a client is proven.

        Raises:
            SlowDown: strangers have had their issuer asked too often.
            SubjectTokenRefused: `reason` is one of `jose.REASONS`.
            InvalidRequest: the token type is not one that is verified here.
            TemporarilyUnavailable: the issuer's keys, or its answer, cannot be had.
        """
        kind = rules.token_kind(token_type)
        if kind == "refresh_token" and not self._introspects:
            raise InvalidRequest("This token type is not supported.", reason="unsupported_token_type")
        try:
            return await self._verify(token, kind, stranger)
        except JwtRefused as refused:
            raise SubjectTokenRefused(reason=refused.reason, detail=refused.detail) from None

    async def aclose(self) -> None:
        """Stop fetching keys, and asking."""
        for issuer in self._issuers.values():
            await issuer.aclose()

    async def _verify(self, token: Secret, kind: TokenKind, stranger: Stranger | None) -> VerifiedSubject:
        digest = hashlib.sha256(token.reveal().encode("utf-8", "surrogatepass")).digest()
        place = (digest, kind)
        found = self._recent.get(place, now=self._clock())
        if found is not None:
            known, version = found
            if version == self._issuers[known.subject.issuer].version:
                return known
            self._recent.drop(place)
        issuer, unverified = self._choose(token)
        verified = await issuer.verify(PresentedToken(token, digest, kind, unverified, stranger))
        now = self._clock()
        until = now + issuer.remembered_for
        if verified.expires_at is not None:
            until = min(until, verified.expires_at)
        self._recent.put(place, verified, version=issuer.version, now=now, expires_at=until)
        return verified

    def _choose(self, token: Secret) -> tuple[IssuerVerifier, UnverifiedJwt | None]:
        if self._opaque is not None and not _is_jose(token):
            _check_opaque(token)
            return self._opaque, None
        unverified = parse_jwt(token)
        return self._issuer_of(unverified), unverified

    def _issuer_of(self, unverified: UnverifiedJwt) -> IssuerVerifier:
        claims = unverified.unverified_claims
        if "iss" not in claims:
            raise JwtRefused("missing_claim", "iss")
        unverified_iss = claims["iss"]
        if not isinstance(unverified_iss, str):
            raise JwtRefused("malformed", "iss")
        # RFC 9207 §2.4 and OpenID Connect Core §3.1.3.7: compared as it is written, without any normalising.
        issuer = self._issuers.get(unverified_iss)
        if issuer is None:
            raise JwtRefused("wrong_issuer")
        return issuer


def _verifier(
    name: str, config: IssuerConfig, outbound: Outbound, clock: Clock, leeway: int, *, strangers: Strangers
) -> IssuerVerifier:
    if config.introspection is None:
        return JwtVerifier(name=name, config=config, outbound=outbound, clock=clock, leeway=leeway)
    endpoint = IntrospectionEndpoint(
        name=name,
        issuer=config.issuer,
        config=config.introspection,
        allow_private=config.allow_private_hosts,
        outbound=outbound,
        clock=clock,
    )
    return IntrospectionVerifier(
        name=name,
        config=config,
        endpoint=endpoint,
        strangers=strangers,
        remembered_for=timedelta(seconds=config.introspection.cache_seconds),
        clock=clock,
        leeway=leeway,
    )


def _is_jose(token: Secret) -> bool:
    """Whether this has the form of a JWS or a JWE, however bad a one.

    Such a token is never taken for an opaque one: cut short, or with a quote mark before it, the token of one issuer
    would be shown to another.
    """
    text = token.reveal()[:MAX_TOKEN_BYTES]
    return "." in text and _JSON_SEGMENT.search(text) is not None


def _check_opaque(token: Secret) -> None:
    text = token.reveal()
    if len(text) > MAX_TOKEN_BYTES:
        raise JwtRefused("too_large")
    if not _OPAQUE.fullmatch(text):
        raise JwtRefused("malformed", "has characters that no token has")
