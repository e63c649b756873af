"""Renewing in the background, before an exchange has to wait for it.

Any number of replicas do this side by side: rows are taken with SKIP LOCKED and put off as they are taken, and the
refresh itself goes by the same lease as any other. A provider that is left alone is left alone here too.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Mapping
from datetime import timedelta

import structlog

from vaultd.connections import due
from vaultd.connections.table import ConnectionRow
from vaultd.db import Database
from vaultd.errors import TemporarilyUnavailable
from vaultd.refresh.breaker import Breaker
from vaultd.refresh.config import RefreshConfig
from vaultd.refresh.whole import Refresher
from vaultd.terms import Clock

EVERY = 5.0
"""Seconds between two looks where there was not more to do than might be done."""
AT_ONCE = 16
"""Renewals of one provider that are under way in one process, so that a slow provider does not pile them up."""


class Ahead:
    """The background refresher.

    `providers` are those whose connections it renews, each with the time after which a refresh token that is not used
    ends there, zero for never; `hosts` are the hosts that each of them is asked at.
    """

    def __init__(
        self,
        *,
        database: Database,
        refresher: Refresher,
        breaker: Breaker,
        providers: Mapping[str, timedelta],
        hosts: Mapping[str, str],
        config: RefreshConfig,
        clock: Clock,
    ) -> None:
        self._database = database
        self._refresher = refresher
        self._breaker = breaker
        self._names = tuple(providers)
        self._hosts = hosts
        self._config = config
        self._clock = clock
        idle = {name: limit for name, limit in providers.items() if limit}
        self._rules = due.Rules(ahead=timedelta(seconds=config.ahead), idle=idle)
        self._under_way: Counter[str] = Counter()

    async def run(self) -> None:
        """Renew for as long as the process serves."""
        if not self._names:
            return
        # Not all replicas at the same moment.
        await asyncio.sleep(random.uniform(0, EVERY))  # noqa: S311 - not a secret
        asked_back = not self._rules.idle
        async with asyncio.TaskGroup() as group:
            while True:
                more = False
                try:
                    if not asked_back:
                        await self._bring_back()
                        asked_back = True
                    more = await self.tick(group)
                except TemporarilyUnavailable:
                    # The database is away; what is due stays due.
                    pass
                await asyncio.sleep(1.0 if more else EVERY)

    async def tick(self, group: asyncio.TaskGroup) -> bool:
        """Begin what is due, as far as the rate allows; tells whether there may be more."""
        places = {name: places for name in self._names if (places := self._places(name)) > 0}
        if not places:
            return False
        now = self._clock()
        used_since = now.date() - timedelta(days=self._config.active_days)
        async with self._database.transaction() as connection:
            rows = await due.take_due(connection, self._rules, places, used_since=used_since, now=now)
        taken = Counter[str](row.provider for row in rows)
        for row in rows:
            self._under_way[row.provider] += 1
            group.create_task(self._renew(row))
        return any(taken[name] >= most for name, most in places.items())

    async def backlog(self) -> dict[str, int]:
        """How many connections are due at each provider. Raises `TemporarilyUnavailable`."""
        async with self._database.transaction() as connection:
            return await due.backlog(connection, self._names, now=self._clock())

    async def _bring_back(self) -> None:
        async with self._database.transaction() as connection:
            await due.bring_back(connection, self._rules.idle)

    def _places(self, provider: str) -> int:
        most = min(self._config.per_second, AT_ONCE - self._under_way[provider])
        host = self._hosts[provider]
        # Where each customer has a host of their own, each refresh finds out for itself whether its is left alone.
        return max(0, most) if host.startswith("*") else self._breaker.places(host, max(0, most))

    async def _renew(self, row: ConnectionRow) -> None:
        log = structlog.stdlib.get_logger("vaultd.refresh")
        try:
            refusal = await self._refresher.refresh(row)
            if refusal is not None:
                log.info("a connection was not renewed", provider=row.provider, reason=refusal.reason)
        except TemporarilyUnavailable as error:
            log.info("a connection was not renewed", provider=row.provider, reason=error.reason)
        except Exception:
            # One connection that cannot be renewed must not end it for all.
            log.exception("a connection could not be renewed", provider=row.provider)
        finally:
            self._under_way[row.provider] -= 1
