"""From a verdict that is none yet to one that is: have the token renewed or narrowed, then release again."""

from __future__ import annotations

from dataclasses import replace

from vaultd.errors import RequestRefused, TemporarilyUnavailable
from vaultd.refresh import Narrower, Refresher, Scoper
from vaultd.release.decide import Allowed, Ask, Narrow, Refused, Verdict
from vaultd.release.queue import Counter


async def release_ready(
    ask: Ask, verdict: Verdict, *, counter: Counter, refresher: Refresher, narrower: Narrower, scoper: Scoper
) -> Allowed | Refused:
    """Release until it is decided.

    Each of the two ways is gone once. If the counter asks for the same again, the provider's tokens live shorter than
    our margin, and a second try would bring no more: the counter is told so, and then decides with what there is.
    """
    refreshed = narrowed = False
    while not isinstance(verdict, Allowed | Refused):
        if isinstance(verdict, Narrow):
            margin = ask.refresh_margin
            if narrowed:
                failure: RequestRefused | None = _too_short()
            elif ask.narrowing is not None:
                failure = await scoper.scope(verdict.row, ask.narrowing, margin=margin)
            else:
                failure = await narrower.narrow(verdict.row, verdict.scopes, margin=margin)
            ask, narrowed = replace(ask, narrowing_failed=failure), True
        else:
            failure = _too_short() if refreshed else await refresher.refresh(verdict.row)
            ask, refreshed = replace(ask, refresh_failed=failure), True
        verdict = await counter.release(ask)
    return verdict


def _too_short() -> RequestRefused:
    """The refusal when even a new token has ended already."""
    return TemporarilyUnavailable(retry_after=5, reason="provider_unavailable", detail="tokens end at once")
