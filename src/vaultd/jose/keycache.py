"""One issuer's keys, kept (security A3).

Keys up to 5 minutes old are used as they are; from then on they are fetched anew in the background, and from
10 minutes on before use. While the issuer does not answer, the ones at hand serve until they are an hour old.
A `kid` that is not among them causes a fetch at most once in 30 seconds, however many tokens ask for it, and
lookups at the same time share one fetch.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection
from datetime import datetime, timedelta
from pathlib import Path

from joserfc.jwk import Key, OctKey

from vaultd.errors import OutboundError, TemporarilyUnavailable
from vaultd.jose.jwks import fingerprint, named, read_keys, the_one
from vaultd.jose.refused import JwtRefused
from vaultd.jose.source import OPENID, JwksSource, KeySourceFailed
from vaultd.outbound import Outbound
from vaultd.terms import Clock, Secret

RENEW_AFTER = timedelta(minutes=5)
RENEW_BEFORE_USE = timedelta(minutes=10)
MAX_AGE = timedelta(hours=1)
PAUSE = timedelta(seconds=30)
FIRST_PAUSE = timedelta(seconds=5)
"""Between tries while there is no key at all: shorter, since every user of the issuer waits for it."""


class SharedSecret:
    """The keys of an issuer that signs with a secret it shares with us (HS256 only)."""

    version = 0

    def __init__(self, secret: Secret) -> None:
        self._key = OctKey.import_key(secret.reveal().encode())

    async def find(self, kid: str | None, alg: str) -> Key:  # noqa: ARG002 - the one secret serves every kid
        """The secret. Raises `JwtRefused` for any algorithm but HS256."""
        if alg != "HS256":
            raise JwtRefused("bad_algorithm")
        return self._key

    async def aclose(self) -> None:
        """Nothing to let go of; here because a key cache has it."""


class FixedKeys:
    """Public keys that stand in the configuration and change with it only."""

    version = 0

    def __init__(self, keys: tuple[Key, ...]) -> None:
        self._keys = keys

    async def find(self, kid: str | None, alg: str) -> Key:
        """The one key for a token's `kid` and `alg`. Raises `JwtRefused`: `unknown_key` or `bad_algorithm`."""
        return self.at_hand(kid, alg)

    def at_hand(self, kid: str | None, alg: str) -> Key:
        """The same; here because a key cache has it."""
        return the_one(named(self._keys, kid, alg), alg)

    def tend(self) -> None:
        """Nothing to fetch; here because a key cache has it."""

    async def aclose(self) -> None:
        """Nothing to let go of; here because a key cache has it."""


class KeyCache:
    """The public keys of one issuer, from a file, a JWKS address or, where `issuer` is given, discovery."""

    def __init__(
        self,
        *,
        outbound: Outbound,
        clock: Clock,
        issuer: str | None = None,
        jwks_uri: str | None = None,
        jwks_file: Path | None = None,
        discovery: str = OPENID,
        allow_private: Collection[str] = (),
    ) -> None:
        self._clock = clock
        self._source = JwksSource(
            outbound=outbound,
            issuer=issuer,
            jwks_uri=jwks_uri,
            jwks_file=jwks_file,
            discovery=discovery,
            allow_private=allow_private,
        )
        self._keys: tuple[Key, ...] = ()
        self._version = 0
        self._fetched_at: datetime | None = None
        self._tried_at: datetime | None = None
        self._failure: str | None = None
        self._fetching: asyncio.Task[None] | None = None

    @property
    def version(self) -> int:
        """Grows whenever the set of keys changes; what was verified under an older one is to be verified anew."""
        return self._version

    async def find(self, kid: str | None, alg: str) -> Key:
        """The one key of this issuer for a token's `kid` and `alg`.

        Raises:
            JwtRefused: `unknown_key`, `bad_algorithm`, or `issuer_unreachable` when a newer set could not be had.
            TemporarilyUnavailable: there are no keys, or only ones too old to be used.
        """
        await self._freshen()
        meant = named(self._keys, kid, alg)
        if not meant and await self._renew_for_unknown():
            meant = named(self._keys, kid, alg)
        if not meant and self._failure:
            raise JwtRefused("issuer_unreachable")
        return the_one(meant, alg)

    def at_hand(self, kid: str | None, alg: str) -> Key:
        """The same without ever waiting, so that the time it takes tells nothing; `tend` sees to it that keys are here.

        A `kid` that is not among them causes a fetch in the background, as rarely as with `find`.

        Raises:
            JwtRefused: `unknown_key`, `bad_algorithm`, or `issuer_unreachable` without keys, or with too old ones only.
        """
        self.tend()
        age = self._age()
        if age is None or age >= MAX_AGE:
            raise JwtRefused("issuer_unreachable", f"no keys: {self._failure}")
        meant = named(self._keys, kid, alg)
        if not meant:
            if self._may_try(PAUSE):
                self._start_fetch()
            if self._failure:
                raise JwtRefused("issuer_unreachable", self._failure)
        return the_one(meant, alg)

    def tend(self) -> asyncio.Task[None] | None:
        """Begin to fetch keys where there are none, or where they grow old; gives the fetch that is under way."""
        age = self._age()
        missing = age is None or age >= MAX_AGE
        if (age is None or age >= RENEW_AFTER) and self._may_try(FIRST_PAUSE if missing else PAUSE):
            self._start_fetch()
        return self._fetching

    async def aclose(self) -> None:
        """Stop a fetch that runs in the background."""
        task = self._fetching
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _freshen(self) -> None:
        age = self._age()
        if age is None or age >= MAX_AGE:
            if self._fetching or self._may_try(FIRST_PAUSE):
                await self._fetch()
            age = self._age()
            if age is None or age >= MAX_AGE:
                retry_after = int(FIRST_PAUSE.total_seconds())
                raise TemporarilyUnavailable(
                    retry_after=retry_after, reason="issuer_unreachable", detail=f"no keys: {self._failure}"
                )
        elif age >= RENEW_BEFORE_USE and self._failure is None:
            await self._fetch()
        elif age >= RENEW_AFTER and self._may_try(PAUSE):
            self._start_fetch()

    async def _renew_for_unknown(self) -> bool:
        if self._fetching is None and not self._may_try(PAUSE):
            return False
        await self._fetch()
        return True

    def _age(self) -> timedelta | None:
        return None if self._fetched_at is None else self._clock() - self._fetched_at

    def _may_try(self, pause: timedelta) -> bool:
        return self._tried_at is None or self._clock() - self._tried_at >= pause

    async def _fetch(self) -> None:
        # Shielded: the first to wait may be cancelled without taking the fetch from the others.
        await asyncio.shield(self._start_fetch())

    def _start_fetch(self) -> asyncio.Task[None]:
        if self._fetching is None:
            self._tried_at = self._clock()
            self._fetching = asyncio.create_task(self._read())
        return self._fetching

    async def _read(self) -> None:
        try:
            keys = read_keys(await self._source.read())
        except (KeySourceFailed, OutboundError, OSError, ValueError, RecursionError) as error:
            self._failure = f"{type(error).__name__}: {error}"
        else:
            self._failure = None
            self._fetched_at = self._clock()
            if fingerprint(keys) != fingerprint(self._keys):
                self._version += 1
            self._keys = keys
        finally:
            self._fetching = None
