"""Giving tokens back at their providers: the outbox is worked off until each is gone or cannot be (C7).

Each provider has places of its own, so that one that hangs holds up its own revocations and nobody else's (C8).
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import suppress
from datetime import timedelta
from typing import Any

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from vaultd.audit.events import Draft, EventType
from vaultd.audit.log import AuditLog
from vaultd.audit.subject_key import SubjectKey
from vaultd.connections import outbox
from vaultd.db import Database
from vaultd.errors import CannotOpen, InvalidTarget, ProviderRefused, ProviderUnavailable, TemporarilyUnavailable
from vaultd.keys.data_keys import DataKeys
from vaultd.providers.oauth import OAuthClient
from vaultd.providers.registry import Providers
from vaultd.providers.revocation import endpoint_of
from vaultd.revoke.sharing import Extent, Sharing
from vaultd.subjects.store import SubjectStore
from vaultd.terms import Clock, Verdict

GIVEN_UP_AFTER = timedelta(days=7)
"""After so long a revocation is declared impossible."""
LONGEST_WAIT = timedelta(hours=6)
"""The wait doubles from two seconds up to this."""
_MOST_DOUBLED = 16
_LONGEST_ASKED = 86_400
"""Seconds. A provider that asks for more is asked again after that all the same."""
CALL_LASTS = timedelta(seconds=45)
"""Three calls at most, with the database's answers: so long nobody else begins what one process has begun."""
PLACES = 20
"""Revocations of one provider that are under way in one process before it gets no more."""
EVERY = 5.0
"""Seconds between two looks where nobody wakes us."""
WOKEN_AFTER = 0.2
"""Seconds between being woken and looking: the waker's transaction commits meanwhile."""
LONGEST_PAUSE = 60.0
"""Seconds. After a look that failed the next one waits, from one second up to this."""


