"""What a client signs with its registered key: to prove itself, or to name a user who is away.

Both kinds of JWT are meant for this vault alone, live for minutes, and are used once. Their purposes exclude each
other, so that none of one kind passes for the other (RFC 8725 §3.12).

Clients' keys are fetched at start and kept fresh in the background, never while a request waits. A client that has
begun to sign with a new key is refused once at most for each fetch, and accepted as soon as that is done.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

from joserfc.jwk import Key

from vaultd.clients.config import ClientConfig
from vaultd.clients.config_credentials import SIGNED
from vaultd.clients.nobody import NobodysKeys
from vaultd.config_types import ASYMMETRIC
from vaultd.errors import Replayed
from vaultd.jose import FixedKeys, JwtRefused, KeyCache, UnverifiedJwt, VerifiedJwt, read_audience, verify_parsed
from vaultd.jose.jwks import read_keys
from vaultd.jose.purposes import Purpose, check_claims, check_type
from vaultd.jose.verify import MAX_LEEWAY, check_signature
from vaultd.outbound import Outbound
from vaultd.replay import ReplayMemory
from vaultd.terms import ClientId, Clock

LEEWAY = 30
"""Seconds that a client's clock may differ from ours."""
EVERY = 5
"""Seconds between two looks whether keys are missing or grow old."""
PATIENCE = 5.0
"""Seconds that a start waits for clients' keys."""

Keys: TypeAlias = KeyCache | FixedKeys


@dataclass(frozen=True, slots=True)
class Kind:
    """What one kind of JWT must look like.

    `name` is for the replay memory; a JWT that may pass for several kinds of one name counts once among them. `longest`
    is the longest life of any of these. With `oldest`, it is the age that decides, and `exp` may be missing.
    """

    name: str
    purpose: Purpose
    audiences: frozenset[str]
    longest: timedelta
    oldest: timedelta | None = None


@dataclass(frozen=True, slots=True)
class _Signer:
    keys: Keys
    algorithms: frozenset[str]


_NOBODY = _Signer(FixedKeys(()), frozenset(ASYMMETRIC))


class SignedByClients:
    """Verifies such JWTs with the keys of the client that they claim to come from, and with no others."""

    def __init__(
        self, *, configs: Mapping[str, ClientConfig], outbound: Outbound, replay: ReplayMemory, clock: Clock
    ) -> None:
        self._replay = replay
        self._clock = clock
        self._nobody = NobodysKeys()
        self._signers = {
            name: _Signer(_keys(config, outbound, clock), frozenset(config.algorithms))
            for name, config in configs.items()
            if config.auth == SIGNED
        }

    async def verify(self, unverified: UnverifiedJwt, *, client_id: str, kind: Kind) -> VerifiedJwt:
        """Check everything but that it is used once.

        Raises:
            JwtRefused: also for a client that is not there or whose keys are not, after as much work.
        """

        async def key_for(kid: str | None, alg: str) -> Key:
            try:
                return self._find(client_id, kid, alg)
            except JwtRefused:
                # A8: no key costs as much time as a wrong signature, so that time does not tell which clients exist.
                with contextlib.suppress(JwtRefused):
                    check_signature(unverified, alg, self._nobody.key_for(alg))
                raise

        now = self._clock()
        jwt = await verify_parsed(
            unverified,
            key_for=key_for,
            algorithms=ASYMMETRIC,
            now=now,
            leeway=LEEWAY,
            oldest=kind.oldest.total_seconds() if kind.oldest else None,
        )
        _check_claims(jwt, client_id, kind)
        _check_lifetime(jwt, kind.longest, now)
        return jwt

    async def use_up(self, jwt: VerifiedJwt, *, client_id: ClientId, kind: Kind) -> None:
        """Let a verified one count, this once in all replicas (security A9).

        Raises:
            JwtRefused: `replayed`, or its `jti` is missing or no text.
            TemporarilyUnavailable: the replay memory cannot be asked.
        """
        jti = jwt.claims.get("jti")
        if jti is None:
            raise JwtRefused("missing_claim", "jti")
        if not isinstance(jti, str) or not jti:
            raise JwtRefused("malformed", "jti")
        # Longer than the leeway, so that a replica whose clock is ahead does not forget it too early.
        until = datetime.fromtimestamp(_last_use(jwt, kind), UTC) + timedelta(seconds=MAX_LEEWAY)
        try:
            await self._replay.use(kind.name, client_id, jti, until=until)
        except Replayed:
            raise JwtRefused("replayed") from None

    async def run(self) -> None:
        """Keep the keys at hand for as long as the process serves."""
        while True:
            await asyncio.sleep(EVERY)
            for signer in self._signers.values():
                signer.keys.tend()

    async def fetch(self, *, patience: float = PATIENCE) -> None:
        """Have the keys at hand before the first request, as far as they can be had within so many seconds."""
        fetching = {task for signer in self._signers.values() if (task := signer.keys.tend()) is not None}
        if fetching:
            # What is not here by then comes later, and is no reason not to serve the others.
            await asyncio.wait(fetching, timeout=patience)

    async def aclose(self) -> None:
        """Stop fetching keys."""
        for signer in self._signers.values():
            await signer.keys.aclose()

    def _find(self, client_id: str, kid: str | None, alg: str) -> Key:
        signer = self._signers.get(client_id, _NOBODY)
        if alg not in signer.algorithms:
            raise JwtRefused("bad_algorithm", "not one of the client's algorithms")
        # A8: nobody waits here, and a client whose keys cannot be had is answered like one that is not there. Else
        # whoever writes a name into an assertion of their own would see whether it is a client's.
        return signer.keys.at_hand(kid, alg)


def _keys(config: ClientConfig, outbound: Outbound, clock: Clock) -> Keys:
    if config.jwks is not None:
        return FixedKeys(read_keys(config.jwks))
    return KeyCache(
        outbound=outbound,
        clock=clock,
        jwks_uri=config.jwks_uri,
        jwks_file=config.jwks_file,
        allow_private=config.allow_private_hosts,
    )


def _check_claims(jwt: VerifiedJwt, client_id: str, kind: Kind) -> None:
    check_type(jwt.typ, kind.purpose)
    if "iss" not in jwt.claims:
        raise JwtRefused("missing_claim", "iss")
    if jwt.claims["iss"] != client_id:
        raise JwtRefused("wrong_issuer")
    # One audience that is not ours is one server too many that could present it here.
    if not read_audience(jwt.claims) <= kind.audiences:
        raise JwtRefused("wrong_audience")
    check_claims(jwt.claims, kind.purpose)


def _last_use(jwt: VerifiedJwt, kind: Kind) -> float:
    """When it ends, as whichever kind of this name it is presented."""
    if kind.oldest is None:
        return jwt.expires_at
    issued_at: float = jwt.claims["iat"]
    return issued_at + kind.longest.total_seconds()


def _check_lifetime(jwt: VerifiedJwt, longest: timedelta, now: datetime) -> None:
    """From `iat`, which may be missing, and from now in any case, so that what is remembered of it ends soon."""
    allowed = longest.total_seconds()
    issued_at = jwt.claims.get("iat")
    if issued_at is not None and jwt.expires_at - issued_at > allowed:
        raise JwtRefused("lifetime", f"longer than {allowed:.0f} s")
    if jwt.expires_at - now.timestamp() > allowed + LEEWAY:
        raise JwtRefused("lifetime", f"ends in more than {allowed:.0f} s")
