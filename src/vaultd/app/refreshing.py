"""Refreshing, wired: for exchanges that wait for it, and ahead of them in the background."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta

from vaultd.app.ground import Ground
from vaultd.refresh import (
    Ahead,
    Breaker,
    CallResults,
    Claims,
    Confirmer,
    Leased,
    Narrower,
    Patience,
    Refresher,
    Renewer,
    Scoper,
    Undo,
    Wakeups,
    host_of,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refreshing:
    """The parts that refresh."""

    breaker: Breaker
    wakeups: Wakeups
    refresher: Refresher
    narrower: Narrower
    scoper: Scoper
    renewer: Renewer
    ahead: Ahead
    undo: Undo


def make_refreshing(ground: Ground, stack: AsyncExitStack) -> Refreshing:
    """Both share the lease, the waiters and what is known of the providers."""
    breaker = Breaker(clock=ground.clock)
    wakeups = Wakeups(database=ground.database)
    results = CallResults(
        log=ground.log,
        data_keys=ground.data_keys,
        lookups=ground.lookups,
        providers=ground.providers,
        subjects=ground.subjects,
        keep_broken=timedelta(days=ground.settings.refresh.keep_broken_days),
        outcomes=ground.metrics.refreshes,
        clock=ground.clock,
    )
    leased = Leased(
        database=ground.database,
        results=results,
        providers=ground.providers,
        oauth=ground.oauth,
        breaker=breaker,
        patience=Patience(clock=ground.clock),
        clock=ground.clock,
    )
    claims = Claims(keyring=ground.keyring, data_keys=ground.data_keys, replay=ground.replay, clock=ground.clock)
    refresher = Refresher(
        database=ground.database,
        log=ground.log,
        leased=leased,
        results=results,
        claims=claims,
        wakeups=wakeups,
        clock=ground.clock,
    )
    stack.push_async_callback(refresher.drain)
    narrower = Narrower(
        database=ground.database,
        log=ground.log,
        leased=leased,
        results=results,
        refresher=refresher,
        claims=claims,
        wakeups=wakeups,
        clock=ground.clock,
    )
    stack.push_async_callback(narrower.drain)
    scoper = Scoper(
        database=ground.database,
        log=ground.log,
        results=results,
        claims=claims,
        refresher=refresher,
        oauth=ground.oauth,
        breaker=breaker,
        clock=ground.clock,
    )
    stack.push_async_callback(scoper.drain)
    confirmer = Confirmer(
        database=ground.database,
        results=results,
        claims=claims,
        oauth=ground.oauth,
        breaker=breaker,
    )
    stack.push_async_callback(confirmer.drain)
    ahead = Ahead(
        database=ground.database,
        refresher=refresher,
        breaker=breaker,
        providers={
            provider.name: timedelta(seconds=provider.config.refresh_token_idle_limit)
            for provider in ground.providers.all()
        },
        hosts=hosts_of(ground),
        config=ground.settings.refresh,
        clock=ground.clock,
    )
    return Refreshing(
        breaker=breaker,
        wakeups=wakeups,
        refresher=refresher,
        narrower=narrower,
        scoper=scoper,
        renewer=Renewer(refresher=refresher, narrower=narrower, scoper=scoper, confirmer=confirmer),
        ahead=ahead,
        undo=undo_of(ground),
    )


def undo_of(ground: Ground) -> Undo:
    """What brings back connections that were broken by mistake."""
    return Undo(
        database=ground.database,
        log=ground.log,
        data_keys=ground.data_keys,
        subjects=ground.subjects,
        clock=ground.clock,
    )


def hosts_of(ground: Ground) -> dict[str, str]:
    """By name, the host at which each provider is asked for refreshes."""
    return {provider.name: host_of(provider.config.refreshed_at) for provider in ground.providers.all()}
