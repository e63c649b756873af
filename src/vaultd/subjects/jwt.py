"""Verifies the session tokens of one issuer by its keys."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from vaultd.jose import JwtRefused, KeyCache, SharedSecret, VerifiedJwt, verify_parsed
from vaultd.jose.purposes import TokenKind
from vaultd.outbound import Outbound
from vaultd.subjects import rules
from vaultd.subjects.config import IssuerConfig
from vaultd.subjects.tokens import PresentedToken, VerifiedSubject
from vaultd.terms import Clock, Subject

REMEMBERED_FOR = timedelta(seconds=60)


class JwtVerifier:
    """One issuer whose tokens are JWTs. `leeway` is in seconds, at most 60."""

    remembered_for = REMEMBERED_FOR

    def __init__(self, *, name: str, config: IssuerConfig, outbound: Outbound, clock: Clock, leeway: int) -> None:
        self.name = name
        self._config = config
        self._clock = clock
        self._leeway = leeway
        self._keys, self._algorithms = _keys(config, outbound, clock)

    @property
    def version(self) -> int:
        """Grows whenever the issuer's keys change."""
        return self._keys.version

    async def verify(self, presented: PresentedToken) -> VerifiedSubject:
        """Verify a token of this issuer. Raises `JwtRefused`, or `TemporarilyUnavailable` without keys."""
        if presented.unverified is None:
            raise JwtRefused("malformed", "not a JWT")
        if presented.kind == "refresh_token":
            # Its issuer alone knows whether one was revoked or used up, so a signature is not enough.
            raise JwtRefused("wrong_type", "refresh tokens need an issuer with introspection")
        jwt = await verify_parsed(
            presented.unverified,
            key_for=self._keys.find,
            algorithms=self._algorithms,
            now=self._clock(),
            leeway=self._leeway,
        )
        return self._read(jwt, presented.kind)

    async def aclose(self) -> None:
        """Stop fetching keys."""
        await self._keys.aclose()

    def _read(self, jwt: VerifiedJwt, kind: TokenKind) -> VerifiedSubject:
        config = self._config
        audience = rules.read_purpose(jwt, kind, config)
        return VerifiedSubject(
            subject=Subject(config.issuer, rules.read_sub(jwt.claims)),
            issuer_name=self.name,
            presenter=rules.read_presenter(jwt.claims, audience, config.client_claim),
            scopes=rules.read_scopes(jwt.claims, audience),
            may_act=rules.read_party(jwt.claims, "may_act"),
            act=rules.read_party(jwt.claims, "act"),
            account_scopes=config.account_scopes,
            trusted_clients=config.trusted_clients,
            only_trusted=audience.only_trusted,
            jkt=rules.read_key_binding(jwt.claims, config),
            expires_at=datetime.fromtimestamp(jwt.expires_at, UTC),
        )


def _keys(config: IssuerConfig, outbound: Outbound, clock: Clock) -> tuple[KeyCache | SharedSecret, frozenset[str]]:
    if config.hs256_secret is not None:
        return SharedSecret(config.hs256_secret), frozenset({"HS256"})
    keys = KeyCache(
        outbound=outbound,
        clock=clock,
        issuer=config.issuer,
        jwks_uri=config.jwks_uri,
        jwks_file=config.jwks_file,
        allow_private=config.allow_private_hosts,
    )
    # RFC 8725 §3.1: without a shared secret an HMAC could only be keyed by something public.
    return keys, frozenset(alg for alg in config.algorithms if not alg.startswith("HS"))
