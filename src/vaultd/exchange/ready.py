"""From a verdict that is none yet to one that is: have a token renewed or narrowed, then release again."""

from __future__ import annotations

from dataclasses import replace

from vaultd.errors import RequestRefused, TemporarilyUnavailable
from vaultd.refresh import Claim, Narrower, Refresher, Renewer, Scoper
from vaultd.release.decide import Allowed, Ask, Narrow, Refused, Renew, Verdict
from vaultd.release.queue import Counter


async def release_ready(
    ask: Ask,
    verdict: Verdict,
    *,
    counter: Counter,
    refresher: Refresher,
    narrower: Narrower,
    scoper: Scoper,
    renewer: Renewer,
) -> Allowed | Refused:
    """Release until it is decided.

    Each way is gone once. If the counter asks for the same again, the provider's tokens live shorter than
    our margin, and a second try would bring no more: the counter is told so, and then decides with what there is.
    """
    refreshed = narrowed = False
    while not isinstance(verdict, Allowed | Refused):
        if isinstance(verdict, Renew):
            ask = await _renewed(ask, verdict, renewer)
        elif isinstance(verdict, Narrow):
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


async def _renewed(ask: Ask, wanted: Renew, renewer: Renewer) -> Ask:
    """The ask, with what came of the client's word that the provider refused the token."""
    if ask.refused_token is None or ask.event.client_id is None:
        raise AssertionError("nobody reported a token")
    claim = Claim(ask.refused_token, ask.event.client_id)
    report, failure = await renewer.renew(
        wanted.row, claim, scopes=wanted.scopes, narrowing=ask.narrowing, margin=ask.refresh_margin
    )
    return replace(ask, report=report, renewing_failed=failure)


def _too_short() -> RequestRefused:
    """The refusal when even a new token has ended already."""
    return TemporarilyUnavailable(retry_after=5, reason="provider_unavailable", detail="tokens end at once")