class GiveBack:
    """Works off the outbox."""

    def __init__(
        self,
        *,
        database: Database,
        log: AuditLog,
        data_keys: DataKeys,
        subjects: SubjectStore,
        providers: Providers,
        oauth: OAuthClient,
        sharing: Sharing,
        clock: Clock,
    ) -> None:
        self._database = database
        self._log = log
        self._data_keys = data_keys
        self._subjects = subjects
        self._providers = providers
        self._oauth = oauth
        self._sharing = sharing
        self._clock = clock
        self._under_way: Counter[str] = Counter()
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Look at the outbox now: something was committed to it."""
        self._woken.set()

    def wake_soon(self) -> None:
        """Look at the outbox soon: something is about to be committed to it."""
        asyncio.get_running_loop().call_later(WOKEN_AFTER, self._woken.set)

    async def run(self) -> None:
        """Work the outbox off for as long as the process serves, whatever goes wrong with single looks at it."""
        log = _logger()
        failed = 0
        async with asyncio.TaskGroup() as group:
            while True:
                try:
                    if not await self._begin(group):
                        await self._rest(EVERY)
                    failed = 0
                except TemporarilyUnavailable:
                    # The database is away; the rows are where they were.
                    failed = await self._pause(failed)
                except Exception:
                    # Tokens that are never given back are worse than a line in the log every minute.
                    log.exception("the outbox of revocations could not be worked off")
                    failed = await self._pause(failed)

    async def drain(self) -> int:
        """Try every due revocation once, as far as there are places; gives how many were tried."""
        async with asyncio.TaskGroup() as group:
            return await self._begin(group)

    async def _begin(self, group: asyncio.TaskGroup) -> int:
        full = [provider for provider, count in self._under_way.items() if count >= PLACES]
        async with self._database.transaction() as connection:
            due = await outbox.claim(
                connection, self._data_keys, now=self._clock(), busy_for=CALL_LASTS, limit=PLACES, without=full
            )
        for revocation in due:
            self._under_way[revocation.provider] += 1
            group.create_task(self._try(revocation))
        return len(due)

    async def _rest(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        self._woken.clear()

    async def _pause(self, failed: int) -> int:
        # Jitter, so that a database that comes back is not asked by every process at once.
        wait = min(2.0**failed, LONGEST_PAUSE) * random.uniform(0.5, 1.0)  # noqa: S311 - not a secret
        await asyncio.sleep(wait)
        return min(failed + 1, 16)

    async def _try(self, revocation: outbox.Revocation) -> None:
        log = _logger()
        try:
            await self._at_provider(revocation)
        except TemporarilyUnavailable:
            # What became of it could not be written down: it is done once more, when `CALL_LASTS` is over.
            pass
        except Exception:
            # One that goes wrong must not end the work for the others.
            log.exception("a revocation went wrong", provider=revocation.provider, attempts=revocation.attempts)
            with suppress(Exception):
                # Should this go wrong too: it is hidden for `CALL_LASTS`, and counted.
                await self._again(revocation, None)
        finally:
            if self._under_way[revocation.provider] >= PLACES:
                self._woken.set()
            self._under_way[revocation.provider] -= 1

    async def _at_provider(self, revocation: outbox.Revocation) -> None:
        if revocation.access_token is None:
            await self._finish(revocation, "cannot_open")
            return
        try:
            metadata = revocation.metadata
            provider = self._providers.get(revocation.provider).at(metadata)
            endpoint_of(provider.config)
            verdict = await self._sharing.judge(provider, revocation, revocation.access_token)
            if verdict.extent is Extent.NOTHING:
                await self._finish(revocation, verdict.reason, kind=EventType.PROVIDER_KEPT)
                return
            how: Any = {"metadata": metadata, "alone": verdict.extent is Extent.TOKEN}
            # RFC 7009 §2.1: revoking the refresh token ends the grant; the access token is the next best.
            if revocation.refresh_token is not None:
                await self._oauth.revoke(provider, token=revocation.refresh_token, hint="refresh_token", **how)
            await self._oauth.revoke(provider, token=revocation.access_token, hint="access_token", **how)
            await self._sharing.ended(provider, verdict)
        except ProviderUnavailable as error:
            await self._again(revocation, error.retry_after)
        except ProviderRefused as error:
            if error.verdict in {Verdict.APP, Verdict.BUSY}:
                # Nothing about this token: an operator may mend it, and until then the token is alive.
                await self._again(revocation, None)
            else:
                await self._finish(revocation, error.reason)
        except InvalidTarget as error:
            await self._finish(revocation, error.reason)
        else:
            await self._finish(revocation, verdict.reason)

    async def _again(self, revocation: outbox.Revocation, retry_after: int | None) -> None:
        now = self._clock()
        if now - revocation.created_at >= GIVEN_UP_AFTER:
            await self._finish(revocation, "gave_up")
            return
        # Bounded before it is doubled: the number is a clear column's.
        wait = min(timedelta(seconds=2 ** min(revocation.attempts, _MOST_DOUBLED)), LONGEST_WAIT)
        # Jitter, so that a provider that comes back is not asked by everybody at once.
        wait *= random.uniform(0.5, 1.0)  # noqa: S311 - not a secret
        wait = max(wait, timedelta(seconds=min(retry_after or 0, _LONGEST_ASKED)))
        async with self._database.transaction() as connection:
            await outbox.postpone(connection, revocation.id, now=now, wait=wait)

    async def _finish(
        self, revocation: outbox.Revocation, reason: str | None, *, kind: EventType = EventType.PROVIDER_REVOKED
    ) -> None:
        async with self._log.transaction() as transaction:
            subject = await self._whose(transaction.connection, revocation)
            await outbox.finish(transaction.connection, self._data_keys, revocation)
            await transaction.append(Draft(type=kind, reason=reason, connection=revocation.provider, subject=subject))

    async def _whose(self, connection: AsyncConnection, revocation: outbox.Revocation) -> SubjectKey | None:
        """The key under which it is written down whose tokens they were, if there is one."""
        if revocation.subject_id is None:
            return None
        try:
            known = await self._subjects.hold(connection, revocation.subject_id)
        except CannotOpen as error:
            # What became of the tokens is told all the same: else the provider would be asked without end.
            _logger().error(
                "a revocation is recorded without its subject", provider=revocation.provider, detail=error.detail
            )
            return None
        # E6: a subject that was erased meanwhile has no key any more.
        return None if known is None else known.key


def _logger() -> structlog.stdlib.BoundLogger:
    return structlog.stdlib.get_logger("vaultd.revoke")
