"""Another token before its end, because the provider's API refused the one that there is (security C5).

Whose word it is decides nothing: the token must be the one that would be given, the calls are counted (`claims`), and
what ends a connection is what the provider says.
"""

from __future__ import annotations

from datetime import timedelta

from vaultd.audit.events import Report
from vaultd.connections.table import ConnectionRow
from vaultd.errors import Replayed, RequestRefused, SlowDown
from vaultd.refresh.claims import Claim
from vaultd.refresh.confirm import Confirmer
from vaultd.refresh.narrow import Narrower
from vaultd.refresh.scoped import Scoper
from vaultd.refresh.whole import Refresher
from vaultd.terms import Narrowing, Scopes


class Renewer:
    """Chooses the way by which a token came."""

    def __init__(self, *, refresher: Refresher, narrower: Narrower, scoper: Scoper, confirmer: Confirmer) -> None:
        self._refresher = refresher
        self._narrower = narrower
        self._scoper = scoper
        self._confirmer = confirmer

    async def renew(
        self,
        row: ConnectionRow,
        claim: Claim,
        *,
        scopes: Scopes | None,
        narrowing: Narrowing | None,
        margin: timedelta,
    ) -> tuple[Report, RequestRefused | None]:
        """Replace the stored token, or the one for `scopes`; gives what came of it, and the refusal that applies."""
        failure: RequestRefused | None = None
        try:
            if narrowing is not None:
                failure = await self._scoper.scope(row, narrowing, margin=margin, claim=claim)
            elif scopes is not None:
                failure = await self._narrower.narrow(row, scopes, margin=margin, claim=claim)
            elif row.refresh_token is not None:
                failure = await self._refresher.refresh(row, claim=claim)
            else:
                await self._confirmer.confirm(row, claim)
        except SlowDown:
            return Report.LIMIT_REACHED, None
        except Replayed:
            return Report.NO_OTHER, None
        return (Report.RENEWED if failure is None else Report.NOT_RENEWED), failure
