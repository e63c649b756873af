"""Turn a session token of a configured issuer into a verified subject, or refuse it with the precise reason."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from vaultd.errors import ConfigurationError, SubjectTokenRefused
from vaultd.jose import JwtRefused, KeyCache, SharedSecret, UnverifiedJwt, VerifiedJwt, parse_jwt, verify_parsed
from vaultd.outbound import Outbound
from vaultd.subjects import rules
from vaultd.subjects.config import IssuerConfig
from vaultd.subjects.recent import CAPACITY, Recent
from vaultd.terms import Clock, Scopes, Secret, Subject


@dataclass(frozen=True, slots=True)
class VerifiedSubject:
    """A user, proven by a token, with what the token and its issuer's settings say about its use.

    `presenter` is the client the token was issued to. With `only_trusted` nothing in the token says that it is
    meant for us, so that only `trusted_clients` may present it. `may_act` and `act` are those of RFC 8693 §4.
    """

    subject: Subject
    issuer_name: str
    presenter: str | None
    scopes: Scopes
    may_act: rules.Party | None
    act: rules.Party | None
    account_scopes: Literal["required", "off"]
    trusted_clients: tuple[str, ...]
    only_trusted: bool
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class _Issuer:
    name: str
    config: IssuerConfig
    keys: KeyCache | SharedSecret
    algorithms: frozenset[str]


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
    ) -> None:
        self._clock = clock
        self._leeway = leeway
        self._recent: Recent[VerifiedSubject] = Recent(capacity=capacity)
        self._issuers: dict[str, _Issuer] = {}
        for name, config in issuers.items():
            if config.issuer in self._issuers:
                other = self._issuers[config.issuer].name
                raise ConfigurationError(f"[issuers.{other}] and [issuers.{name}] name the same issuer.")
            self._issuers[config.issuer] = _issuer(name, config, outbound, clock)

    async def verify(self, token: Secret, token_type: str) -> VerifiedSubject:
        """Verify a token presented as `token_type` (RFC 8693 §3).

        Raises:
            SubjectTokenRefused: `reason` is one of `jose.REASONS`.
            InvalidRequest: the token type is not one that is verified here.
            TemporarilyUnavailable: the issuer's keys cannot be had.
        """
        kind = rules.token_kind(token_type)
        try:
            return await self._verify(token, kind)
        except JwtRefused as refused:
            raise SubjectTokenRefused(reason=refused.reason, detail=refused.detail) from None

    async def aclose(self) -> None:
        """Stop fetching keys."""
        for issuer in self._issuers.values():
            await issuer.keys.aclose()

    async def _verify(self, token: Secret, kind: rules.TokenKind) -> VerifiedSubject:
        place = (hashlib.sha256(token.reveal().encode("utf-8", "surrogatepass")).digest(), kind)
        found = self._recent.get(place, now=self._clock())
        if found is not None:
            known, version = found
            if version == self._issuers[known.subject.issuer].keys.version:
                return known
            self._recent.drop(place)
        unverified = parse_jwt(token)
        issuer = self._issuer_of(unverified)
        jwt = await verify_parsed(
            unverified,
            key_for=issuer.keys.find,
            algorithms=issuer.algorithms,
            now=self._clock(),
            leeway=self._leeway,
        )
        verified = _read(jwt, kind, issuer)
        self._recent.put(
            place, verified, version=issuer.keys.version, now=self._clock(), expires_at=verified.expires_at
        )
        return verified

    def _issuer_of(self, unverified: UnverifiedJwt) -> _Issuer:
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


def _issuer(name: str, config: IssuerConfig, outbound: Outbound, clock: Clock) -> _Issuer:
    if config.hs256_secret is not None:
        return _Issuer(name, config, SharedSecret(config.hs256_secret), frozenset({"HS256"}))
    keys = KeyCache(
        outbound=outbound,
        clock=clock,
        issuer=config.issuer,
        jwks_uri=config.jwks_uri,
        jwks_file=config.jwks_file,
        allow_private=config.allow_private_hosts,
    )
    # RFC 8725 §3.1: without a shared secret an HMAC could only be keyed by something public.
    algorithms = frozenset(alg for alg in config.algorithms if not alg.startswith("HS"))
    return _Issuer(name, config, keys, algorithms)


def _read(jwt: VerifiedJwt, kind: rules.TokenKind, issuer: _Issuer) -> VerifiedSubject:
    config = issuer.config
    rules.check_type(jwt, kind)
    audience = rules.check_audience(jwt, kind, config)
    rules.check_required_claims(jwt.claims, config.required_claims)
    return VerifiedSubject(
        subject=Subject(config.issuer, rules.read_sub(jwt.claims)),
        issuer_name=issuer.name,
        presenter=rules.read_presenter(jwt.claims, audience, config.client_claim),
        scopes=rules.read_scopes(jwt.claims, audience),
        may_act=rules.read_party(jwt.claims, "may_act"),
        act=rules.read_party(jwt.claims, "act"),
        account_scopes=config.account_scopes,
        trusted_clients=config.trusted_clients,
        only_trusted=audience.only_trusted,
        expires_at=datetime.fromtimestamp(jwt.expires_at, UTC),
    )
